"""The files: what a start learns from them, and that none is trusted that should not be."""

from pathlib import Path

import pytest

from study.config import TrialConfig
from study.store.checkpoints import Checkpoints
from study.store.storage import RUN_FILE, Storage, file_name

TRIAL = "run:depth=8,recipe=isometric:search:1"
CONFIG = TrialConfig(epochs=9, checkpoint_every_epochs=2, learning_rate_drops=(0.3, 0.6))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    storage = Storage.at(tmp_path)
    storage.write(RUN_FILE, b"{}")
    return Checkpoints(storage)


def the_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "checkpoints").iterdir()
    return file


def test_what_was_saved_last_is_loaded(checkpoints: Checkpoints) -> None:
    assert checkpoints.load(TRIAL, CONFIG) is None
    for content in (b"first\nepochs", b"\nlater epochs"):
        checkpoints.save(TRIAL, CONFIG, content)
        assert checkpoints.load(TRIAL, CONFIG) == content
    assert checkpoints.load(f"{TRIAL}0", CONFIG) is None
    assert checkpoints.begun((), pytest.fail) == {TRIAL: CONFIG}


def test_another_config_is_refused_and_how_often_it_is_saved_is_no_matter(checkpoints: Checkpoints) -> None:
    checkpoints.save(TRIAL, CONFIG, b"content")
    assert checkpoints.load(TRIAL, CONFIG.model_copy(update={"checkpoint_every_epochs": None})) == b"content"
    with pytest.raises(ValueError, match="is of another config"):
        checkpoints.load(TRIAL, CONFIG.model_copy(update={"learning_rate": 0.2}))


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_damaged_file_is_refused(checkpoints: Checkpoints, tmp_path: Path, at: int) -> None:
    checkpoints.save(TRIAL, CONFIG, b"content")
    damaged = bytearray(the_file(tmp_path).read_bytes())
    damaged[at] ^= 0xFF
    the_file(tmp_path).write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        checkpoints.load(TRIAL, CONFIG)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"[]", b'{"trial_id": "t", "config": {}, "sha256": ""}'])
def test_a_start_removes_what_it_cannot_read_and_says_so(
    checkpoints: Checkpoints, tmp_path: Path, content: bytes
) -> None:
    checkpoints.save(TRIAL, CONFIG, b"content")
    the_file(tmp_path).write_bytes(content)
    said: list[str] = []
    assert checkpoints.begun((), said.append) == {}
    assert len(said) == 1
    assert "is damaged" in said[0]
    assert "the trial starts anew" in said[0]
    assert checkpoints.begun((), pytest.fail) == {}


def test_a_start_removes_those_of_finished_trials_and_what_a_killed_writer_left(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for trial_id in (TRIAL, "finished"):
        checkpoints.save(trial_id, CONFIG, b"content")
    (tmp_path / "checkpoints" / ".tmp-half").write_bytes(b"{")
    assert checkpoints.begun({"finished"}, pytest.fail) == {TRIAL: CONFIG}
    assert the_file(tmp_path).name == f"{file_name(TRIAL)}.checkpoint"


def test_removing_leaves_nothing_and_asks_for_nothing(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.remove(TRIAL)
    checkpoints.save(TRIAL, CONFIG, b"content")
    checkpoints.tidy()
    assert checkpoints.load(TRIAL, CONFIG) == b"content"
    checkpoints.remove(TRIAL)
    checkpoints.tidy()
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]


def test_a_file_has_one_trial_and_a_name_that_every_file_system_takes() -> None:
    names = [file_name(trial_id) for trial_id in ("a:b", "a,b", "a/b", "../a", "x" * 999, "x" * 998, "é")]
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert len(name) < 128
        assert not set('/\\:*?"<>|%,') & set(name)
        assert not name.startswith((".", "-"))


def test_where_the_run_is_gone_none_is_saved(checkpoints: Checkpoints, tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).unlink()
    with pytest.raises(FileNotFoundError, match="is no run any more"):
        checkpoints.save(TRIAL, CONFIG, b"content")
    assert not list(tmp_path.iterdir())
