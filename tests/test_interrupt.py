"""Whole runs, stopped in the middle: what had finished stays, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from study.records import read_table
from study.terminal import INTERRUPTED

COMMAND = [
    *(sys.executable, "-m", "study.run", "depth_sweep", "--run", "stopped", "--trials", "2"),
    *("--set", "depth=20,26", "--set", "recipe=he_l2,residual", "--set", "epochs=4"),
]
TRIALS = 4 * (2 + 3)
PATIENCE_SECONDS = 600.0  # much more than a busy machine needs: what hangs does so for good

pytestmark = pytest.mark.slow


STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
def test_a_stopped_run_keeps_what_had_finished_and_goes_on(elsewhere: Path, stop: signal.Signals) -> None:
    run = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0)
    wait_for_rows(run, 3)
    of_ray = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, stop)  # as a terminal, `timeout` and most schedulers do
    said, _ = run.communicate(timeout=PATIENCE_SECONDS)
    if stop != signal.SIGKILL:
        assert run.returncode == INTERRUPTED
        assert "the same command goes on" in said
        assert "Traceback" not in said
        assert sorted(os.listdir("results")) == [".stopped.lock", "stopped"]
        assert not Path("results/stopped/ray").exists()
    before = read_table("stopped", "trials")
    assert 3 <= len(before) < TRIALS
    again = subprocess.run(COMMAND, capture_output=True, text=True, check=True)
    assert "Traceback" not in again.stdout + again.stderr
    check_complete(before)
    _, still_there = psutil.wait_procs(of_ray, timeout=PATIENCE_SECONDS)  # after a SIGKILL some wait a minute
    assert not still_there


def wait_for_rows(run: subprocess.Popen[str], count: int) -> None:
    """Until so many trials are on disk."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and run.poll() is None:
        if Path("results/stopped/run.json").exists() and len(read_table("stopped", "trials")) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(f"only {os.listdir('results')} after {PATIENCE_SECONDS} s; exit code {run.poll()}")


def check_complete(before: pd.DataFrame) -> None:
    """Every planned trial once, the earlier ones as they were, epochs and layers of committed trials only."""
    after = read_table("stopped", "trials")
    assert len(after) == TRIALS
    assert after.trial_id.is_unique
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    for name in ("epochs", "layers"):
        table = read_table("stopped", name)
        assert set(table.trial_id) == set(after.trial_id)
        assert not table.duplicated(["trial_id", "epoch", *(["layer"] if name == "layers" else [])]).any()
