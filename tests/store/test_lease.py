"""One driver a run in an object store, where there are no locks."""

import json
import time
from pathlib import Path

import pytest
from store_servers import between_drivers

from study.options import Options
from study.planning.plan import Plan
from study.prepare import prepared_run
from study.store import lock as leases
from study.store.lock import is_held, run_lock
from study.store.storage import Storage

OTHER = {"host": "other", "pid": 1, "started_at": "now", "token": "x", "beat": 1}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases in tenths of seconds, but that a driver on a busy machine is not taken for dead."""
    for name, value in {"BEAT": 0.1, "STALE": 30.0, "SETTLE": 0.05, "LOOK": 0.05}.items():
        monkeypatch.setattr(leases, f"{name}_SECONDS", value)


@between_drivers
@pytest.mark.usefixtures("hasty")
def test_a_second_driver_is_refused_with_the_first_ones_host_pid_and_start(stored: Storage) -> None:
    said: list[str] = []
    refused = pytest.raises(ValueError, match=r"being run already: host .*, pid \d+, started_at 20")
    with run_lock(stored), refused, run_lock(stored, said.append):
        pass
    assert "Does it live?" in said[0]
    with run_lock(stored, pytest.fail):
        assert is_held(stored)
    assert not is_held(stored)
    assert stored.parent.names("", hidden=True) == []


def test_a_lease_whose_time_is_not_told_counts() -> None:
    stored = Storage.at("fsspec+memory://leases/run")
    assert not is_held(stored)
    stored.parent.write(".run.owner.json", b"{}")
    assert is_held(stored)


@pytest.mark.usefixtures("hasty")
def test_the_lease_of_a_driver_that_gives_no_sign_of_life_is_taken_over(
    stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", 1.0)
    dead = {"host": "gone", "pid": 1, "started_at": "then", "token": "x", "beat": 7}
    stored.parent.write(".run.owner.json", json.dumps(dead).encode())
    said: list[str] = []
    with run_lock(stored, said.append):
        owner = json.loads(stored.parent.read(".run.owner.json"))
        assert owner["host"] != "gone"
    assert "host gone, pid 1, started_at then" in said[0]


@pytest.mark.usefixtures("hasty")
def test_while_the_store_is_silent_its_owner_is_not_taken_for_dead(
    stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.5)
    looks = iter(range(1, 100))

    def slow(_storage: Storage, _file: str) -> dict[str, object]:
        time.sleep(0.4)
        return OTHER | {"beat": 1 if next(looks) < 4 else 2}

    monkeypatch.setattr(leases, "read_json", slow)
    monkeypatch.setattr(leases._Lease, "_write", lambda _lease: pytest.fail("it was taken over"))
    with pytest.raises(ValueError, match="is being run already: host other"), run_lock(stored, lambda _: None):
        pass


@pytest.mark.usefixtures("hasty")
def test_an_interrupt_while_it_is_taken_leaves_no_lease(stored: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(leases.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt), run_lock(stored):
        pass
    assert stored.parent.names("", hidden=True) == []


@pytest.mark.usefixtures("hasty", "interruptible")
def test_a_driver_whose_lease_was_taken_over_ends(stored: Storage) -> None:
    def drive() -> None:
        with run_lock(stored):
            for _ in range(300):  # again, as a driver does: a beat of the first may come between
                stored.parent.write(".run.owner.json", json.dumps(OTHER).encode())
                time.sleep(0.1)

    with pytest.raises(RuntimeError, match="run run was taken over: host other, pid 1"):
        drive()
    assert json.loads(stored.parent.read(".run.owner.json")) == OTHER


def test_a_driver_whose_lease_was_taken_over_leaves_the_run_alone(runs: str, elsewhere: Path, tiny_plan: Plan) -> None:
    """Though it has had no beat since, and its block ends well."""
    stored = Storage.at(runs).sub(tiny_plan.run)

    def drive() -> None:
        with prepared_run(tiny_plan, Options(storage=runs), print):
            stored.parent.write(f".{stored.name}.owner.json", json.dumps(OTHER).encode())
            stored.write("run.json", b"the other's")

    with pytest.raises(RuntimeError, match="was taken over: host other, pid 1"):
        drive()
    assert stored.read("run.json") == b"the other's"
    assert not stored.exists("optuna.journal")
