"""What goes wrong with an object store: secrets in messages, requests that fail for a moment, an interrupt."""

import logging
import os
import signal
from dataclasses import replace

import pytest
from pyarrow import fs
from s3_server import KEY, SECRET
from store_servers import BUCKET

from study.records import read_table
from study.store import storage as storages
from study.store.locations import redacted_uri
from study.store.storage import Storage


def test_locations_are_shown_without_secrets() -> None:
    assert redacted_uri("s3://KEY:SEC/R@ET@bucket/x?endpoint_override=http://h&client_secret=y") == "s3://bucket/x"
    assert redacted_uri("s3://bucket/x") == "s3://bucket/x"
    assert redacted_uri("folder/a@b?") == "folder/a@b?"


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://{KEY}:{SECRET}@{BUCKET}/x?bogus={SECRET}",  # the slash of the secret is not escaped
        f"s3://{KEY}:hidden@{BUCKET}/x?bogus={SECRET}",
        f"gs://{KEY}:hidden@{BUCKET}/x",
        f"nowhere://{KEY}:hidden@{BUCKET}/x",
        f"s3://{KEY}:hidden@no bucket/x",
    ],
)
def test_refusals_show_no_secret(uri: str) -> None:
    for refused in (Storage.at, lambda uri: read_table(uri, "trials")):
        with pytest.raises(ValueError, match="storage ") as refusal:
            refused(uri)
        assert not any(secret in str(refusal.value) for secret in (KEY, SECRET, "hidden"))
        assert refusal.value.__cause__ is None


def test_a_write_is_tried_again_and_says_so(
    stored: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storages, "PAUSES", (0.0, 0.0))
    failing = Failing(stored.filesystem, times=2)
    with caplog.at_level(logging.WARNING):
        replace(stored, filesystem=failing).write("a", b"1")
    assert stored.read("a") == b"1"
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "could not be written, again in 0 s: AWS Error SLOW_DOWN" in caplog.text


def test_a_write_that_keeps_failing_raises(stored: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages, "PAUSES", (0.0, 0.0))
    with pytest.raises(OSError, match="SLOW_DOWN"):
        replace(stored, filesystem=Failing(stored.filesystem, times=3)).write("a", b"1")
    with pytest.raises(ValueError, match="not writable"):
        replace(stored, filesystem=Failing(stored.filesystem, times=1)).check_writable()


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_the_middle_of_a_write_leaves_the_old_content_or_the_new(stored: Storage) -> None:
    stored.write("part", b"old")
    with pytest.raises(KeyboardInterrupt):
        replace(stored, filesystem=Interrupting(stored.filesystem)).write("part", b"new")
    assert stored.read("part") in {b"old", b"new"}


class Interrupting:
    """A file system whose user presses Ctrl-C when an object has been opened."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        self._filesystem = filesystem

    def __getattr__(self, name: str) -> object:
        return getattr(self._filesystem, name)

    def open_output_stream(self, path: str) -> object:
        """As the file system's own; the signal arrives before it is written to."""
        stream = self._filesystem.open_output_stream(path)
        os.kill(os.getpid(), signal.SIGINT)
        return stream


class Failing:
    """A file system whose first writes fail."""

    def __init__(self, filesystem: fs.FileSystem, times: int) -> None:
        self._filesystem, self._left = filesystem, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._filesystem, name)

    def open_output_stream(self, path: str) -> object:
        """As the file system's own, or not."""
        self._left -= 1
        if self._left >= 0:
            raise OSError("AWS Error SLOW_DOWN during PutObject operation")
        return self._filesystem.open_output_stream(path)
