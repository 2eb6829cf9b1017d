"""Lets the run's journal grow with each trial, so that optuna-dashboard shows a run that is going."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.prepare import PreparedRun
from study.search.journal import Journal
from study.search.optuna_trials import FinishedTrial
from study.store.storage import JOURNAL
from study.training.epoch_record import EpochRecord
from study.tuner.listener import Listener


class LiveJournal(Listener):
    """Appends each finished trial, with its epochs and times, to a journal that holds all earlier ones."""

    def __init__(self, prepared: PreparedRun) -> None:
        self._cells = prepared.studies.planned
        self._journal = Journal(Path(prepared.storage.root) / JOURNAL, prepared.plan.objectives)
        self._accuracies: dict[str, dict[int, float]] = defaultdict(dict)

    def epoch_done(self, trial_id: str, record: EpochRecord) -> None:
        """Remember its accuracy; an epoch that is done again replaces the earlier one."""
        self._accuracies[trial_id][record.epoch] = record.val_accuracy

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """Append it."""
        accuracies = self._accuracies.pop(row["trial_id"], {})
        self._journal.add(self._cells[row["cell"]], [FinishedTrial(dict(row), accuracies)])
