"""A run's tables in other tools' formats: CSV, Optuna's journal, TensorBoard. Never Ray or torch.

Everything is written to `RUN/export/`, for the formats are copies: the Parquet tables stay what counts.
"""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from study.config import refuse_unknown
from study.records import read_arrow
from study.report.opened_run import OpenedRun
from study.search.journal import is_whole
from study.store.locations import safe_name
from study.store.schemas import SCHEMAS
from study.store.storage import JOURNAL
from study.terminal import plural

EPOCH_MEASURES = (
    *("learning_rate", "train_loss", "val_loss", "train_accuracy", "val_accuracy"),
    *("orthonormality_defect", "modulated_fraction", "error_norm_ratio", "seconds"),
)


def export_run(run: OpenedRun, kind: str) -> str:
    """Write one of EXPORTS; returns a line that says what lies where.

    Raises:
        ValueError: unknown kind.
    """
    refuse_unknown("export", kind, EXPORTS)
    with TemporaryDirectory() as folder:
        count = EXPORTS[kind](run, Path(folder))
        target = run.storage.sub(f"export/{kind}")
        target.delete_folder()
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                target.write(file.relative_to(folder).as_posix(), file.read_bytes())
    return f"{count}: {target.location}"


def _csv(run: OpenedRun, folder: Path) -> str:
    """One file a table; lists in JSON's form."""
    for name in SCHEMAS:
        frame = read_arrow(run.storage, name).to_pandas()
        for column in ("learning_rate_drops",) if name == "trials" else ():
            frame[column] = frame[column].map(lambda value: value if value is None else json.dumps(list(value)))
        frame.to_csv(folder / f"{name}.csv", index=False)
    return f"{plural(len(SCHEMAS), 'table')} as CSV"


def _journal(run: OpenedRun, folder: Path) -> str:
    """The run's own copy of its studies, one a cell under the cell's name: what optuna-dashboard opens."""
    if not run.storage.exists(JOURNAL):
        raise ValueError(f"run {run.name} has no {JOURNAL}: it is written when the run ends, or is run again")
    if not is_whole(run.storage):
        raise ValueError(f"{JOURNAL} of run {run.name} is damaged: the run's own command writes it anew")
    (folder / JOURNAL).write_bytes(run.storage.read(JOURNAL))
    return f"{plural(len(run.facts['compared']), 'cell')} for optuna-dashboard"


def _tensorboard(run: OpenedRun, folder: Path) -> str:
    """One folder of events a trial: every measure of its epochs."""
    from tensorboardX import SummaryWriter  # where torch is installed, it imports it

    epochs = run.epochs(run.trials["trial_id"].tolist(), ("epoch", *EPOCH_MEASURES))
    for trial_id, rows in epochs.sort_values("epoch").groupby("trial_id", observed=True):
        with SummaryWriter(str(folder / _folder_name(str(trial_id)))) as writer:
            for row in rows.to_dict("records"):
                for name in EPOCH_MEASURES:
                    if pd.notna(row[name]):
                        writer.add_scalar(name, row[name], row["epoch"])
    return f"{plural(epochs['trial_id'].nunique(), 'trial')} for TensorBoard"


def _folder_name(trial_id: str) -> str:
    """A trial_id as a file name of any system."""
    return safe_name(trial_id.replace(":", "--").replace("/", "-"))


EXPORTS: dict[str, Callable[[OpenedRun, Path], str]] = {"csv": _csv, "journal": _journal, "tensorboard": _tensorboard}
