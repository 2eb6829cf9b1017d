"""Whole runs in an object store: continued, started anew, killed, and with a store that is gone for a while."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from drivers import wait_until
from pyarrow import fs
from s3_server import KEY, SECRET, Gate, S3Server
from store_servers import of_whole_runs
from sweep_files import TINY_FILE

from study.records import read_table
from study.report.__main__ import main as report
from study.run import main
from study.store import lock as leases
from study.store import storage as storages
from study.store.storage import Storage

TRIALS = 8

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


@pytest.fixture(autouse=True)
def tiny_file(elsewhere: Path) -> None:
    """A tiny sweep in the working directory."""
    (elsewhere / "mine.py").write_text(TINY_FILE)


def finished(runs: str) -> pd.DataFrame:
    """The rows so far, each trial once; none before the run has begun."""
    storage = Storage.at(f"{runs}/mine-quick")
    trials = read_table(storage.location, "trials") if storage.exists("run.json") else pd.DataFrame({"trial_id": []})
    assert trials.trial_id.is_unique
    return trials


@of_whole_runs
def test_a_run_is_continued_reported_replayed_and_begun_anew(
    runs: str, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["mine.py", "--storage", runs]) == 0
    first = finished(runs)
    assert len(first) == TRIALS
    assert f"Report: {runs}/mine-quick/report.html" in capfd.readouterr().out
    assert main(["mine.py", "--storage", runs]) == 0
    assert "trials are done" not in capfd.readouterr().out
    pd.testing.assert_frame_equal(finished(runs), first)
    assert report([f"{runs}/mine-quick", "--text"]) == 0
    assert main(["replay", f"{runs}/mine-quick", first.trial_id[0]]) == 0
    assert main(["mine.py", "--storage", runs, "--fresh", "--trials", "1"]) == 0
    again = finished(runs)
    assert len(again) == TRIALS - 2
    assert again.started_at.min() > first.started_at.max()
    assert not (elsewhere / "results").exists()
    said = "".join(capfd.readouterr())
    for name, content in files(runs):
        assert not any(secret.encode() in content for secret in (KEY, SECRET)), name
    assert not any(secret in said for secret in (KEY, SECRET))


def files(runs: str) -> Iterator[tuple[str, bytes]]:
    """Every object under the URI."""
    filesystem, folder = fs.FileSystem.from_uri(runs)
    for info in filesystem.get_file_info(fs.FileSelector(folder, recursive=True)):
        if info.is_file:
            yield info.path, filesystem.open_input_stream(info.path).read()


def test_a_killed_run_goes_on(runs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "study.run", "mine.py", "--storage", runs, "--set", "epochs=4"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(finished(runs)) >= 2 or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = finished(runs)
    assert 2 <= len(kept) < TRIALS
    monkeypatch.setattr(leases, "STALE_SECONDS", 3.0)
    assert main(["mine.py", "--storage", runs, "--set", "epochs=4"]) == 0
    assert len(finished(runs)) == TRIALS
    pd.testing.assert_frame_equal(finished(runs).head(len(kept)), kept)


def test_a_store_that_is_gone_for_a_while_ends_no_run(
    runs: str, server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    with gate(server) as way:
        breaking = shut_after(way, lambda: len(finished(runs)) >= 2, for_seconds=20.0)  # one request tries for 6
        assert main(["mine.py", "--storage", f"{runs}?endpoint_override={way.url}"]) == 0
        breaking.join()
    assert len(finished(runs)) == TRIALS
    assert "could not be written, again in 1 s" in caplog.text


def test_a_store_that_stays_gone_ends_the_run_with_its_rows_safe(
    runs: str, server: S3Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch, gate(server) as way:
        patch.setattr(storages, "PAUSES", (0.1,))
        breaking = shut_after(way, lambda: len(finished(runs)) >= 2, for_seconds=None)
        assert main(["mine.py", "--storage", f"{runs}?endpoint_override={way.url}"]) == 1
        breaking.join()
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "What had finished is safe; the same command goes on from there, once the cause is mended." in error
    kept = finished(runs)
    assert 2 <= len(kept) < TRIALS
    monkeypatch.setattr(leases, "STALE_SECONDS", 3.0)
    assert main(["mine.py", "--storage", runs]) == 0
    pd.testing.assert_frame_equal(finished(runs).head(len(kept)), kept)
    assert len(finished(runs)) == TRIALS


@contextmanager
def gate(server: S3Server) -> Iterator[Gate]:
    """An open gate before the server."""
    way = Gate(server.port)
    try:
        yield way
    finally:
        way.shut()


def shut_after(way: Gate, moment: Callable[[], bool], for_seconds: float | None) -> threading.Thread:
    """Shut the gate when the moment has come, for good where no time is given."""

    def work() -> None:
        wait_until(moment)
        way.shut()
        if for_seconds is not None:
            time.sleep(for_seconds)
            way.open()

    thread = threading.Thread(target=work)
    thread.start()
    return thread
