"""A real S3-compatible server on loopback, in a process of its own: moto's."""

import socket
import sys
import threading
import time
import urllib.request
from contextlib import suppress

from store_servers import BUCKET, Server

KEY, SECRET = "AKIATESTKEY", "very+secret/word"


class S3Server(Server):
    """moto's server."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"])
        self.uri = f"s3://{BUCKET}"

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


class Gate:
    """A way to a server that can be shut, as when it or the network is gone for a while.

    Args:
        port: the server's.
        delay_seconds: that each piece of what is sent takes longer, either way.
    """

    def __init__(self, port: int, delay_seconds: float = 0.0) -> None:
        self._server_port, self._delay_seconds, self._pairs = port, delay_seconds, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._serve()

    def shut(self) -> None:
        """Refuse what comes and break what is under way; quiet when it is shut."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def open(self) -> None:
        """Let through again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is shut
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self._server_port))
                self._pairs += [here, there]
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=_forward, args=(*ends, self._delay_seconds), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket, delay_seconds: float) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            time.sleep(delay_seconds)
            target.sendall(content)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
