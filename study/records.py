"""The result tables: writing that survives a crash, reading. Knows nothing of Ray or torch.

Three tables a run, each a folder of Parquet parts under one explicit schema (`study.store.schemas`). A part is
rewritten as a whole while it fills, so a reader never meets half a file nor a row twice. A trial's epochs and layers
are written before its row of `trials`, which is the commit mark: rows without it belong to an attempt that broke off,
and are dropped when the run is opened again.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.analysis.learning import learning_curves
from study.config import CONFIRM, SEARCH, refuse_unknown
from study.store.locations import redacted_error, redacted_uri
from study.store.run_file import read_run_file
from study.store.schemas import SCHEMAS, Row, to_arrow
from study.store.storage import RESULTS, RUN_FILE, Storage
from study.terminal import did_you_mean

FIRST_VERSION = SCHEMA_VERSION = 1
VERSION_KEY = b"study.schema_version"
# Version -> what makes a part of a named table of that version one of the next. A new column needs no entry: where a
# part lacks it, it reads as null. A column that changes its name or meaning does, and a higher SCHEMA_VERSION.
UPGRADES: dict[int, Callable[[str, pa.Table], pa.Table]] = {}
TRIALS_PER_PART = 64  # 10,000 trials make 157 parts; rewriting a part of that many stays in the tens of milliseconds
PART = re.compile(r"part-\d{5,}\.parquet")  # what is ours in a table's folder; all else is left alone
KEYS = {
    "trials": ("trial_id", "cell", "phase"),
    "epochs": ("trial_id", "epoch"),
    "layers": ("trial_id", "epoch", "layer"),
}
PHASES = {SEARCH, CONFIRM}
DAMAGED = "damaged"  # folder: Polars and DuckDB read all that lies in a table's own
DAMAGED_PREFIX = ".damaged-"  # of earlier versions, in the table's folder


class TableWriter:
    """Appends to one table; holds the part that is filling and rewrites it with each append."""

    def __init__(self, storage: Storage, name: str, provenance: Mapping[str, str]) -> None:
        self._storage, self._name = storage, name
        self._metadata = {  # prefixed: pandas takes a key named `pandas` for its own
            "study.schema_version": str(SCHEMA_VERSION),
            "study.provenance": json.dumps(dict(provenance)),
        }
        self._number = 1 + max((int(part[5:].partition(".")[0]) for part in _parts(storage, name)), default=-1)
        self._part = SCHEMAS[name].empty_table()
        self._trials_in_part = 0

    def append(self, rows: Iterable[Row]) -> None:
        """Add the rows of one trial; on disk when this returns."""
        if self._trials_in_part == TRIALS_PER_PART:
            self._number, self._trials_in_part, self._part = self._number + 1, 0, self._part.slice(0, 0)
        longer = pa.concat_tables([self._part, to_arrow(self._name, rows)])
        _write_part(self._storage, self._part_name(), longer.replace_schema_metadata(self._metadata))
        self._part, self._trials_in_part = longer, self._trials_in_part + 1

    def _part_name(self) -> str:
        return f"{self._name}/part-{self._number:05}.parquet"


def _parts(storage: Storage, name: str) -> list[str]:
    return [file for file in storage.names(name) if PART.fullmatch(file)]


def _write_part(storage: Storage, name: str, table: pa.Table) -> None:
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    storage.write(name, buffer.getvalue())


def read_table(run: str | Path | Sequence[str | Path], name: str) -> pd.DataFrame:
    """One table of a run as a DataFrame; empty, with its columns, when nothing is finished yet.

    Of several runs, the rows of all, in the order given: a column that one of them lacks is null there, and parts of
    older schema versions are brought up to this one's.

    Args:
        run: the name of a run under results/, a path, or a URI; or a list of them.
        name: `trials`, `epochs` or `layers`.

    Raises:
        ValueError: no such table or no such run, or one that a newer version has written.
    """
    refuse_unknown("table", name, SCHEMAS)
    runs = [run] if isinstance(run, str | Path) else run
    tables = [read_arrow(locate_run(one), name) for one in runs]
    joined = pa.concat_tables([SCHEMAS[name].empty_table(), *tables], promote_options="permissive")
    frame: pd.DataFrame = joined.to_pandas()
    return frame


def curves(run: str | Path) -> pd.DataFrame:
    """Learning curves of a run: `epochs` joined with `trials`, one row an epoch.

    Beside the columns of `epochs` stand the trial's cell, phase, recipe, seed, status and compared fields, and `step`,
    the gradient steps at the epoch's end (`study.analysis.learning.learning_curves`).

    Args:
        run: the name of a run under results/, a path, or a URI.

    Raises:
        ValueError: no such run, or its run.json is damaged.
    """
    storage = locate_run(run)
    facts = read_run_file(storage, "compared")
    trials, epochs = (read_arrow(storage, name).to_pandas() for name in ("trials", "epochs"))
    compared: list[str] = list(next(iter(facts["compared"].values()), {}))
    return learning_curves(trials, epochs, compared, train_images_of(facts))


def train_images_of(facts: Mapping[str, Any]) -> dict[str, int]:
    """How many images each data set of a run trains on, as far as its run.json tells."""
    return {name: splits["train"]["images"] for name, splits in facts.get("data", {}).items()}


def locate_run(run: str | Path) -> Storage:
    """The storage of a run given as a name under results/, a path or a URI; ValueError when there is none."""
    names = () if "://" in str(run) else (f"{RESULTS}/{run}", f"{RESULTS}/reference/{run}")
    for location in (run, *names):
        storage = Storage.at(location)
        if storage.exists(RUN_FILE):
            return storage
    raise ValueError(
        f"no run {redacted_uri(run)}: neither a folder with a {RUN_FILE} nor a name under {RESULTS}/{_runs_here(run)}"
    )


def _runs_here(run: str | Path) -> str:
    """What runs there are, and the one of nearly that name."""
    folders = (Storage.at(RESULTS), Storage.at(f"{RESULTS}/reference"))
    runs = [name for folder in folders for name in folder.folders("") if folder.exists(f"{name}/{RUN_FILE}")]
    return f"; there are {', '.join(runs)}{did_you_mean(str(run), runs)}" if runs else ""


def read_arrow(
    storage: Storage, name: str, *, columns: Sequence[str] | None = None, trial_ids: pa.Array | None = None
) -> pa.Table:
    """All parts of a table, concatenated; only these columns, and rows of these trials, where they are given.

    Parts are filtered one by one, so that a few trials of a table of millions of rows take little memory.
    """
    schema = SCHEMAS[name]
    if columns is not None:
        schema = pa.schema([schema.field(column) for column in columns])
    parts = storage.each(lambda part: _read_part(storage, f"{name}/{part}", columns, trial_ids), _parts(storage, name))
    return pa.concat_tables([schema.empty_table(), *parts], promote_options="permissive")


class DamagedPartError(ValueError):
    """A part cannot be read, or is not of its table: `reason` says why."""

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(
            f"{location} is damaged ({reason}): the next start of the run sets it aside, and trains again what is lost"
        )
        self.reason = reason


def _read_part(storage: Storage, path: str, columns: Sequence[str] | None, trial_ids: pa.Array | None) -> pa.Table:
    content = storage.read(path)
    try:
        table = _upgraded(path, pq.ParquetFile(BytesIO(content)), columns)
        schema = SCHEMAS[path.partition("/")[0]].empty_table()
        pa.concat_tables([schema, table.slice(0, 0)], promote_options="permissive")  # raises where types do not fit
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # flipped bytes raise plain OSError
        raise DamagedPartError(storage.sub(path).location, redacted_error(error)) from None
    if trial_ids is not None:
        table = table.filter(pc.is_in(table["trial_id"], value_set=trial_ids))
    return table if columns is None else table.select([column for column in columns if column in table.column_names])


def _upgraded(path: str, file: pq.ParquetFile, columns: Sequence[str] | None) -> pa.Table:
    """The part's columns as this version names them; of one of this version only those that are asked for."""
    version, here = int((file.schema_arrow.metadata or {}).get(VERSION_KEY, FIRST_VERSION)), file.schema_arrow.names
    if version > SCHEMA_VERSION:
        raise ValueError(f"{path} has schema version {version}, newer than {SCHEMA_VERSION}: update this package")
    if "trial_id" not in here:
        raise pa.ArrowKeyError("no column trial_id")
    chosen = None if columns is None or version < SCHEMA_VERSION else [column for column in columns if column in here]
    table = file.read(chosen).replace_schema_metadata()
    for older in range(version, SCHEMA_VERSION):
        table = UPGRADES[older](path.partition("/")[0], table)
    return table


