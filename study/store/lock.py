"""One driver a run: a lock that the operating system drops with its holder, so that it is never stale.

On NFS the lock is the server's (version 4, or 3 with its lock daemon) and holds between machines; a machine that died
loses it when the server gives it up, some 90 s later. Mounted with `nolock` or `local_lock`, it holds within one
machine.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from study.store.lease import described, is_fresh, lease, this_driver
from study.store.storage import Storage

PATIENCE_SECONDS = 0.5  # of a driver that starts: whoever only looks holds the lock for less than a millisecond


@contextmanager
def run_lock(storage: Storage, say: Callable[[str], None] = print) -> Iterator[Callable[[], None]]:
    """Hold the run in `storage` while the block runs; where there are no locks, by a lease.

    Yields a check that it is still held, which raises RuntimeError: a lease may be lost, a lock is not.

    Raises:
        ValueError: another driver holds it; the message says which.
    """
    if not storage.is_local:
        with lease(storage, say) as check_held:
            yield check_held
        return
    lock, owner = _files(storage)
    try:
        with FileLock(lock, timeout=PATIENCE_SECONDS):
            owner.write_text(json.dumps(this_driver()))
            try:
                yield _never_lost
            finally:
                owner.unlink(missing_ok=True)
    except Timeout:
        raise ValueError(f"run {storage.name} is being run already: {_describe(owner)}") from None


def _never_lost() -> None:
    """The check of a lock."""


def is_held(storage: Storage) -> bool:
    """Whether a driver is at work on the run in `storage`; leaves nothing behind."""
    if not storage.is_local:
        return is_fresh(storage)
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


def _describe(owner: Path) -> str:
    return described(json.loads(owner.read_text()) if owner.exists() else {})
