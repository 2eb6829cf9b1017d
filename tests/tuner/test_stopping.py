"""Signals and starts that never end; whole runs are in test_interrupt.py and test_nodes.py."""

import signal
import subprocess
import sys

import pytest

from study.tuner.stopping import STOP_SIGNALS, Stop, stoppable


def signalled(number: signal.Signals) -> Stop:
    """A block in which the signal comes before Tune listens."""
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:
        signal.raise_signal(number)
    return stop


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ends_the_block_in_good_order_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    assert signalled(number).signalled
    assert signal.getsignal(number) is before


def test_a_closed_session_is_among_them_and_under_nohup_it_is_not() -> None:
    assert signal.SIGHUP in STOP_SIGNALS
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert not stop.signalled
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_start_of_ray_that_hangs_ends_with_a_line() -> None:
    code = "import time; from study.tuner.stopping import limited\nwith limited(0.5): time.sleep(600)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: Ray has not started in 0.5 s.")
    assert done.stderr.strip().count("\n") == 0
