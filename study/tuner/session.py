"""The Ray session of a run: joined where there is a cluster, else started here, for this machine and this run alone."""

import functools
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import study.tuner.ray_environment  # noqa: F401

import ray
from filelock import FileLock, Timeout
from ray._private import ray_constants, services, worker
from ray.exceptions import RayError

from study.tuner.stopping import limited

CONNECT_SECONDS = 5.0
START_SECONDS = 300.0  # for a start: Ray gives its own processes 30, and it is tried twice
# Even where TMPDIR leads elsewhere: the paths of Ray's sockets must fit 107 bytes.
TEMPORARY = Path("/tmp")  # noqa: S108, names in it are made by tempfile
PREFIX, HELD = "study-ray-", "held"  # of our folders, and the file in each that its driver holds locked
CLIENT = "ray://"  # runs the driver's part inside the cluster, where it cannot write this machine's files


@contextmanager
def ray_session(address: str | None) -> Iterator[str | None]:
    """Connect to the cluster at `address` (or RAY_ADDRESS), or start one on this machine, quietly.

    A session that is there already (a test's, a notebook's) is used and left alone. Yields the address that was
    joined, or None.

    Raises:
        ValueError: no cluster answers, or it cannot be joined.
        RuntimeError: Ray does not start here.
        KeyboardInterrupt: SIGTERM came while Ray started.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what went wrong is in the tables and on the display
    if ray.is_initialized():
        yield None
        return
    address = address or os.environ.get("RAY_ADDRESS")
    _check_answers(address)
    with nullcontext("") if address else own_folder() as folder:
        try:
            with limited(START_SECONDS):
                _join(address) if address else _start_patiently(folder)
        except SystemExit:  # how Ray's own handler of SIGTERM ends a program
            raise KeyboardInterrupt from None
        try:
            with attribute_replaced(worker, "print_to_stdstream", _drop):
                yield ray.get_runtime_context().gcs_address if address else None
        finally:
            ray.shutdown()


@contextmanager
def own_folder() -> Iterator[str]:
    """Make the folder of a Ray of our own.

    In /tmp/ray, `ray job submit` and `--address auto` would take it for the machine's cluster.
    A lock in it tells whether its driver lives; a pid would not, for containers may share /tmp and not their pids.
    """
    with FileLock(TEMPORARY / f"{PREFIX}{os.getuid()}.lock"):  # no other start sees the folder without its lock
        _remove_orphans()
        folder = TemporaryDirectory(prefix=PREFIX, dir=TEMPORARY, ignore_cleanup_errors=True)
        held = FileLock(Path(folder.name) / HELD)
        held.acquire()
    with folder as name, held:
        yield name


def _remove_orphans() -> None:
    """Remove this user's folders that no driver holds."""
    for held in TEMPORARY.glob(f"{PREFIX}*/{HELD}"):
        with suppress(OSError, Timeout):
            if held.lstat().st_uid == os.getuid():
                with FileLock(held, timeout=0):
                    shutil.rmtree(held.parent, ignore_errors=True)


def _drop(*_: object, **__: object) -> None:
    """Drop what Ray would print of any node's reports, such as the last log lines of one that was lost."""


def _join(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except ConnectionError as error:
        raise ValueError(f"no Ray cluster answers at {address}: {error}") from error
    except (RayError, RuntimeError) as error:  # another version of Ray or Python there, or no token here
        raise ValueError(f"the Ray cluster at {address} cannot be joined: {' '.join(str(error).split())}") from error


def _start_patiently(folder: str) -> None:
    """Start Ray, once more where it fails: it gives its own processes 30 s, which a loaded machine may exceed."""
    try:
        _start(folder)
    except Exception:  # a bare one, where time is up
        ray.shutdown()
        try:
            _start(folder)
        except Exception as error:
            raise RuntimeError(
                f"Ray does not start on this machine, tried twice: {' '.join(str(error).split())}"
            ) from error


def _start(folder: str) -> None:
    """Start Ray so that only this machine reaches it, and that no signal to the driver's process group ends it.

    Ray itself replaces 127.0.0.1 by an address that other machines reach, unless it believes that it is on a system
    without clusters. And Ctrl-C, `timeout` or a job server signal a whole process group: Ray's processes must outlive
    the driver's orderly end (they die with it, however it comes). What a later Ray does not know is left alone.
    """
    apart = functools.partial(services.ConsolePopen, process_group=0) if hasattr(services, "ConsolePopen") else None
    with ExitStack() as stack:
        stack.enter_context(attribute_replaced(ray_constants, "ENABLE_RAY_CLUSTER", False))
        stack.enter_context(attribute_replaced(services, "ConsolePopen", apart))
        options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False}
        ray.init(address="local", _temp_dir=folder, logging_level=logging.CRITICAL, **options)


@contextmanager
def attribute_replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute another value while the block runs, if there is such an attribute."""
    if not hasattr(owner, name):
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _check_answers(address: str | None) -> None:
    """ValueError when nothing listens at a `host:port`: Ray itself would try for minutes."""
    if (address or "").startswith(CLIENT):
        raise ValueError(
            f"{address} is a Ray Client address: give the head's own, HEAD:6379, or submit the run as a job"
        )
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return  # none, or `auto`
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no Ray cluster answers at {address}: {error}") from error
