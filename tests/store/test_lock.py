"""One driver a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.store.lock import is_held, run_lock
from study.store.storage import Storage


def test_a_second_driver_is_refused_with_the_first_ones_host_pid_and_start(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "mine")
    with (
        run_lock(storage),
        pytest.raises(ValueError, match="run mine is being run already") as refusal,
        run_lock(storage),
    ):
        pass
    assert f"pid {os.getpid()}" in str(refusal.value)
    assert "started_at 20" in str(refusal.value)


def test_other_runs_are_free(tmp_path: Path) -> None:
    with run_lock(Storage.at(tmp_path / "mine")), run_lock(Storage.at(tmp_path / "yours")):
        pass


def test_the_lock_of_a_killed_driver_is_not_held(tmp_path: Path) -> None:
    code = (
        "import os, sys; from study.store.lock import is_held, run_lock; from study.store.storage import Storage\n"
        "with run_lock(Storage.at(sys.argv[1])): os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "mine")], check=False)
    assert killed.returncode == 9
    assert (tmp_path / ".mine.owner.json").exists()
    with run_lock(Storage.at(tmp_path / "mine")):
        pass


def test_looking_at_a_lock_leaves_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "mine")
    assert not is_held(storage)
    assert not list(tmp_path.iterdir())
    with run_lock(storage):
        assert is_held(storage)
    assert not is_held(storage)
    with run_lock(storage):
        pass
