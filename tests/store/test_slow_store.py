"""Two drivers of one run in a store that answers slowly and breaks off what is under way again and again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from drivers import PATIENCE_SECONDS, held_up, release
from s3_server import Gate, S3Server
from sweep_files import TINY_FILE

from study.records import read_table
from study.search.journal import is_whole
from study.store.storage import Storage

TRIALS = 8
DELAY_SECONDS, UP_SECONDS, DOWN_SECONDS = 0.05, 6.0, 1.0

pytestmark = pytest.mark.slow


@pytest.fixture
def way(server: S3Server) -> Iterator[Gate]:
    """A slow one, which the test's end shuts."""
    gate = Gate(server.port, DELAY_SECONDS)
    try:
        yield gate
    finally:
        gate.shut()


def restart_again_and_again(way: Gate, ended: threading.Event) -> None:
    while not ended.wait(UP_SECONDS):
        way.shut()
        ended.wait(DOWN_SECONDS)
        way.open()


def test_of_two_drivers_in_a_slow_and_restarting_store_one_runs_and_the_other_is_refused(
    runs: str, elsewhere: Path, way: Gate
) -> None:
    (elsewhere / "mine.py").write_text(TINY_FILE)
    drivers = [held_up("mine.py", "--storage", f"{runs}?endpoint_override={way.url}") for _ in range(2)]
    ended = threading.Event()
    restarting = threading.Thread(target=restart_again_and_again, args=[way, ended])
    restarting.start()
    try:
        for driver in drivers:  # within the same second, against which a store has no lock
            release(driver)
        said = [driver.communicate(timeout=PATIENCE_SECONDS)[0] for driver in drivers]
    finally:
        ended.set()
        restarting.join()
    assert sorted(driver.returncode for driver in drivers) == [0, 2], said
    (refused,) = (text for driver, text in zip(drivers, said, strict=True) if driver.returncode == 2)
    assert refused.splitlines()[-1].startswith("error: run mine-quick is being run already: ")
    assert "Traceback" not in "".join(said)
    run = Storage.at(f"{runs}/mine-quick")
    trials, epochs = read_table(run.location, "trials"), read_table(run.location, "epochs")
    assert (len(trials), trials.trial_id.nunique()) == (TRIALS, TRIALS)
    assert set(trials.status) == {"ok"}
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    assert is_whole(run)
