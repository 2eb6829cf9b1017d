"""Drivers that start while another one of the same run is just ending."""

import subprocess
import threading
import time
from pathlib import Path

import pytest
from drivers import PATIENCE_SECONDS, held_up, release, wait_until
from sweep_files import TINY_FILE

from study.records import read_table
from study.run import main
from study.search.journal import is_whole
from study.store.storage import Storage

RUN = Path("results/mine-quick")
TRIALS = 8
AFTER_THE_LAST_ROW_SECONDS = (0.0, 0.4, 0.9, 1.6)  # of the journal, run.json, the summary, its picture, the report

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


def release_in_turn(drivers: list[subprocess.Popen[str]]) -> None:
    """Let them go on, one after the other, when the last trial is on disk."""
    wait_until(lambda: (RUN / "run.json").exists() and len(read_table(RUN, "trials")) == TRIALS)
    last_row = time.monotonic()
    for driver, seconds in zip(drivers, AFTER_THE_LAST_ROW_SECONDS, strict=True):
        time.sleep(max(0.0, last_row + seconds - time.monotonic()))
        release(driver)


def test_a_start_at_the_end_of_another_is_refused_in_one_line_or_finds_the_run_finished(elsewhere: Path) -> None:
    (elsewhere / "mine.py").write_text(TINY_FILE)
    drivers = [held_up("mine.py") for _ in AFTER_THE_LAST_ROW_SECONDS]
    releasing = threading.Thread(target=release_in_turn, args=[drivers])
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
