"""Files in a run's storage appear whole or not at all."""

from dataclasses import replace

import pytest

from study.storage import Storage


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage.at(tmp_path / "run")


def test_a_file_written_is_read_back_and_listed(storage: Storage) -> None:
    storage.write("trials/part-0.parquet", b"content")
    assert storage.read("trials/part-0.parquet") == b"content"
    assert storage.names("trials") == ["part-0.parquet"]
    assert storage.names("nothing") == []


def test_a_write_that_fails_leaves_the_old_file(storage: Storage) -> None:
    storage.write("run.json", b"old")
    with pytest.raises(OSError, match="No space left"):
        replace(storage, filesystem=_NoMove(storage.filesystem)).write("run.json", b"new")
    assert storage.read("run.json") == b"old"
    assert storage.names("") == ["run.json"]


class _NoMove:
    """A file system whose disk is full when a file is to take its place."""

    def __init__(self, filesystem: object) -> None:
        self._filesystem = filesystem

    def __getattr__(self, name: str) -> object:
        return getattr(self._filesystem, name)

    def move(self, *_names: str) -> None:
        raise OSError(28, "No space left on device")


def test_an_uri_is_opened_by_pyarrow(tmp_path) -> None:
    Storage.at(f"file://{tmp_path}/there").write("a", b"1")
    assert (tmp_path / "there" / "a").read_bytes() == b"1"


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="storage nowhere://x"):
        Storage.at("nowhere://x")


@pytest.mark.parametrize("uri", ["mock://bucket/x", "abfs://container@account.dfs.core.windows.net/x"])
def test_a_file_system_whose_uri_could_not_be_told_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^storage (mock|abfs)://.*: give a path, s3://bucket/folder or gs://"):
        Storage.at(uri)


def test_a_place_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="not writable"):
        Storage.at(tmp_path / "file").sub("run").check_writable()
