"""The Ray callback that turns reports into rows. It runs in the driver, the only process that writes tables."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

from study.ray_environment import DriverOnly

from ray.tune import Callback

from study.cells import CellStudies, Job
from study.datasets import DATASETS
from study.plan import Plan
from study.records import TableWriter
from study.storage import Storage


class Listener(Protocol):
    """Who is told of a run's progress: the display."""

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """A row of `trials` is on disk."""


class Recorder(DriverOnly, Callback):
    """Holds a trial's epochs until it ends, then writes its layers, its epochs, and its row: the commit mark.

    A trial that is interrupted reports no outcome and leaves nothing.
    """

    def __init__(
        self, plan: Plan, studies: CellStudies, storage: Storage, provenance: Mapping[str, str], listener: Listener
    ) -> None:
        self._plan, self._studies, self._listener = plan, studies, listener
        self._commit = provenance["commit"]
        self._layers, self._epochs, self._trials = (
            TableWriter(storage, name, provenance) for name in ("layers", "epochs", "trials")
        )
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
        outcome = self._outcomes.pop(trial.config["trial_id"], None)
        if outcome is not None:
            self._commit_trial(trial, outcome)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The worker itself was lost, more often than is allowed."""
        error = getattr(trial.get_error(), "message", None) or str(trial.get_error())
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
        self._studies.tell(job.trial_id, row["status"], row.get("val_accuracy"))
        self._listener.trial_finished(row)

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


def config_hash(job: Job) -> str:
    """Twelve hex digits that equal configs share."""
    return hashlib.sha256(json.dumps(job.config.model_dump(), sort_keys=True).encode()).hexdigest()[:12]
