"""Runs where there is no local folder: real servers on loopback, spoken to as a user's own would be."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
from bad_input import check_refused
from pyarrow import fs
from s3_server import KEY, SECRET, S3Server
from store_servers import BUCKET, everywhere, in_whole_files
from table_rows import PROVENANCE, trial, write_trial

from study.planning.plan import Plan
from study.prepare import replaced
from study.records import TRIALS_PER_PART, TableWriter, read_arrow, read_table, recover
from study.report.__main__ import main as report
from study.report.run_list import list_runs
from study.search.journal import export_journal
from study.store.run_file import open_run_file, save_run_file
from study.store.storage import Storage


@pytest.fixture
def run(stored: Storage, tiny_plan: Plan) -> Storage:
    """Two finished trials."""
    save_run_file(stored, open_run_file(stored, tiny_plan))
    columns = {"run": "run", "phase": "search", "cell": "depth=8,recipe=he_l2", "recipe": "he_l2", "depth": 8}
    for number in range(2):
        TableWriter(stored, "epochs", PROVENANCE).append([{"trial_id": f"t{number}", "epoch": 1}])
        row = trial(number, **columns, dataset="digits", val_accuracy=0.5, num_classes=10)
        TableWriter(stored, "trials", PROVENANCE).append([row])
    return stored


@everywhere
def test_files_are_written_read_listed_renamed_and_removed(stored: Storage) -> None:
    assert not stored.exists("")
    assert stored.names("trials") == []
    stored.write("trials/part-0", b"old")
    stored.write("trials/part-0", b"newer")
    assert stored.read("trials/part-0") == b"newer"
    assert stored.exists("trials")
    assert stored.exists("")
    stored.rename("trials/part-0", "trials/.part-0")
    assert stored.names("trials") == []
    assert stored.names("trials", hidden=True) == [".part-0"]
    stored.remove("trials/.part-0")
    stored.remove("trials/.part-0")
    assert stored.names("trials", hidden=True) == []
    with pytest.raises(FileNotFoundError):
        stored.read("trials/part-0")
    stored.check_writable()


@everywhere
def test_a_folder_is_moved_and_deleted_whole(stored: Storage) -> None:
    names = ["run.json", "a", "trials/b", "weights/deep/c"]
    for name in names:
        stored.write(name, name.encode())
    other = stored.beside("other")
    stored.move_folder(other)
    assert not stored.exists("")
    assert [other.read(name) for name in names] == [name.encode() for name in names]
    other.delete_folder()
    other.delete_folder()
    assert not other.exists("")


@everywhere
def test_fresh_replaces_a_run_or_puts_it_back(run: Storage) -> None:
    def unsound() -> None:
        with replaced(run):
            assert not run.exists("run.json")
            raise ValueError("unsound")

    with pytest.raises(ValueError, match="unsound"):
        unsound()
    assert read_arrow(run, "trials").num_rows == 2
    with replaced(run):
        run.write("run.json", b"{}")
    assert read_arrow(run, "trials").num_rows == 0
    assert not run.beside(".run.replaced").exists("")


def test_no_bucket_is_refused(server: S3Server) -> None:
    with pytest.raises(ValueError, match=r"storage s3://nowhere/studies is not writable: .*bucket"):
        Storage.at("s3://nowhere/studies").check_writable()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://{bucket}/{test}",
        "s3://{bucket}/{test}?endpoint_override={url}",
        "s3://{bucket}/{test}?scheme=http&endpoint_override={host}&region=us-east-1",
        "s3://"
        + KEY
        + ":"
        + SECRET.replace("/", "%2F").replace("+", "%2B")
        + "@{bucket}/{test}?endpoint_override={url}",
    ],
)
def test_ways_to_name_a_server(server: S3Server, uri: str) -> None:
    uri = uri.format(bucket=BUCKET, test="ways", url=server.url, host=f"127.0.0.1:{server.port}")
    stored = Storage.at(uri)
    stored.write("run.json", b"{}")
    assert stored.location == f"s3://{BUCKET}/ways"
    assert Storage.at(stored.location).read("run.json") == b"{}"
    assert read_table(uri, "trials").empty


# Tables


@everywhere
def test_tables_are_read_as_from_a_folder(runs: str, stored: Storage, tmp_path: Path) -> None:
    local = Storage.at(tmp_path / "run")
    for place in (stored, local):
        place.write("run.json", b"{}")
        for number in range(3):
            write_trial(place, number)
    ours = read_table(f"{runs}/run", "trials")
    pd.testing.assert_frame_equal(ours, read_table(tmp_path / "run", "trials"))
    assert len(read_table([f"{runs}/run", tmp_path / "run"], "trials")) == 6
    with pytest.raises(ValueError, match=re.escape(f"no run {runs}/other")):
        read_table(f"{runs}/other", "trials")


def test_pandas_duckdb_and_polars_read_the_tables(server: S3Server, run: Storage) -> None:
    """As results/README.md says."""
    trials = f"{run.location}/trials"
    assert len(pd.read_parquet(trials)) == 2
    assert len(pd.read_parquet(f"{trials}?endpoint_override={server.url}")) == 2
    filesystem = fs.S3FileSystem(endpoint_override=server.url, access_key=KEY, secret_key=SECRET, region="us-east-1")
    assert len(pd.read_parquet(trials.removeprefix("s3://"), filesystem=filesystem)) == 2
    options = {"aws_endpoint_url": server.url, "aws_allow_http": "true"}
    assert len(pl.read_parquet(f"{trials}/*.parquet", storage_options=options)) == 2
    finished = ds.dataset(trials)
    assert duckdb.sql("select count(*) from finished").fetchall() == [(2,)], finished


def test_parts_are_few_and_listed_once(stored: Storage) -> None:
    writer = TableWriter(stored, "trials", PROVENANCE)
    for number in range(TRIALS_PER_PART + 1):
        writer.append([trial(number)])
    asked = Counting(stored.filesystem)
    table = read_arrow(replace(stored, filesystem=asked), "trials")
    assert table["trial_id"].to_pylist() == [f"t{number}" for number in range(TRIALS_PER_PART + 1)]
    assert asked.counts == {"get_file_info": 1, "open_input_file": 4}  # two parts, each looked at again when read


class Counting:
    """A file system that counts what it is asked for."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        self._filesystem, self.counts = filesystem, {}

    def __getattr__(self, name: str) -> object:
        attribute = getattr(self._filesystem, name)
        if callable(attribute):
            self.counts[name] = self.counts.get(name, 0) + 1
        return attribute


