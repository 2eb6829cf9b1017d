"""A copy of a run's Optuna studies for optuna-dashboard and `optuna.load_study`: written from the tables alone."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.config import OBJECTIVES, SEARCH
from study.planning.cell import PlannedCell
from study.search.optuna_trials import FinishedTrial
from study.store.storage import JOURNAL, Storage


def is_whole(storage: Storage) -> bool:
    """Whether the journal is there and each of its lines is JSON."""
    try:
        lines = storage.read(JOURNAL).splitlines()
        return all(isinstance(json.loads(line), dict) for line in lines)
    except (FileNotFoundError, ValueError):
        return False


def export_journal(
    storage: Storage, objectives: Sequence[str], cells: Iterable[PlannedCell], finished: Iterable[FinishedTrial]
) -> None:
    """Write one study a cell, under the cell's name, with all its search trials and their intermediate values.

    To open one: `optuna.load_study(study_name="depth=110,recipe=isometric",
    storage=JournalStorage(JournalFileBackend("optuna.journal")))`.
    """
    searched = [trial for trial in finished if trial.row["phase"] == SEARCH]
    with TemporaryDirectory() as folder:
        file = Path(folder) / JOURNAL
        journal = JournalStorage(JournalFileBackend(str(file)))
        for cell in cells:
            directions = [OBJECTIVES[name] for name in objectives]
            study = optuna.create_study(study_name=cell.name, storage=journal, directions=directions)
            mine = [trial for trial in searched if trial.row["cell"] == cell.name]
            mine.sort(key=lambda trial: trial.number)
            study.add_trials([trial.frozen(cell.search, objectives) for trial in mine])
        storage.write(JOURNAL, file.read_bytes())
