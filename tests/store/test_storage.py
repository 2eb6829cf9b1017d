"""Files in a run's storage appear whole or not at all."""

import re
from dataclasses import replace

import pytest
from pyarrow import ArrowException

from study.store.locations import redacted_uri, safe_name
from study.store.storage import Storage


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
    with pytest.raises(ValueError, match=r"storage nowhere://x: .*: give a path, or a URI that begins with s3, gs,"):
        Storage.at("nowhere://x")


AZURE = "abfs://container@account.dfs.core.windows.net"


@pytest.mark.parametrize(
    ("given", "location", "inside"),
    [
        ("file:///a/b", "/a/b", "/a/b/run"),
        ("mock://host/a", "mock://host/a", "mock://host/a/run"),
        (f"{AZURE}/a%20b/", f"{AZURE}/a%20b", f"{AZURE}/a%20b/run"),
        (AZURE, AZURE, f"{AZURE}/run"),
        ("abfs://account@container/a?sv=1&sig=SECRET", "abfs://account@container/a", "abfs://account@container/a/run"),
        (
            "abfss://account@127.0.0.1:10000/container?enable_tls=false&sig=SECRET",
            "abfss://account@127.0.0.1:10000/container?enable_tls=false",
            "abfss://account@127.0.0.1:10000/container/run?enable_tls=false",
        ),
        ("gs://anonymous@bucket/a?project_id=p", "gs://anonymous@bucket/a", "gs://anonymous@bucket/a/run"),
        ("gcs://bucket", "gcs://bucket", "gcs://bucket/run"),
        ("fsspec+memory://a/b", "fsspec+memory://a/b", "fsspec+memory://a/b/run"),
    ],
)
def test_a_location_is_what_was_given_without_secrets(given: str, location: str, inside: str) -> None:
    storage = Storage.at(given)
    run = storage.sub("run")
    assert (storage.location, run.location) == (location, inside)
    assert (run.parent, run.beside("run"), run.name) == (storage, run, "run")
    for one in (storage, run):
        again = Storage.at(one.location)
        assert (again.root, again.location) == (one.root, one.location)


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("hdfs://user@namenode:9000/a?replication=2", "hdfs://user@namenode:9000/a"),
        ("hf://datasets/user/runs@main/a", "hf://datasets/user/runs@main/a"),
        ("fsspec+sftp://user:SECRET@host/a", "fsspec+sftp://host/a"),
        ("fsspec+https://TOKEN@host/a", "fsspec+https://host/a"),
        ("abfs://account:SECRET@container/a", "abfs://container/a"),
    ],
)
def test_a_name_is_shown_and_a_key_is_not(uri: str, location: str) -> None:
    assert redacted_uri(uri) == location


def test_what_a_file_system_raises_is_an_os_error_without_secrets(storage: Storage) -> None:
    with pytest.raises(OSError, match=r"^GET http://127.0.0.1/a said '404' to http://host/b$") as told:
        replace(storage, filesystem=_Talking(storage.filesystem)).names("")
    assert told.value.__cause__ is None


class _Talking:
    """A file system with errors of its own, which tell of signed requests on several lines, as Azure's do."""

    def __init__(self, filesystem: object) -> None:
        self.type_name = filesystem.type_name

    def get_file_info(self, _selector: object) -> None:
        raise ArrowException("GET http://127.0.0.1/a?sig=SECRET said '404'\nto http://KEY:SECRET@host/b")


def test_a_place_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="not writable"):
        Storage.at(tmp_path / "file").sub("run").check_writable()


def test_a_user_whom_nobody_knows_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^storage ~nobody-here/x: [^\n]+$"):
        Storage.at("~nobody-here/x")


@pytest.mark.parametrize(
    "text", ["..", ".", "", "/../../ESC", "a/../b", "..\\up", "~root", "x\0y", "CON:", "-", ".hidden"]
)
def test_a_file_name_made_from_data_leads_nowhere_else(text: str, tmp_path) -> None:
    name = safe_name(text)
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert re.fullmatch(r"[A-Za-z0-9=,_-][A-Za-z0-9.=,_-]*", name)
    assert safe_name("depth_curve-digits.png") == "depth_curve-digits.png"


def test_a_link_in_a_temporary_files_place_is_not_followed(storage: Storage, tmp_path) -> None:
    storage.write("report.html", b"old")
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    (tmp_path / "run" / ".tmp-report.html").symlink_to(precious)
    storage.write("report.html", b"new")
    assert (precious.read_bytes(), storage.read("report.html")) == (b"kept", b"new")
    assert not (tmp_path / "run" / "report.html").is_symlink()


def test_two_who_write_the_same_file_at_a_time_do_not_touch_each_others_half(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage._put

    def overtaken(self: Storage, path: str, content: bytes) -> None:
        put(self, path, content)
        if content == b"first":
            storage.write("report.html", b"second")

    monkeypatch.setattr(Storage, "_put", overtaken)
    storage.write("report.html", b"first")
    assert storage.read("report.html") == b"first"
    assert storage.names("", hidden=True) == ["report.html"]


def test_a_write_that_fails_leaves_no_temporary_file(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("report.html", b"old")
    monkeypatch.setattr(Storage, "_move_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        storage.write("report.html", b"new")
    assert storage.names("", hidden=True) == ["report.html"]
    assert storage.read("report.html") == b"old"
