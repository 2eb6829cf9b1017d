"""One driver a run: a lock of the operating system, or where the storage knows none, a lease that its driver renews.

A lock is dropped with its holder, so it is never stale. On NFS it is the server's (version 4, or 3 with its lock
daemon) and holds between machines; a machine that died loses it when the server gives it up, some 90 s later. Mounted
with `nolock` or `local_lock`, it holds within one machine.

A lease is a file beside the run that its driver keeps rewriting. What remains open: files are written without
conditions, so two drivers that start within the same second may both write. Each reads again before it goes on, which
shows the loser the other's name. Where even that misses, because the other's write took longer than SETTLE_SECONDS and
than two of its own, the loser notices at its next beat and ends; what both have recorded by then is there twice, or,
where both chose the same number for a part of a table, one driver's newest part has taken the place of the other's. The
loser ends in good order, so rows of what it had finished may follow; run.json, journal and checkpoints it leaves to the
other.
obstore's conditional put would close this for s3, gs and abfs alone: hdfs, hf and fsspec would keep this lease beside a
second one with credentials of its own; and gcp-storage-emulator, with which gs is tested, honours no condition.
"""

import json
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from study.store.storage import Storage, read_json

PATIENCE_SECONDS = 0.5  # of a driver that starts: whoever only looks holds the lock for less than a millisecond
BEAT_SECONDS = 5.0  # between two signs of life
STALE_SECONDS = 30.0  # an owner that gives none for so long is dead: six beats, so that a slow request is no death
SETTLE_SECONDS = 1.0  # between writing the lease and looking whether another driver has written it too
LOOK_SECONDS = 1.0  # between two looks at another driver's lease

Owner = dict[str, Any]


@contextmanager
def run_lock(storage: Storage, say: Callable[[str], None] = print) -> Iterator[Callable[[], None]]:
    """Hold the run in `storage` while the block runs; where there are no locks, by a lease.

    Yields a check that it is still held, which raises RuntimeError: a lease may be lost, a lock is not.

    Raises:
        ValueError: another driver holds it; the message says which.
    """
    if not storage.is_local:
        with _lease(storage, say) as check_held:
            yield check_held
        return
    lock, owner = _files(storage)
    try:
        with FileLock(lock, timeout=PATIENCE_SECONDS):
            owner.write_text(json.dumps(_this_driver()))
            try:
                yield _never_lost
            finally:
                with suppress(OSError):  # of a disk that can no longer be written; the next driver replaces it
                    owner.unlink(missing_ok=True)
    except Timeout:
        raise _refusal(storage.name, _read(owner)) from None


def _never_lost() -> None:
    """Check nothing: a lock on a local file is never lost."""


def is_held(storage: Storage) -> bool:
    """Whether a driver is at work on the run in `storage`; leaves nothing behind."""
    if not storage.is_local:
        return _is_fresh(storage)
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


def _read(owner: Path) -> Owner:
    """Who holds the lock; unknown, an empty one, while the file is being written or removed."""
    try:
        told: Owner = json.loads(owner.read_text())
    except (OSError, ValueError):
        return {}
    return told


def _this_driver() -> Owner:
    """Who asks: host, pid and start time."""
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": platform.node(), "pid": os.getpid(), "started_at": started_at}