@in_whole_files
def test_a_reader_of_a_part_that_is_being_rewritten_never_sees_half_a_part_nor_a_row_twice(stored: Storage) -> None:
    writer, rows = TableWriter(stored, "trials", PROVENANCE), 40
    writer.append([trial(0)])
    writing = threading.Thread(target=lambda: [writer.append([trial(number)]) for number in range(1, rows)])
    writing.start()
    seen = [0]
    while writing.is_alive():
        ids = read_arrow(stored, "trials")["trial_id"].to_pylist()
        assert ids == [f"t{number}" for number in range(len(ids))]
        seen.append(len(ids))
    writing.join()
    assert seen == sorted(seen)
    assert read_arrow(stored, "trials").num_rows == rows


def test_an_object_replaced_while_it_is_read_is_read_again(stored: Storage) -> None:
    stored.write("part", b"old")
    replacing = Replacing(stored)
    assert replace(stored, filesystem=replacing).read("part") == b"newer"


class Replacing:
    """A file system on which the first object that is opened is replaced before it is read."""

    def __init__(self, stored: Storage) -> None:
        self._storage, self._replaced = stored, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage.filesystem, name)

    def open_input_file(self, path: str) -> object:
        """As the file system's own."""
        stream = self._storage.filesystem.open_input_file(path)
        if not self._replaced:
            self._replaced = True
            self._storage.write("part", b"newer")
        return stream


@everywhere
def test_a_damaged_part_is_set_aside_and_uncommitted_rows_are_dropped(stored: Storage) -> None:
    for number in range(3):
        write_trial(stored, number)
    TableWriter(stored, "epochs", PROVENANCE).append([{"trial_id": "t9", "epoch": 1}])
    stored.write("trials/part-00001.parquet", stored.read("trials/part-00001.parquet")[:50])
    warnings: list[str] = []
    recover(stored, warnings.append)
    assert "trials/part-00001.parquet is damaged" in warnings[0]
    for name in ("trials", "epochs", "layers"):
        assert read_arrow(stored, name)["trial_id"].to_pylist() == ["t0", "t2"]


# A run's other files


@everywhere
def test_the_report_its_exports_and_a_comparison(
    run: Storage, tiny_plan: Plan, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_journal(run, ("val_accuracy",), tiny_plan.cells, [])
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert report([run.location, "--compare", run.location, "--open"]) == 0
    assert Path(opened[0].removeprefix("file://")).read_bytes() == run.read("report.html")
    assert capsys.readouterr().out.strip() == f"{run.location}/report.html"
    assert run.location.encode() in run.read("report.html")
    assert report([run.location, "--text"]) == 0
    assert report([run.location, "--figures", str(tmp_path)]) == 0
    for kind in ("csv", "journal", "tensorboard"):
        assert report([run.location, "--export", kind]) == 0
    assert f"{run.location}/export/csv" in capsys.readouterr().out
    assert run.names("export/csv") == ["epochs.csv", "layers.csv", "trials.csv"]


@everywhere
def test_the_list_of_runs(run: Storage, runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    run.beside("reference").write("older/run.json", run.read("run.json"))
    run.beside(".run.replaced").write("run.json", run.read("run.json"))
    run.beside("no-run").write("file", b"")
    assert list_runs(runs)["run"].tolist() == ["reference/older", "run"]
    assert report(["--storage", runs]) == 0
    assert "2 of 8" in capsys.readouterr().out
    assert report([run.location, "--storage", runs]) == 2


def test_the_list_of_runs_shows_no_secret(server: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(["--storage", f"s3://{KEY}:hidden@{BUCKET}/none?endpoint_override={server.url}"]) == 0
    assert f"No run under s3://{BUCKET}/none/ yet" in capsys.readouterr().out


def test_a_bucket_that_is_not_there_is_told(server: S3Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert server.uri
    check_refused(report, ["--storage", "s3://nobucket"], "there is no bucket nobucket for s3://nobucket", capfd)
