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
from ray._private import ray_constants, services, worker
from ray.exceptions import RayError

CONNECT_SECONDS = 5.0
# Even where TMPDIR leads elsewhere: the paths of Ray's sockets must fit 107 bytes.
TEMPORARY = Path("/tmp")  # noqa: S108, names in it are made by tempfile
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
            _join(address) if address else _start_patiently(folder)
        except SystemExit:  # how Ray's own handler of SIGTERM ends a program
            raise KeyboardInterrupt from None
        try:
            with attribute_replaced(worker, "print_to_stdstream", _drop):
                yield ray.get_runtime_context().gcs_address if address else None
        finally:
            ray.shutdown()


def own_folder() -> TemporaryDirectory[str]:
    """Of a Ray of our own: in /tmp/ray, `ray job submit` and `--address auto` would take it for the machine's cluster.

    It bears the driver's pid, by which a later start knows it for one that a killed driver has left.
    """
    _remove_orphans()
    return TemporaryDirectory(prefix=f"study-ray-{os.getpid()}-", dir=TEMPORARY, ignore_cleanup_errors=True)


def _remove_orphans() -> None:
    """Remove this user's folders whose drivers are dead."""
    for folder in TEMPORARY.glob("study-ray-*-*"):
        with suppress(OSError):  # another driver that starts may have been faster
            pid = folder.name.split("-")[2]
            if pid.isdecimal() and folder.lstat().st_uid == os.getuid() and not _lives(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def _drop(*_: object, **__: object) -> None:
    """In place of Ray's printing of what any node reports, such as the last log lines of one that was lost."""


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