def recover(storage: Storage, warn: Callable[[str], None]) -> list[Row]:
    """Make the tables consistent after a crash, and open failed trials again.

    Unreadable parts are set aside, trials that thereby lost their epochs or layers are taken out so that they run
    again, and rows of uncommitted trials are dropped.

    Returns:
        What was taken out of `trials` because it failed: what the environment breaks is no result.
    """
    storage.remove_temporary(SCHEMAS)
    for name in SCHEMAS:
        _move_earlier_damaged(storage, name)
        for part, reason in storage.each(partial(_checked, storage, name), _parts(storage, name)):
            if reason is not None:
                storage.rename(f"{name}/{part}", _aside(name, part))
                warn(f"{name}/{part} is damaged ({reason}): set aside as {_aside(name, part)}; its trials run again")
    trials = read_arrow(storage, "trials")
    for name in ("epochs", "layers"):
        if _has_damaged(storage, name):
            trained = pc.greater(pc.fill_null(trials["epochs_completed"], 0), 0)
            kept = pc.is_in(trials["trial_id"], value_set=_ids(read_arrow(storage, name)))
            trials = trials.filter(pc.or_(pc.invert(trained), kept))
    failed = pc.fill_null(pc.equal(trials["status"], "failed"), False)
    committed = _ids(trials.filter(pc.invert(failed)))
    for name in SCHEMAS:
        storage.each(partial(_drop_uncommitted, storage, name, committed), _parts(storage, name))
    return list(trials.filter(failed).to_pylist())


