"""The Ray callback that turns reports into rows. It runs in the driver, the only process that writes tables."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from study.ray_environment import DriverOnly

from ray.tune import Callback

from study.cells import CellStudies, Job
from study.datasets import DATASETS
from study.plan import Plan
from study.records import TableWriter
from study.storage import Storage

ERROR_LINES = 20  # of a traceback kept in the table


class Listener(Protocol):
    """Who is told of a run's progress."""

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """A row of `trials` is on disk."""


class Recorder(DriverOnly, Callback):
    """Holds a trial's epochs until it ends, then writes its layers, its epochs, and its row: the commit mark.

    A trial that is interrupted reports no outcome and leaves nothing.
    """

    def __init__(
        self,
        plan: Plan,
        studies: CellStudies,
        storage: Storage,
        provenance: Mapping[str, str],
        listeners: Sequence[Listener],
    ) -> None:
        self._plan, self._studies, self._listeners = plan, studies, listeners
        self._commit = provenance["commit"]
        self._layers, self._epochs, self._trials = (
            TableWriter(storage, name, provenance) for name in ("layers", "epochs", "trials")
        )
        self.pruned: set[str] = set()  # ids of the trials that the scheduler has stopped
        self._epoch_rows: dict[str, list[dict[str, Any]]] = {}
        self._layer_rows: dict[str, list[dict[str, Any]]] = {}
        self._outcomes: dict[str, dict[str, Any]] = {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """An attempt begins: what an earlier one reported is void."""
        trial_id = trial.config["trial_id"]
        self._epoch_rows[trial_id], self._layer_rows[trial_id] = [], []

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Take rows out of the result, which Ray would otherwise copy into every snapshot."""
        trial_id = trial.config["trial_id"]
        if "outcome" in result:
            self._outcomes[trial_id] = result.pop("outcome")
        if "epoch" in result:
            mark = {"trial_id": trial_id}
            self._epoch_rows[trial_id].append(mark | result.pop("epoch"))
            self._layer_rows[trial_id] += (mark | row for row in result.pop("layers"))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write what the trial left, unless it was interrupted."""
        trial_id = trial.config["trial_id"]
        outcome = self._outcomes.pop(trial_id, None)
        if outcome is None and trial_id in self.pruned:
            outcome = _pruned_outcome(self._epoch_rows[trial_id])
        if outcome is not None:
            self._commit_trial(trial, outcome)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial raised, or its worker was lost, more often than is allowed."""
        error = _innermost(Path(trial.error_file).read_text())  # trial.get_error() looks where it is not yet
        self._commit_trial(trial, {"status": "failed", "error": error, "attempts": trial.num_failures})

    def _commit_trial(self, trial: Any, outcome: dict[str, Any]) -> None:
        job = self._studies.job(trial.config["trial_id"])
        epoch_rows, layer_rows = self._epoch_rows.pop(job.trial_id), self._layer_rows.pop(job.trial_id)
        if layer_rows:
            self._layers.append(layer_rows)
        if epoch_rows:
            self._epochs.append(epoch_rows)
        row = self._trial_row(job) | {"attempts": 1 + trial.num_failures} | outcome
        self._trials.append([row])
        self._studies.tell(job.trial_id, row)
        for listener in self._listeners:
            listener.trial_finished(row)

    def _trial_row(self, job: Job) -> dict[str, Any]:
        """Columns known before the trial ran."""
        return {
            **job.config.model_dump(),
            "run": self._plan.run,
            "sweep": self._plan.sweep,
            "cell": job.cell,
            "phase": job.phase,
            "trial_id": job.trial_id,
            "recipe": job.compared.get("recipe"),
            "num_classes": DATASETS[job.config.dataset].num_classes,
            "config_hash": config_hash(job),
            "commit": self._commit,
        }


def _pruned_outcome(epoch_rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is known of a trial that was stopped before it could sum itself up."""
    last = epoch_rows[-1]
    return {
        "status": "pruned",
        "best_val_accuracy": max(row["val_accuracy"] for row in epoch_rows),
        "train_loss": last["train_loss"],
        "val_loss": last["val_loss"],
        "epochs_completed": len(epoch_rows),
        "train_seconds": sum(row["seconds"] for row in epoch_rows),
    }


def _innermost(text: str) -> str:
    """The last lines of a traceback, where the cause is."""
    return "\n".join(text.strip().splitlines()[-ERROR_LINES:])


def config_hash(job: Job) -> str:
    """Twelve hex digits that equal configs share."""
    return hashlib.sha256(json.dumps(job.config.model_dump(), sort_keys=True).encode()).hexdigest()[:12]
