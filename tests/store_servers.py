"""Servers of stores on loopback, each in a process of its own: what they hold is gone when they stop."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from pyarrow import fs

PATIENCE_SECONDS = 60.0
MEMORY, FOLDER = "fsspec+memory", "fsspec+file"  # fsspec's own; in both, files grow in sight
BUCKET = "bucket"


class Server:
    """One on a port of its own.

    Args:
        command: what starts it; `{port}` stands for the port.
        variables: of its environment, beside this process's.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        words = [word.format(port=self.port) for word in command]
        environment = {**os.environ, **variables}
        self.process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"{self.process.args} did not come up: exit code {self.process.poll()}")

    def make_bucket(self) -> None:
        """An empty one, where the server has none; the environment must lead to it."""

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()


# For tests that need `runs`: in each of these places. Azure's are slow, for it needs what pip has not; whole runs go
# there too, for it is written to in another way. Readers of a file in fsspec's memory share one position, so that
# drivers cannot meet there.
_S3, _AZURE = pytest.param("server", id="s3"), pytest.param("azure", marks=pytest.mark.slow)
_SERVED = (_S3, "google", _AZURE)
of_whole_runs = pytest.mark.parametrize("runs", [_S3, _AZURE], indirect=True)
in_whole_files = pytest.mark.parametrize("runs", _SERVED, indirect=True)
between_drivers = pytest.mark.parametrize("runs", [*_SERVED, FOLDER], indirect=True)
everywhere = pytest.mark.parametrize("runs", [*_SERVED, MEMORY, FOLDER], indirect=True)


class GoogleServer(Server):
    """gcp-storage-emulator, with an empty bucket."""

    def __init__(self) -> None:
        options = ["--host=127.0.0.1", "--port={port}", "--in-memory", f"--default-bucket={BUCKET}"]
        super().__init__([sys.executable, "-m", "gcp_storage_emulator", "start", *options])
        self.uri = f"gs://anonymous@{BUCKET}"
        self.environment = {"CLOUD_STORAGE_EMULATOR_ENDPOINT": self.url}


# Azurite would hang up after 5 s of silence, as Azure does not: its option for that is not read.
PATIENT = """
const https = require("https"), create = https.createServer, patient = { get: () => 600000, set() {} };
https.createServer = (...given) => Object.defineProperty(create(...given), "keepAliveTimeout", patient);
"""


class AzureServer(Server):
    """Azurite (npm install azurite), with an empty container; reached as by a user who has signed in to Azure."""

    COMMAND = shutil.which("azurite-blob")
    ACCOUNT = "devstoreaccount1"  # Azurite's own

    def __init__(self, folder: Path) -> None:
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        request = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", "req", "-x509", *request, *files], check=True, capture_output=True)  # noqa: S607
        options = ["--blobHost", "127.0.0.1", "--blobPort", "{port}", "--inMemoryPersistence", "--skipApiVersionCheck"]
        secure = ["--oauth", "basic", "--cert", str(certificate), "--key", str(key), "--disableTelemetry"]
        patient = folder / "patient.js"
        patient.write_text(PATIENT)
        super().__init__([str(self.COMMAND), *options, *secure], {"NODE_OPTIONS": f"--require {patient}"})
        self.uri = f"abfs://{self.ACCOUNT}@127.0.0.1:{self.port}/{BUCKET}"
        _pretend_signed_in(folder / "az")
        self.environment = {"SSL_CERT_FILE": str(certificate), "PATH": f"{folder}:{os.environ['PATH']}"}

    def make_bucket(self) -> None:
        """Here it is called a container."""
        filesystem, _ = fs.FileSystem.from_uri(self.uri)
        filesystem.create_dir(BUCKET)


def _pretend_signed_in(az: Path) -> None:
    """A command that answers as Azure's own does after `az login`; Azurite looks at a token's dates and names alone."""
    now = int(time.time())
    until = {"iat": now - 60, "nbf": now - 60, "exp": now + 86400}
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/", "ver": "1.0", **until}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({"alg": "RS256"}, claims)]
    token = ".".join([*(part.rstrip("=") for part in parts), "c2ln"])
    answer = {"accessToken": token, "expires_on": now + 86400, "expiresOn": "2100-01-01 00:00:00.000000"}
    az.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    az.chmod(0o755)