def _ids(table: pa.Table) -> pa.Array:
    return table["trial_id"].combine_chunks()


def _has_damaged(storage: Storage, name: str) -> bool:
    return any(file.startswith(f"{name}-") for file in storage.names(DAMAGED))


def _move_earlier_damaged(storage: Storage, name: str) -> None:
    """Out of the table's folder, where earlier versions left them."""
    for part in storage.names(name, hidden=True):
        if part.startswith(DAMAGED_PREFIX):
            storage.rename(f"{name}/{part}", _aside(name, part.removeprefix(DAMAGED_PREFIX)))


def _aside(name: str, part: str) -> str:
    return f"{DAMAGED}/{name}-{part}"


def _checked(storage: Storage, name: str, part: str) -> tuple[str, str | None]:
    """The part's name, and what is wrong with it, if anything."""
    try:
        table = _read_part(storage, f"{name}/{part}", None, None)
    except DamagedPartError as error:
        return part, error.reason
    for key in KEYS[name]:
        if key not in table.column_names or table[key].null_count:
            return part, f"rows without {key}"
    phases = set(table["phase"].unique().to_pylist()) if name == "trials" else set()
    return part, None if phases <= PHASES else f"phase {min(phases - PHASES)!r}"


def _drop_uncommitted(storage: Storage, name: str, committed: pa.Array, part: str) -> None:
    table = pq.read_table(BytesIO(storage.read(f"{name}/{part}")))
    kept = table.filter(pc.is_in(table["trial_id"], value_set=committed))
    if kept.num_rows < table.num_rows:
        _write_part(storage, f"{name}/{part}", kept)
