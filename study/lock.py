"""One driver a run: a lock that the operating system drops with its holder, so that it is never stale."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pyarrow import fs

from study.storage import Storage

PATIENCE_SECONDS = 0.5  # of a driver that starts: whoever only looks holds the lock for less than a millisecond


@contextmanager
def run_lock(storage: Storage) -> Iterator[None]:
    """Hold the run in `storage` while the block runs.

    On object stores there are no locks: there, starting one driver a run is up to the user.

    Raises:
        ValueError: another driver holds it; the message says which.
    """
    if not isinstance(storage.filesystem, fs.LocalFileSystem):
        yield
        return
    lock, owner = _files(storage)
    try:
        with FileLock(lock, timeout=PATIENCE_SECONDS):
            owner.write_text(json.dumps(_self()))
            try:
                yield
            finally:
                owner.unlink(missing_ok=True)
    except Timeout:
        raise ValueError(f"run {Path(storage.root).name} is being run already: {_describe(owner)}") from None


def is_held(storage: Storage) -> bool:
    """Whether a driver is at work on the run in `storage`; leaves nothing behind. On object stores: never known."""
    if not isinstance(storage.filesystem, fs.LocalFileSystem):
        return False
    lock, owner = _files(storage)
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # somebody else's lock, which may not be opened: the owner's file is all that can be seen
        return owner.exists()


def _files(storage: Storage) -> tuple[Path, Path]:
    """The lock, and the file that says who holds it; both beside the run, so that --fresh leaves them."""
    run = Path(storage.root)
    return run.parent / f".{run.name}.lock", run.parent / f".{run.name}.owner.json"


def _self() -> dict[str, str]:
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": platform.node(), "pid": str(os.getpid()), "started_at": started_at}


def _describe(owner: Path) -> str:
    holder = json.loads(owner.read_text()) if owner.exists() else {}
    return ", ".join(f"{name} {value}" for name, value in holder.items()) or "by a driver that has just started"
