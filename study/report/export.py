"""A run's tables in other tools' formats: CSV, Optuna's journal, TensorBoard. Never Ray or torch.

Everything is written to `RUN/export/`, for the formats are copies: the Parquet tables stay what counts.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pandas as pd
from optuna.distributions import json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.config import SEARCH
from study.records import SCHEMAS, read_arrow
from study.report.blocks import plural
from study.report.opened_run import OpenedRun

EPOCH_MEASURES = (
    *("learning_rate", "train_loss", "val_loss", "train_accuracy", "val_accuracy"),
    *("orthonormality_defect", "modulated_fraction", "error_norm_ratio", "seconds"),
)


def export_run(run: OpenedRun, kind: str) -> str:
    """Write one of EXPORTS; returns a line that says what lies where.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in EXPORTS:
        raise ValueError(f"unknown export {kind!r}: known are {', '.join(EXPORTS)}")
    with TemporaryDirectory() as folder:
        count = EXPORTS[kind](run, Path(folder))
        target = run.storage.sub(f"export/{kind}")
        target.delete_folder()
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                target.write(file.relative_to(folder).as_posix(), file.read_bytes())
    return f"{count}: {target.root}"


def _csv(run: OpenedRun, folder: Path) -> str:
    """One file a table; lists in JSON's form."""
    for name in SCHEMAS:
        frame = read_arrow(run.storage, name).to_pandas()
        for column in ("learning_rate_drops",) if name == "trials" else ():
            frame[column] = frame[column].map(lambda value: value if value is None else json.dumps(list(value)))
        frame.to_csv(folder / f"{name}.csv", index=False)
    return f"{plural(len(SCHEMAS), 'table')} as CSV"


def _journal(run: OpenedRun, folder: Path) -> str:
    """One study a cell, with its search trials, under the cell's name: what optuna-dashboard opens."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    for cell in run.facts["compared"]:
        study = optuna.create_study(study_name=cell, storage=storage, direction="maximize")
        study.add_trials(list(_frozen(run, cell)))
    shutil.rmtree(folder / "optuna.journal.lock", ignore_errors=True)
    return f"{plural(len(run.facts['compared']), 'study').replace('studys', 'studies')} for optuna-dashboard"


def _frozen(run: OpenedRun, cell: str) -> Iterator[FrozenTrial]:
    declared = run.facts["declaration"]["cells"][cell]["search"]
    spaces = {field: json_to_distribution(json.dumps(space)) for field, space in declared.items()}
    rows = run.trials[(run.trials["cell"] == cell) & (run.trials["phase"] == SEARCH)]
    for row in rows.to_dict("records"):
        ended = row["status"] == "ok" and pd.notna(row["val_accuracy"])
        diverged = row["status"] == "diverged"  # a finite worst score, as the run's own sampler is told
        yield create_trial(
            state=TrialState.COMPLETE if ended or diverged else TrialState.FAIL,
            value=row["val_accuracy"] if ended else 0.0 if diverged else None,
            params={field: row[field] for field in spaces},
            distributions=spaces,
            user_attrs={"trial_id": row["trial_id"], "status": row["status"]},
        )


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
    return trial_id.replace(":", "--").replace("/", "-")


EXPORTS: dict[str, Callable[[OpenedRun, Path], str]] = {"csv": _csv, "journal": _journal, "tensorboard": _tensorboard}
