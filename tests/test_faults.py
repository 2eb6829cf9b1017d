"""Runs whose driver or workers are killed at random moments lose nothing. `make faults` kills 50 drivers."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from drivers import is_training
from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.records import read_table

FAULTS = int(os.environ.get("FAULTS", "5"))
BATCH = 5  # kills, after which the run is left to end: so its end, too, is seen after many histories
EPOCHS = 3
COMMAND = [
    *(sys.executable, "-m", "study.run", "depth_sweep", "--run", "faulty", "--trials", "1", "--max-failures", "2"),
    *("--set", "depth=8,14", "--set", "recipe=he_l2,isometric", "--set", f"epochs={EPOCHS}"),
]
TRIALS = 4 * (1 + 3)
# A driver is killed that long after its start, or after one of its first new rows: at a busy machine, which takes a
# minute to start, the former meets nothing but starts.
FROM_START_SECONDS, FROM_ROW_SECONDS, MOST_NEW_ROWS = 25.0, 3.0, 3
PATIENCE_SECONDS = 900.0  # much more than a busy machine needs: what hangs does so for good

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moments() -> random.Random:
    return random.Random(0)


def start() -> subprocess.Popen[bytes]:
    with Path("said.txt").open("ab") as said:
        return subprocess.Popen(COMMAND, stdout=said, stderr=said)


@pytest.mark.parametrize("kills", [min(BATCH, FAULTS - before) for before in range(0, FAULTS, BATCH)])
def test_nothing_is_lost_when_the_driver_is_killed_again_and_again(
    elsewhere: Path, moments: random.Random, kills: int
) -> None:
    kept = rows()
    while kills:
        run = start()
        try:
            wait_for_a_moment(run, len(kept), moments)
        finally:
            run.kill()
        if run.wait() == 0:  # it was faster: that was no kill
            check_whole(elsewhere / "results" / "faulty", kept)
            shutil.rmtree("results")
        else:
            assert run.returncode == -signal.SIGKILL, Path("said.txt").read_text()
            check_kept(kept)
            kills -= 1
        kept = rows()
    assert start().wait(timeout=PATIENCE_SECONDS) == 0, Path("said.txt").read_text()
    check_whole(elsewhere / "results" / "faulty", kept)


def wait_for_a_moment(run: subprocess.Popen[bytes], kept: int, moments: random.Random) -> None:
    """A random one, or the run's end where that comes first."""
    new = moments.randint(0, MOST_NEW_ROWS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while run.poll() is None and len(rows()) < min(kept + new, TRIALS - 1):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    seconds = moments.uniform(0.0, FROM_ROW_SECONDS) if new else moments.uniform(1.0, FROM_START_SECONDS)
    try:
        run.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return


def test_nothing_is_lost_when_workers_are_killed(elsewhere: Path, moments: random.Random) -> None:
    run = start()
    killed = 0
    while run.poll() is None and killed < 2:
        time.sleep(moments.uniform(2.0, 6.0))
        workers = [process for process in psutil.Process(run.pid).children(recursive=True) if is_training(process)]
        if workers and len(rows()) > killed:
            moments.choice(workers).send_signal(signal.SIGKILL)
            killed += 1
    assert run.wait(timeout=PATIENCE_SECONDS) == 0
    assert killed == 2
    trials = check_whole(elsewhere / "results" / "faulty", rows().head(0))
    assert trials.attempts.max() >= 2


def rows() -> pd.DataFrame:
    """On disk by now, each trial once."""
    there = Path("results/faulty/run.json").exists()
    trials = read_table("faulty", "trials") if there else pd.DataFrame({"trial_id": []})
    assert trials.trial_id.is_unique
    return trials


def check_kept(before: pd.DataFrame) -> pd.DataFrame:
    """The rows now: those of before stand first, as they were."""
    now = rows()
    if len(before):
        pd.testing.assert_frame_equal(now.head(len(before)), before)
    return now


def check_whole(run: Path, before: pd.DataFrame) -> pd.DataFrame:
    """Every planned trial once, epochs and layers of no other trials, studies as the table says, no stray file."""
    trials, epochs, layers = check_kept(before), read_table(run, "epochs"), read_table(run, "layers")
    assert len(trials) == TRIALS
    assert set(trials.status) == {"ok"}
    for table in (epochs, layers):
        assert set(table.trial_id) == set(trials.trial_id)
        assert not table.duplicated([name for name in ("trial_id", "epoch", "layer") if name in table]).any()
    assert epochs.groupby("trial_id").size().eq(EPOCHS).all()
    journal = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    for cell, rows in trials.groupby("cell"):
        told = load_study(study_name=str(cell), storage=journal).trials
        assert sorted(trial.value for trial in told) == sorted(rows.val_accuracy)
    assert not list(run.rglob("*damaged*"))
    return trials
