"""A copy of a run's Optuna studies for optuna-dashboard and `optuna.load_study`: one study a cell, under its name.

It is written from the tables alone, and nothing of the run is ever read from it. Where the run lies on this machine it
grows with each trial, so that `optuna-dashboard RUN/optuna.journal` shows a run that is going; a store has no way to
append, and gets it when the run ends.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.config import CONFIRM, OBJECTIVES
from study.planning.cell import PlannedCell
from study.search.optuna_trials import FinishedTrial
from study.store.storage import JOURNAL, Storage


class Journal:
    """A journal file that trials are appended to.

    To open one: `optuna.load_study(study_name="depth=110,recipe=isometric",
    storage=JournalStorage(JournalFileBackend("optuna.journal")))`.
    """

    def __init__(self, file: Path, objectives: Sequence[str]) -> None:
        self._objectives, self._storage = objectives, JournalStorage(JournalFileBackend(str(file)))
        self._studies: dict[str, optuna.Study] = {}

    def add(self, cell: PlannedCell, trials: Iterable[FinishedTrial] = ()) -> None:
        """Append the trials to the study of their cell; also one without trials is shown."""
        if cell.name not in self._studies:
            directions = [OBJECTIVES[name] for name in self._objectives]
            self._studies[cell.name] = optuna.create_study(
                study_name=cell.name, storage=self._storage, directions=directions, load_if_exists=True
            )
        self._studies[cell.name].add_trials([trial.frozen(cell.search, self._objectives) for trial in trials])

    def count(self) -> int:
        """Trials of all studies."""
        return sum(summary.n_trials for summary in optuna.get_all_study_summaries(self._storage))


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
    """Write the journal anew, each cell's searches before its confirmations, unless it holds all these trials."""
    planned = {cell.name: cell for cell in cells}
    trials = [trial for trial in finished if trial.row["cell"] in planned]
    trials.sort(key=lambda trial: (trial.row["phase"] == CONFIRM, trial.number))
    if is_whole(storage) and _holds(storage.read(JOURNAL), len(trials), objectives):
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / JOURNAL
        journal = Journal(file, objectives)
        for name, cell in planned.items():
            journal.add(cell, [trial for trial in trials if trial.row["cell"] == name])
        storage.write(JOURNAL, file.read_bytes())


def _holds(content: bytes, trials: int, objectives: Sequence[str]) -> bool:
    """Whether Optuna reads so many trials out of a journal."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / JOURNAL
        file.write_bytes(content)
        try:
            return Journal(file, objectives).count() == trials
        except Exception:  # Optuna has no error of its own for a journal that is none
            return False
