"""The runs under a folder, one row each: state, progress, best. Reads only; never Ray or torch."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from study.analysis.scores import cell_name
from study.report.blocks import seconds
from study.report.opened_run import OpenedRun, open_run
from study.store.lock import is_held
from study.store.storage import RESULTS, RUN_FILE, Storage

COLUMNS = ["run", "state", "trials", "best", "last_written"]


def list_runs(results: str | Path = RESULTS) -> pd.DataFrame:
    """Every run in `results`, a folder or URI, and in its folder `reference`.

    Returns:
        COLUMNS, a row a run; one that cannot be read says why in `state`.
    """
    storage = Storage.at(results)
    _check_bucket(storage)
    names = sorted([*storage.folders(""), *(f"reference/{name}" for name in storage.folders("reference"))])
    are_runs = storage.each(lambda name: storage.exists(f"{name}/{RUN_FILE}"), names)
    runs = [name for name, is_run in zip(names, are_runs, strict=True) if is_run]
    return pd.DataFrame(storage.each(partial(_row, storage), runs), columns=COLUMNS)


def _check_bucket(storage: Storage) -> None:
    """ValueError where a store has no such bucket: what lies in one that is not there looks like nothing."""
    bucket = storage.root.partition("/")[0]
    if bucket and not storage.is_local and not replace(storage, root=bucket).exists(""):
        raise ValueError(f"there is no bucket {bucket} for {storage.location}")


def _row(storage: Storage, name: str) -> dict[str, str]:
    try:
        run = open_run(storage.sub(name))
        done, planned = run.progress
        values = (name, _state(run), f"{done} of {planned}", _best(run), _age(run))
    except (KeyError, ValueError, OSError) as error:
        values = (name, f"unreadable: {error}", "", "", "")
    return dict(zip(COLUMNS, values, strict=True))


def _state(run: OpenedRun) -> str:
    """A run that a driver holds is running, also while it ends; another one has finished, or was stopped before."""
    if is_held(run.storage):
        return "running"
    return "finished" if run.finished else "stopped"


def _best(run: OpenedRun) -> str:
    """The cell with the highest confirmed mean on each data set, or the best search trial before there is any."""
    words = []
    for part in run.parts:
        if len(part.curve):
            best = part.curve.sort_values("mean").iloc[-1]
            words.append(f"{best['mean']:.3f} {cell_name(best, part.names)}")
        elif part.trials["val_accuracy"].notna().any():
            words.append(f"{part.trials['val_accuracy'].max():.3f} in the search")
    return "; ".join(words)


def _age(run: OpenedRun) -> str:
    """How long ago its last trial ended, or before there is one, it began. A file's own time would be a checkout's."""
    last = run.trials["finished_at"].max()
    last = pd.to_datetime(run.facts["created_at"]) if pd.isna(last) else last
    return f"{seconds((datetime.now(UTC) - last).total_seconds())} ago"
