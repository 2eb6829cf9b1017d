"""Whole runs whose folder can no longer be written, or is taken away, while they are going on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from drivers import PATIENCE_SECONDS, wait_until
from sweep_files import TINY_FILE

from study.records import read_table
from study.run import main

COMMAND = [sys.executable, "-m", "study.run", "mine.py"]
RUN = Path("results/mine-quick")
TRIALS = 8

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


@pytest.fixture(autouse=True)
def tiny_file(elsewhere: Path) -> None:
    """A tiny sweep in the working directory."""
    (elsewhere / "mine.py").write_text(TINY_FILE)


@pytest.fixture
def disk() -> Iterator[None]:
    """The run's folder is a disk of its own where root runs the test, for whom modes mean nothing."""
    RUN.mkdir(parents=True)
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(RUN)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("may not mount")
    yield
    if os.geteuid() == 0:
        subprocess.run(["umount", "--lazy", str(RUN)], check=True)  # noqa: S607


def is_made(way: str) -> bool:
    """Whether the folder is `ro` or `rw` now; not while a file in it is open for writing."""
    if os.geteuid() == 0:
        remount = ["mount", "-o", f"remount,{way}", str(RUN)]
        return subprocess.run(remount, capture_output=True, check=False).returncode == 0
    for folder in (RUN, *(path for path in RUN.rglob("*") if path.is_dir())):
        folder.chmod(0o555 if way == "ro" else 0o755)
    return True


def rows() -> pd.DataFrame:
    """So far, each trial once."""
    there = (RUN / "run.json").exists()
    trials = read_table(RUN, "trials") if there else pd.DataFrame({"trial_id": []})
    assert trials.trial_id.is_unique
    return trials


def struck(fault: Callable[[], object]) -> str:
    """Start the run, let a fault come when some trials are on disk, and return the one error that ends it."""
    run = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: len(rows()) >= 2 or run.poll() is not None)
    of_ray = psutil.Process(run.pid).children(recursive=True)
    fault()
    said, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 1, said
    assert "Traceback" not in said
    assert not psutil.wait_procs(of_ray, timeout=PATIENCE_SECONDS)[1]
    (error,) = (line for line in said.splitlines() if "rror" in line)
    assert error == said.splitlines()[-1]
    return error


@pytest.mark.usefixtures("disk")
def test_a_folder_that_becomes_read_only_ends_the_run_which_goes_on_when_that_is_mended(
    capfd: pytest.CaptureFixture[str],
) -> None:
    error = struck(lambda: wait_until(lambda: is_made("ro")))
    assert error.startswith(f"error: run {RUN.absolute()} broke off: ")
    assert "Read-only file system" in error or "Permission denied" in error
    assert error.endswith("What had finished is safe; the same command goes on from there, once the cause is mended.")
    kept = rows()
    assert 2 <= len(kept) < TRIALS
    assert main(["mine.py"]) == 2
    assert f"error: storage {RUN.absolute()} is not writable: " in capfd.readouterr().err
    assert is_made("rw")
    assert main(["mine.py"]) == 0
    assert len(rows()) == TRIALS
    pd.testing.assert_frame_equal(rows().head(len(kept)), kept)
    assert not list(RUN.glob(".tmp-*"))


@pytest.mark.parametrize(("folder", "comes_back"), [(RUN, True), (RUN.parent, False)], ids=["moved", "deleted"])
def test_a_folder_that_is_taken_away_ends_the_run_which_goes_on_when_it_is_put_back_and_else_begins_anew(
    folder: Path, comes_back: bool
) -> None:
    error = struck(lambda: folder.rename("aside"))
    assert error.startswith(
        f"error: {RUN.absolute()} was deleted, moved, unmounted or replaced while its run was going"
    )
    assert error.endswith("the same command begins the run anew.")
    assert not RUN.exists()  # no half of a run
    kept = rows()
    if comes_back:
        Path("aside").rename(folder)
        kept = rows()
        assert f"and with it the {len(kept)} trials finished so far. Put it back" in error
    assert main(["mine.py"]) == 0
    assert len(rows()) == TRIALS
    if comes_back:
        pd.testing.assert_frame_equal(rows().head(len(kept)), kept)
