"""A run whose driver or workers are killed at random moments loses nothing. `make faults` does it 20 times."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.records import read_table

FAULTS = int(os.environ.get("FAULTS", "5"))
COMMAND = [
    *(sys.executable, "-m", "study.run", "depth_sweep", "--run", "faulty", "--trials", "2", "--max-failures", "2"),
    *("--set", "depth=8,20", "--set", "recipe=he_l2,isometric", "--set", "epochs=3"),
]
TRIALS = 4 * (2 + 3)
LONGEST_SECONDS = 25.0  # of the random moments: beyond the run's start, within its end
PATIENCE_SECONDS = 300.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moments() -> random.Random:
    return random.Random(0)


def start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_nothing_is_lost_when_the_driver_is_killed_again_and_again(elsewhere: Path, moments: random.Random) -> None:
    kept = 0
    for _ in range(FAULTS):
        run = start()
        time.sleep(moments.uniform(1.0, LONGEST_SECONDS))
        run.send_signal(signal.SIGKILL)
        run.wait()
        if Path("results/faulty/run.json").exists():
            trials = read_table("faulty", "trials")
            assert trials.trial_id.is_unique
            assert len(trials) >= kept
            kept = len(trials)
    assert start().wait(timeout=PATIENCE_SECONDS) == 0
    check_whole(elsewhere / "results" / "faulty")


def test_nothing_is_lost_when_workers_are_killed(elsewhere: Path, moments: random.Random) -> None:
    run = start()
    killed = 0
    while run.poll() is None and killed < 2:
        time.sleep(moments.uniform(2.0, 6.0))
        workers = [process for process in psutil.Process(run.pid).children(recursive=True) if is_training(process)]
        if workers and len(rows("faulty")) > killed:
            moments.choice(workers).send_signal(signal.SIGKILL)
            killed += 1
    assert run.wait(timeout=PATIENCE_SECONDS) == 0
    assert killed == 2
    trials = check_whole(elsewhere / "results" / "faulty")
    assert trials.attempts.max() >= 2


def is_training(process: psutil.Process) -> bool:
    """A Ray worker that holds a trial: Ray names its process after the actor."""
    try:
        return "ImplicitFunc" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def rows(run: str):
    return read_table(run, "trials") if Path(f"results/{run}/run.json").exists() else []


def check_whole(run: Path):
    """Every planned trial once, epochs and layers of no other trials, studies as the table says, no stray file."""
    trials, epochs, layers = (read_table(run, name) for name in ("trials", "epochs", "layers"))
    assert len(trials) == TRIALS
    assert trials.trial_id.is_unique
    assert set(trials.status) == {"ok"}
    for table in (epochs, layers):
        assert set(table.trial_id) == set(trials.trial_id)
        assert not table.duplicated([name for name in ("trial_id", "epoch", "layer") if name in table]).any()
    assert epochs.groupby("trial_id").size().eq(3).all()
    journal = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    for cell, searched in trials[trials.phase == "search"].groupby("cell"):
        told = load_study(study_name=str(cell), storage=journal).trials
        assert sorted(trial.value for trial in told) == sorted(searched.val_accuracy)
    assert not list(run.rglob("*damaged*"))
    return trials
