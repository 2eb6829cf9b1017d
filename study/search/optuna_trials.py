"""Finished trials as the tables remember them, and what Optuna is told of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.store.schemas import Row

WORST_ACCURACY = 0.0  # what a diverged trial is told as: accuracies are never below it


@dataclass(frozen=True)
class FinishedTrial:
    """A row of `trials`, and the validation accuracy after each epoch."""

    row: Row
    accuracies: Mapping[int, float]

    @property
    def number(self) -> int:
        """The trial's number in its cell and phase."""
        return number_of(self.row["trial_id"])

    def frozen(self, space: Mapping[str, BaseDistribution], objectives: Sequence[str]) -> FrozenTrial:
        """The trial as Optuna knows it, with the times of its training where it came to train."""
        state, values = outcome(self.row, objectives)
        trial = create_trial(
            state=state,
            values=values,
            params={name: self.row[name] for name in space},
            distributions=dict(space),
            intermediate_values=dict(self.accuracies),
            user_attrs={name: self.row[name] for name in ("trial_id", "phase", "status")},
        )
        if self.row.get("started_at") and self.row.get("finished_at"):
            trial.datetime_start, trial.datetime_complete = (
                self.row[name].astimezone().replace(tzinfo=None)  # Optuna's times have no zone and are local
                for name in ("started_at", "finished_at")
            )
        return trial


def number_of(trial_id: str) -> int:
    """Read a trial's number in its cell and phase off its id; ValueError for an id that is none of ours."""
    number = trial_id.rpartition(":")[2]
    if not number.isdecimal():
        raise ValueError(
            f"table trials: trial_id {trial_id!r} is not RUN:CELL:PHASE:NUMBER. Take its row out, or start the run "
            "anew with --fresh"
        )
    return int(number)


def finished_trials(trials: Iterable[Row], epochs: Iterable[Row]) -> list[FinishedTrial]:
    """Rows of the `trials` and `epochs` tables, put together."""
    accuracies: dict[str, dict[int, float]] = defaultdict(dict)
    for epoch in epochs:
        accuracies[epoch["trial_id"]][epoch["epoch"]] = epoch["val_accuracy"]
    return [FinishedTrial(row, accuracies[row["trial_id"]]) for row in trials]


def outcome(row: Row, objectives: Sequence[str]) -> tuple[TrialState, list[float] | None]:
    """What Optuna is told: a diverged trial has the worst accuracy, one that failed has no values.

    Among several objectives a diverged trial counts as failed: having stopped early, it would be the cheapest of all.
    """
    if row["status"] == "pruned":
        return TrialState.PRUNED, None
    if row["status"] not in ({"ok", "diverged"} if len(objectives) == 1 else {"ok"}):
        return TrialState.FAIL, None
    accuracy = row["val_accuracy"] if row["status"] == "ok" else WORST_ACCURACY
    return TrialState.COMPLETE, [accuracy if name == "val_accuracy" else row[name] for name in objectives]


def all_failed(searched: Iterable[Mapping[Any, Any]], objectives: Sequence[str]) -> bool:
    """Whether Optuna was told of every search trial of a cell that it failed: there is no point worth confirming."""
    states = [outcome(row, objectives)[0] for row in searched]
    return bool(states) and all(state == TrialState.FAIL for state in states)