@contextmanager
def _lease(storage: Storage, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Hold the run in `storage` while the block runs. Beats are compared, not times: clocks may differ.

    Yields a check for the block's end, before it rewrites what another driver may have by now: it raises RuntimeError
    as below, without waiting for the next beat.

    Raises:
        ValueError: another driver holds it, and gave a sign of life within STALE_SECONDS.
        RuntimeError: another driver has taken it over, after this one could not write for so long; the block is ended
            by a KeyboardInterrupt.
    """
    mine = _Lease(storage)
    try:
        mine.take(say)
        with mine.kept():
            yield mine.check_held
    except KeyboardInterrupt:
        if mine.lost_to is None:
            raise
        raise mine.loss() from None
    finally:
        mine.release()


def _is_fresh(storage: Storage) -> bool:
    """Whether a driver seems to hold the run. By the clocks of the store and of this machine: enough for a list."""
    written_at = storage.parent.written_at(_lease_file(storage))
    if written_at is None:  # most of fsspec's file systems tell no times
        return storage.parent.exists(_lease_file(storage))
    return (datetime.now(UTC) - written_at).total_seconds() < STALE_SECONDS


def _lease_file(storage: Storage) -> str:
    return f".{storage.name}.owner.json"


class _Lease:
    """The file that says who drives a run; it lies beside the run, so that --fresh leaves it alone."""

    def __init__(self, storage: Storage) -> None:
        self._run, self._folder, self._file = storage.name, storage.parent, _lease_file(storage)
        self._mine: Owner = {**_this_driver(), "token": uuid.uuid4().hex, "beat": 0}
        self._turn = threading.Lock()  # not every file system lets a file be read while it is rewritten
        self.lost_to: Owner | None = None

    def take(self, say: Callable[[str], None]) -> None:
        """Become the owner, at once or when the one before has shown to be dead; ValueError when it lives."""
        owner = self._owner()
        if owner is not None:
            say(f"Run {self._run} has an owner, {_described(owner)}. Does it live? Waiting up to {STALE_SECONDS:g} s.")
            self._refuse_if_alive(owner)
        began = time.monotonic()
        self._write()
        # In a slow store, what another driver has begun to write by now takes as long.
        time.sleep(max(SETTLE_SECONDS, 2 * (time.monotonic() - began)))
        self._refuse_if(self._owner())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Give signs of life while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def check_held(self) -> None:
        """RuntimeError when another driver has taken the run over."""
        with self._turn:
            lost = self._is_lost()
        if lost:
            raise self.loss()

    def loss(self) -> RuntimeError:
        """The error to raise when the lease is lost."""
        return RuntimeError(f"run {self._run} was taken over: {_described(self.lost_to or {})}")

    def release(self) -> None:
        """Leave the run to others, unless another driver has it already; a lease that cannot be removed grows stale."""
        try:
            if self._is_mine(self._owner()):
                self._folder.remove(self._file)
        except OSError:
            return

    def _refuse_if_alive(self, owner: Owner) -> None:
        deadline = time.monotonic() + STALE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            asked = time.monotonic()
            now = self._owner()
            deadline += time.monotonic() - asked  # while the store is silent, its owner cannot give a sign either
            if now is None:
                return
            if now != owner:
                self._refuse_if(now or owner)  # of a file that grows in sight, nothing may be seen for a moment

    def _refuse_if(self, owner: Owner | None) -> None:
        if not self._is_mine(owner):
            raise _refusal(self._run, owner or {})

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                with self._turn:
                    if self._is_lost():
                        os.kill(os.getpid(), signal.SIGINT)
                        return
                    self._write()
            except OSError:  # gone for a moment: the next beat may come through
                continue

    def _is_lost(self) -> bool:
        owner = self._owner()
        if self.lost_to is None and not self._is_mine(owner):
            self.lost_to = owner or {}
        return self.lost_to is not None

    def _is_mine(self, owner: Owner | None) -> bool:
        return owner is not None and owner.get("token") == self._mine["token"]

    def _owner(self) -> Owner | None:
        try:
            return read_json(self._folder, self._file)
        except FileNotFoundError:
            return None
        except ValueError:  # no JSON: nobody rewrites it, so it grows stale
            return {}

    def _write(self) -> None:
        self._mine["beat"] += 1
        self._folder.write_now(self._file, json.dumps(self._mine).encode())


def _refusal(run: str, owner: Owner) -> ValueError:
    return ValueError(f"run {run} is being run already: {_described(owner)}")


def _described(owner: Owner) -> str:
    """`host a, pid 1, started_at 2026-01-01T00:00:00+00:00`."""
    told = ", ".join(f"{name} {owner[name]}" for name in ("host", "pid", "started_at") if name in owner)
    return told or "a driver that has just started or ended"
