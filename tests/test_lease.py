"""One driver a run in an object store, where there are no locks."""

import json
import time

import pytest
from s3_server import BUCKET, S3Server

from study import lease as leases
from study.lock import is_held, run_lock
from study.storage import Storage


@pytest.fixture
def storage(server: S3Server, request: pytest.FixtureRequest) -> Storage:
    """A run's folder in a folder of the test's own."""
    return Storage.at(f"s3://{BUCKET}/{request.node.name}").sub("run")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases in tenths of seconds."""
    for name, value in {"BEAT": 0.1, "STALE": 3.0, "SETTLE": 0.05, "LOOK": 0.05}.items():
        monkeypatch.setattr(leases, f"{name}_SECONDS", value)


@pytest.mark.usefixtures("hasty")
def test_a_second_driver_is_refused_with_the_first_ones_host_pid_and_start(storage: Storage) -> None:
    said: list[str] = []
    refused = pytest.raises(ValueError, match=r"being run already: host .*, pid \d+, started_at 20")
    with run_lock(storage), refused, run_lock(storage, said.append):
        pass
    assert "Does it live?" in said[0]
    with run_lock(storage, pytest.fail):
        assert is_held(storage)
    assert not is_held(storage)
    assert storage.parent.names("", hidden=True) == []


@pytest.mark.usefixtures("hasty")
def test_the_lease_of_a_driver_that_gives_no_sign_of_life_is_taken_over(storage: Storage) -> None:
    dead = {"host": "gone", "pid": 1, "started_at": "then", "token": "x", "beat": 7}
    storage.parent.write(".run.owner.json", json.dumps(dead).encode())
    said: list[str] = []
    with run_lock(storage, said.append):
        owner = json.loads(storage.parent.read(".run.owner.json"))
        assert owner["host"] != "gone"
    assert "host gone, pid 1, started_at then" in said[0]


@pytest.mark.usefixtures("hasty")
def test_a_driver_whose_lease_was_taken_over_ends(storage: Storage) -> None:
    other = {"host": "other", "pid": 1, "started_at": "now", "token": "x", "beat": 1}

    def drive() -> None:
        with run_lock(storage):
            for _ in range(300):  # again, as a driver does: a beat of the first may come between
                storage.parent.write(".run.owner.json", json.dumps(other).encode())
                time.sleep(0.1)

    with pytest.raises(RuntimeError, match="run run was taken over: host other, pid 1"):
        drive()
    assert json.loads(storage.parent.read(".run.owner.json")) == other
