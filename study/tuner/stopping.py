"""What cuts a run short from outside: a signal, or a cluster that is gone."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import study.tuner.ray_environment  # noqa: F401

import ray

GO_ON = "What had finished is on disk; the same command goes on from there."
# Ctrl-C; a job server's or a scheduler's way to stop; a session that is closed, as of ssh.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TUNE_SIGNAL = signal.SIGUSR1  # on it Tune ends its loop in good order
LOOK_SECONDS = 1.0  # between two looks at the cluster
HEAD, NODE = "its head", "the node of this driver"
PATIENCE_SECONDS = {HEAD: 20.0, NODE: 3.0}  # a head may be restarted; without its own node's Ray a driver cannot go on
CONNECT_SECONDS = 5.0
FAILED = 1  # exit code


class Stop:
    """Notes whether a signal asked for the end.

    Attributes:
        signalled: it did.
    """

    def __init__(self) -> None:
        self.signalled = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Let Tune end in good order; the second time end at once."""
        if self.signalled:
            raise KeyboardInterrupt
        self.signalled = True
        signal.raise_signal(TUNE_SIGNAL)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """STOP_SIGNALS end the block in good order. To be entered after ray.init(), which sets handlers of its own.

    Under `nohup` SIGHUP stays ignored. Off the main thread, where no handler can be set,
    it does nothing.

    Raises:
        KeyboardInterrupt: signalled again, or before Tune was listening.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    under_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in STOP_SIGNALS if not (under_nohup and number is signal.SIGHUP)]
    before = {number: signal.signal(number, stop.on_signal) for number in heard}
    before[TUNE_SIGNAL] = signal.signal(TUNE_SIGNAL, signal.default_int_handler)  # until Tune sets its own
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End the program with exit code 1 where the block, the start of Ray, takes longer.

    Ray waits for ever for a part of it that was killed while it started, deaf to exceptions and signals.
    """
    timer = threading.Timer(seconds, _give_up, [f"Ray has not started in {seconds:g} s"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(reason: str) -> None:
    with suppress(OSError):  # the terminal is gone too
        print(f"\nerror: {reason}. {GO_ON}", file=sys.stderr, flush=True)
    os._exit(FAILED)


@contextmanager
def watched(cleanup: Callable[[], None]) -> Iterator[None]:
    """Look after the cluster while the block runs, and end the program with exit code 1 when it is gone.

    The main thread then waits inside Ray for answers that never come, deaf to exceptions and signals, until Ray itself
    ends the program, a minute later and with words of its own.

    Args:
        cleanup: what to clean up before.
    """
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(_places(), cleanup, ended), name="cluster watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(places: dict[str, tuple[str, int]], cleanup: Callable[[], None], ended: threading.Event) -> None:
    """Connect to each place now and then, until one has not answered for as long as it is given."""
    answered = dict.fromkeys(places, time.monotonic())
    while not ended.wait(LOOK_SECONDS):
        for name, place in places.items():
            if _answers(place):
                answered[name] = time.monotonic()
            elif time.monotonic() - answered[name] > PATIENCE_SECONDS[name] and not ended.is_set():
                cleanup()
                _give_up(f"the Ray cluster is gone: {name} at {':'.join(map(str, place))} is silent")


def _places() -> dict[str, tuple[str, int]]:
    """Where the cluster's head listens, and the Ray of this driver's node."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    own = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())  # type: ignore[no-untyped-call]
    return {HEAD: (host, int(port)), NODE: (own["NodeManagerAddress"], own["NodeManagerPort"])}


def _answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
