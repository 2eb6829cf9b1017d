"""The tables: schemas, round trips, crashes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_rows import PROVENANCE, trial, write_trial

from study import records
from study.config import TrialConfig
from study.records import TRIALS_PER_PART, TableWriter, read_arrow, read_table, recover
from study.store.schemas import SCHEMAS, to_arrow
from study.store.storage import Storage, write_json


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage.at(tmp_path / "run")
    write_json(storage, "run.json", {})
    return storage


def test_every_config_field_is_a_column() -> None:
    assert set(TrialConfig.model_fields) <= set(SCHEMAS["trials"].names)


def test_rows_survive_a_round_trip_with_nulls(storage: Storage) -> None:
    rows = [
        trial(0, val_accuracy=None, finished_at=datetime(2026, 1, 2, tzinfo=UTC), learning_rate_drops=(0.5,)),
        trial(1, val_accuracy=0.5, error="broke", attempts=2),
    ]
    writer = TableWriter(storage, "trials", PROVENANCE)
    for row in rows:
        writer.append([row])
    back = read_arrow(storage, "trials").to_pylist()
    for row, again in zip(rows, back, strict=True):
        expected = dict.fromkeys(SCHEMAS["trials"].names) | row
        assert again == expected | {"learning_rate_drops": list(row["learning_rate_drops"])}


def test_a_column_that_the_schema_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="table epochs has no column leraning_rate"):
        to_arrow("epochs", [{"leraning_rate": 0.1}])


def test_pandas_alone_reads_what_read_table_reads(storage: Storage, tmp_path: Path) -> None:
    for number in range(3):
        write_trial(storage, number)
    ours, pandas = read_table(tmp_path / "run", "trials"), pd.read_parquet(tmp_path / "run" / "trials")
    pd.testing.assert_frame_equal(ours, pandas)


def test_an_empty_run_reads_as_empty_tables_with_their_columns(storage: Storage) -> None:
    assert list(read_table(storage.root, "layers").columns) == SCHEMAS["layers"].names


def test_a_run_is_found_by_name_under_results(elsewhere: Path) -> None:
    write_json(Storage.at(elsewhere / "results" / "mine"), "run.json", {})
    assert read_table("mine", "trials").empty
    with pytest.raises(ValueError, match=r"no run yours: .*; there are mine$"):
        read_table("yours", "trials")
    with pytest.raises(ValueError, match=r"there are mine; did you mean mine\?"):
        read_table("mime", "trials")
    with pytest.raises(ValueError, match="unknown table 'trails': known are trials, epochs, layers"):
        read_table("mine", "trails")


def test_parts_stay_few(storage: Storage) -> None:
    writer = TableWriter(storage, "trials", PROVENANCE)
    for number in range(2 * TRIALS_PER_PART + 1):
        writer.append([trial(number)])
    assert len(storage.names("trials")) == 3
    assert read_arrow(storage, "trials").num_rows == 2 * TRIALS_PER_PART + 1


def test_a_second_writer_begins_a_new_part(storage: Storage) -> None:
    for number in range(3):
        write_trial(storage, number)
    storage.rename("trials/part-00001.parquet", "trials/.gone")
    write_trial(storage, 3)
    assert storage.names("trials") == ["part-00000.parquet", "part-00002.parquet", "part-00003.parquet"]


def test_parts_carry_version_and_provenance(storage: Storage, tmp_path: Path) -> None:
    write_trial(storage, 0)
    metadata = pq.read_schema(tmp_path / "run" / "trials" / "part-00000.parquet").metadata
    assert metadata[b"study.schema_version"] == b"1"
    assert json.loads(metadata[b"study.provenance"]) == PROVENANCE


def test_rows_of_a_trial_that_was_not_committed_are_dropped(storage: Storage) -> None:
    write_trial(storage, 0)
    TableWriter(storage, "epochs", PROVENANCE).append([{"trial_id": "t1", "epoch": 1}])
    recover(storage, pytest.fail)
    assert read_arrow(storage, "epochs")["trial_id"].to_pylist() == ["t0"]
    assert read_arrow(storage, "layers")["trial_id"].to_pylist() == ["t0"]


def test_a_damaged_part_is_set_aside_and_named(storage: Storage, tmp_path: Path) -> None:
    for number in range(2):
        write_trial(storage, number)
    part = tmp_path / "run" / "trials" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:50])
    warnings: list[str] = []
    recover(storage, warnings.append)
    assert "trials/part-00001.parquet is damaged" in warnings[0]
    assert read_arrow(storage, "trials")["trial_id"].to_pylist() == ["t0"]
    assert read_arrow(storage, "epochs")["trial_id"].to_pylist() == ["t0"]


def write_by_hand(folder: Path, name: str, columns: dict[str, list[object]], version: int = 1) -> None:
    """A table as another version or machine may have left it."""
    table = pa.table(columns).replace_schema_metadata({"study.schema_version": str(version)})
    (folder / name).mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    pq.write_table(table, folder / name / "part-00000.parquet")


def test_several_runs_make_one_table_and_missing_columns_are_null(storage: Storage, tmp_path: Path) -> None:
    write_trial(storage, 0)
    write_by_hand(tmp_path / "other", "trials", {"trial_id": ["t9"], "val_accuracy": [1], "added_later": ["x"]})
    both = read_table([storage.root, tmp_path / "other"], "trials")
    assert both["trial_id"].tolist() == ["t0", "t9"]
    assert both["val_accuracy"].tolist()[1] == 1.0
    assert both["depth"].isna().tolist() == [False, True]
    assert both["added_later"].isna().tolist() == [True, False]
    assert read_table([], "trials").empty


def test_older_versions_are_upgraded_and_newer_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_by_hand(tmp_path / "old", "epochs", {"trial_id": ["t0"], "accuracy": [0.5]}, version=1)
    write_by_hand(tmp_path / "new", "epochs", {"trial_id": ["t1"], "val_accuracy": [0.7]}, version=2)
    with pytest.raises(ValueError, match="schema version 2, newer than 1: update this package"):
        read_table(tmp_path / "new", "epochs")
    monkeypatch.setattr(records, "SCHEMA_VERSION", 2)
    renamed = {"accuracy": "val_accuracy"}
    monkeypatch.setattr(records, "UPGRADES", {1: lambda name, table: table.rename_columns(renamed)})
    both = read_table([tmp_path / "old", tmp_path / "new"], "epochs")
    assert both["val_accuracy"].tolist() == [0.5, 0.7]
    narrow = read_arrow(Storage.at(tmp_path / "old"), "epochs", columns=["trial_id", "val_accuracy", "seconds"])
    assert narrow.to_pylist() == [{"trial_id": "t0", "val_accuracy": 0.5, "seconds": None}]


def test_a_few_columns_of_a_few_trials_are_read_alone(storage: Storage) -> None:
    for number in range(3):
        write_trial(storage, number)
    chosen = read_arrow(storage, "layers", columns=["trial_id", "layer"], trial_ids=pa.array(["t1", "t2"]))
    assert chosen.to_pylist() == [{"trial_id": "t1", "layer": 0}, {"trial_id": "t2", "layer": 0}]


def test_duckdb_and_polars_open_the_tables_unchanged(storage: Storage) -> None:
    for number in range(3):
        write_trial(storage, number)
    ours = read_table(storage.root, "trials").sort_values("trial_id")
    polars = pl.read_parquet(f"{storage.root}/trials/*.parquet").sort("trial_id")
    assert polars.columns == list(ours.columns)
    assert polars["learning_rate"].to_list() == ours["learning_rate"].tolist()
    query = f"select * from '{storage.root}/trials/*.parquet' order by trial_id"  # noqa: S608
    duck = duckdb.sql(query)
    assert duck.columns == list(ours.columns)
    assert duck.fetchall()[2][duck.columns.index("trial_id")] == "t2"


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_tables_folder_holds_whole_and_current_parts_alone(
    storage: Storage, tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a recovery, after a kill while a part was written, and in a folder that an earlier version has left."""
    for number in range(3):
        write_trial(storage, number)
    folder = tmp_path / "run" / table
    (folder / "part-00001.parquet").write_bytes(b"junk")
    (folder / ".damaged-part-00007.parquet").write_bytes(b"junk")
    for temporary in (folder / ".tmp-part-00002.parquet", folder.parent / f".tmp-{table}-part-00009.parquet"):
        temporary.write_bytes((folder / "part-00000.parquet").read_bytes())
    recover(storage, print)
    writer = TableWriter(storage, table, PROVENANCE)
    with monkeypatch.context() as killed:
        killed.setattr(Storage, "_move_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.append([{"trial_id": "t9"}])
    assert {file.name for file in folder.iterdir()} == {"part-00000.parquet", "part-00002.parquet"}
    assert len(pl.read_parquet(folder)) == len(duckdb.sql(f"select * from '{folder}/*.parquet'").fetchall()) == 2  # noqa: S608
    assert len(list((folder.parent / "damaged").iterdir())) == 2
    recover(storage, print)
    assert not list(folder.parent.glob(".tmp-*"))


def test_other_files_in_a_tables_folder_are_left_alone(storage: Storage, tmp_path: Path) -> None:
    write_trial(storage, 0)
    others = [tmp_path / "run" / "trials" / name for name in ("notes.parquet", "README.txt", "part-1.parquet")]
    for file in others:
        file.write_text("not ours")
    recover(storage, pytest.fail)
    write_trial(storage, 1)
    assert read_table(storage.root, "trials")["trial_id"].tolist() == ["t0", "t1"]
    assert {file.read_text() for file in others} == {"not ours"}


WRONG = [
    ({"val_accuracy": [0.5]}, "no column trial_id"),
    ({"trial_id": [None], "cell": ["all"], "phase": ["search"]}, "rows without trial_id"),
    ({"trial_id": ["t1"], "cell": ["all"], "phase": ["train"]}, "phase 'train'"),
    ({"trial_id": ["t1"], "phase": ["search"]}, "rows without cell"),
    ({"trial_id": [1], "cell": ["all"], "phase": ["search"]}, "string vs int64"),
]


@pytest.mark.parametrize(("columns", "reason"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_part_of_sound_form_and_wrong_content_is_set_aside(
    storage: Storage, tmp_path: Path, columns: dict, reason: str
) -> None:
    write_trial(storage, 0)
    pq.write_table(pa.table(columns), tmp_path / "run" / "trials" / "part-00001.parquet")
    said: list[str] = []
    recover(storage, said.append)
    (line,) = said
    assert line.startswith("trials/part-00001.parquet is damaged (")
    assert reason in line
    assert read_arrow(storage, "trials")["trial_id"].to_pylist() == ["t0"]


@pytest.mark.parametrize("content", [b"junk", b"", b"PAR1" + bytes(40) + b"PAR1"])
def test_who_reads_a_damaged_part_is_told_which_and_what_repairs_it(
    storage: Storage, tmp_path: Path, content: bytes
) -> None:
    write_trial(storage, 0)
    part = tmp_path / "run" / "epochs" / "part-00000.parquet"
    part.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{part} is damaged \(.+\): the next start of the run sets it aside"):
        read_table(storage.root, "epochs")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("table", ["epochs", "layers"])
def test_trials_that_lost_their_epochs_or_layers_run_again(storage: Storage, tmp_path: Path, table: str) -> None:
    for number in range(2):
        TableWriter(storage, "layers", PROVENANCE).append([{"trial_id": f"t{number}", "epoch": 1, "layer": 0}])
        TableWriter(storage, "epochs", PROVENANCE).append([{"trial_id": f"t{number}", "epoch": 1}])
        TableWriter(storage, "trials", PROVENANCE).append([trial(number, epochs_completed=1)])
    part = tmp_path / "run" / table / "part-00001.parquet"
    content = bytearray(part.read_bytes())
    content[4:40] = b"x" * 36
    content[-60:-20] = b"x" * 40
    part.write_bytes(bytes(content))
    recover(storage, print)
    for name in SCHEMAS:
        assert read_arrow(storage, name)["trial_id"].to_pylist() == ["t0"]
