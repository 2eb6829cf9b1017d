"""A real S3-compatible server on loopback, in a process of its own: moto's."""

import socket
import subprocess
import sys
import time
import urllib.request

PATIENCE_SECONDS = 60.0
BUCKET = "bucket"
KEY, SECRET = "AKIATESTKEY", "very+secret/word"


class S3Server:
    """moto's server on a port of its own. What it holds is gone when it stops."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

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
        raise AssertionError(f"moto's server did not come up: exit code {self.process.poll()}")

    def make_bucket(self) -> None:
        """An empty one."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")).close()  # noqa: S310

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()
