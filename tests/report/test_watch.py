"""A page that is kept up to date while its run goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from study.bench.tables import GeneratedRun
from study.report.__main__ import main
from study.report.opened_run import open_run
from study.report.watch import LOOK_SECONDS, watch
from study.store.storage import Storage

SMALL = GeneratedRun(depths=(8, 44), searches=1, confirms=4)
REFRESH = 'http-equiv="refresh"'


@pytest.fixture
def going(elsewhere: Path) -> tuple[Path, Path, bytes]:
    """A run of which half the trials are there: its folder, the table's part, and what that holds in the end."""
    folder = elsewhere / "results" / "mine"
    SMALL.write(Storage.at(folder))
    (part,) = (folder / "trials").iterdir()
    whole = part.read_bytes()
    table = pq.read_table(part)
    pq.write_table(table.slice(0, table.num_rows // 2), part)
    return folder, part, whole


def test_the_page_is_written_as_trials_come_and_stops_loading_itself_at_the_end(
    going: tuple[Path, Path, bytes],
) -> None:
    folder, part, whole = going
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        assert REFRESH in (folder / "report.html").read_text()
        if len(pauses) == 2:
            part.write_bytes(whole)

    run = open_run("mine")
    written = list(watch(run, run.storage, sleep))
    planned = run.planned
    assert [line.partition(":")[0] for line in written] == [f"{n} of {planned} trials" for n in (planned // 2, planned)]
    assert len(pauses) == 2  # at the first of them nothing was new
    assert min(pauses) >= LOOK_SECONDS
    assert REFRESH not in (folder / "report.html").read_text()


def test_a_finished_run_is_written_once(going: tuple[Path, Path, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    folder, part, whole = going
    part.write_bytes(whole)
    assert main(["mine", "--watch"]) == 0
    planned = open_run("mine").planned
    assert capsys.readouterr().out.splitlines() == [f"{planned} of {planned} trials: {folder}/report.html"]


def test_two_runs_are_not_watched(going: tuple[Path, Path, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", "--watch", "--compare", "mine"]) == 2
    assert "--watch shows one run" in capsys.readouterr().err


def test_ctrl_c_ends_it_without_a_word(going: tuple[Path, Path, bytes]) -> None:
    command = [sys.executable, "-m", "study.report", "mine", "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert " of " in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
        assert watching.stderr.read() == ""
