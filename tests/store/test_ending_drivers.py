"""Drivers that start while another one of the same run is just ending."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sweep_files import TINY_FILE

from study.records import read_table
from study.run import main
from study.search.journal import is_whole
from study.store.storage import Storage

RUN = Path("results/mine-quick")
TRIALS = 8
# A driver's start takes seconds, the end of another one too: so those that start wait where all is imported.
HELD_UP = """
import sys
import study.launch, study.report.page, study.report.summary, study.datasets.baseline, study.planning.names
from study import run
print("ready", flush=True)
sys.stdin.readline()
sys.exit(run.main(sys.argv[1:]))
"""
AFTER_THE_LAST_ROW_SECONDS = (0.0, 0.4, 0.9, 1.6)  # of the journal, run.json, the summary, its picture, the report
PATIENCE_SECONDS = 300.0

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


def held_up() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HELD_UP, "mine.py"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, text=True, **pipes)


def release(drivers: list[subprocess.Popen[str]]) -> None:
    """Let them go on, one after the other, when the last trial is on disk."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ((RUN / "run.json").exists() and len(read_table(RUN, "trials")) == TRIALS):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    last_row = time.monotonic()
    for driver, seconds in zip(drivers, AFTER_THE_LAST_ROW_SECONDS, strict=True):
        time.sleep(max(0.0, last_row + seconds - time.monotonic()))
        driver.stdin.write("\n")
        driver.stdin.flush()


def test_a_start_at_the_end_of_another_is_refused_in_one_line_or_finds_the_run_finished(elsewhere: Path) -> None:
    (elsewhere / "mine.py").write_text(TINY_FILE)
    drivers = [held_up() for _ in AFTER_THE_LAST_ROW_SECONDS]
    for driver in drivers:
        assert "ready\n" in iter(driver.stdout.readline, "")
    releasing = threading.Thread(target=release, args=[drivers])
    releasing.start()
    assert main(["mine.py"]) == 0
    releasing.join()
    for driver in drivers:
        said, _ = driver.communicate(timeout=PATIENCE_SECONDS)
        if driver.returncode == 2:
            (refusal,) = said.splitlines()
            assert refusal.startswith("error: run mine-quick is being run already: ")
        else:
            assert driver.returncode == 0, said
            assert "Report: " in said
            assert "trials are done" not in said  # it trained nothing
    check_whole()
    assert main(["mine.py"]) == 0
    check_whole()


def check_whole() -> None:
    """Each row once, every file sound, nothing left over."""
    trials, epochs = read_table(RUN, "trials"), read_table(RUN, "epochs")
    assert (len(trials), trials.trial_id.nunique()) == (TRIALS, TRIALS)
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    assert is_whole(Storage.at(RUN))
    assert (RUN / "report.html").read_text().rstrip().endswith("</html>")
    assert not [*RUN.rglob(".tmp-*"), *RUN.rglob("*damaged*")]
