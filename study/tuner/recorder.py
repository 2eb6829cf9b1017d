"""The Ray callback that turns reports into rows. It runs in the driver, the only process that writes tables."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from study.tuner.ray_environment import DriverOnly

from ray.tune import Callback

from study.prepare import PreparedRun
from study.records import TableWriter
from study.search.cell_study import PlannedTrial
from study.store.checkpoints import Checkpoints
from study.store.run_file import check_there
from study.store.weights import FOLDER as WEIGHTS
from study.store.weights import write_weights
from study.training.epoch_record import EpochRecord
from study.training.memory import line_on_memory
from study.tuner.listener import Listener
from study.tuner.messages import (
    MESSAGE,
    EpochDone,
    Note,
    TrialDone,
    epoch_row,
    outcome_of,
    rows_of_layers,
)

logger = logging.getLogger(__name__)

ERROR_LINES = 20  # of a traceback kept in the table


class Recorder(DriverOnly, Callback):
    """Holds a trial's epochs until it ends, then writes its weights, layers, epochs, and its row: the commit mark.

    A trial that is interrupted reports no outcome and leaves nothing but its checkpoint, which a finished one does not
    leave, and one that failed does.
    """

    def __init__(
        self,
        prepared: PreparedRun,
        listeners: Sequence[Listener],
        on_storage_error: Callable[[OSError], None],
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._studies, self._listeners = prepared.plan, prepared.studies, listeners
        # Of each data set, as loaded: a folder's are not known before.
        self._num_classes = {name: images.num_classes for name, images in prepared.data.items()}
        self._commit, self._on_storage_error, self._say = prepared.provenance["commit"], on_storage_error, say
        self._storage, self._created_at = prepared.storage, prepared.created_at
        self._storage.remove_temporary([WEIGHTS])
        self._layers, self._epochs, self._trials = (
            TableWriter(prepared.storage, name, prepared.provenance) for name in ("layers", "epochs", "trials")
        )
        self._checkpoints = Checkpoints(prepared.storage) if prepared.has_checkpoints else None
        self.pruned: set[str] = set()  # ids of the trials that the scheduler has stopped
        self._epochs_done: dict[str, list[EpochDone]] = {}
        self._trials_done: dict[str, TrialDone] = {}
        self._begun: Counter[str] = Counter()

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """An attempt begins: what an earlier one reported is void."""
        trial_id = trial.config["trial_id"]
        self._begun[trial_id] += 1
        self._epochs_done[trial_id] = []

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Take the message out of the result, which Ray would otherwise copy into every snapshot."""
        trial_id, message = trial.config["trial_id"], result.pop(MESSAGE, None)
        match message:
            case Note(text):
                self._say(text)
            case EpochDone():
                self._epochs_done[trial_id].append(message)
                self._tell(lambda listener: listener.epoch_done(trial_id, message.record))
            case TrialDone():
                self._trials_done[trial_id] = message

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Write what the trial left, unless it was interrupted."""
        trial_id = trial.config["trial_id"]
        done = self._trials_done.pop(trial_id, None)
        if done is not None:
            ending = {"peak_memory_bytes": done.peak_memory_bytes, "finished_at": done.finished_at, "error": done.error}
            self._commit_trial(trial, done.status, asdict(done.attempt) | ending, done.weights)
        elif trial_id in self.pruned:
            attempt = asdict(self._epochs_done[trial_id][-1].attempt)
            self._commit_trial(trial, "pruned", attempt | {"finished_at": datetime.now(UTC)})

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial raised, or its worker was lost, more often than is allowed."""
        file = trial.error_file  # trial.get_error() looks where it is not yet
        status, error = verdict(Path(file).read_text() if file else "unknown error")
        self._commit_trial(trial, status, {"error": error})

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        """Tune has ended its loop, by itself or because it was asked to."""
        self._tell(lambda listener: listener.run_ended())

    def _attempts(self, trial: Any) -> int:
        """How often it began, a node's loss included; or how often it could not even begin."""
        return max(self._begun[trial.config["trial_id"]], int(trial.num_failures))

    def _commit_trial(self, trial: Any, status: str | None, ending: dict[str, Any], weights: Any = None) -> None:
        """Write all that a finished trial leaves.

        Args:
            trial: Ray's.
            status: None: that of its last epoch.
            ending: columns of `trials` that are known at its end.
            weights: of a confirmed net.
        """
        planned = self._studies.trial(trial.config["trial_id"])
        records = [done.record for done in self._epochs_done.pop(planned.trial_id, ())]
        outcome = outcome_of(records, status or records[-1].status)
        row = self._trial_row(planned) | {"attempts": self._attempts(trial)} | outcome | ending
        try:
            check_there(self._storage, self._created_at)
            if weights is not None:
                write_weights(self._storage, planned.trial_id, weights.tobytes())
            self._write(planned.trial_id, records, row)
        except OSError as error:  # raised here, it would count as the trial's own failure
            self._on_storage_error(error)
            return
        if self._checkpoints is not None and row["status"] != "failed":  # which is open again at the next start
            with suppress(OSError):  # the next start removes it
                self._checkpoints.remove(planned.trial_id)
        self._studies.tell(planned.trial_id, row)
        self._tell(lambda listener: listener.trial_finished(row))

    def _tell(self, what: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            try:
                what(listener)
            except Exception:  # raised here, it would end the run
                logger.exception("%s could not be told", type(listener).__name__)

    def _write(self, trial_id: str, records: list[EpochRecord], row: dict[str, Any]) -> None:
        """The trial's layers, its epochs, and its row last."""
        layers = [layer for record in records for layer in rows_of_layers(trial_id, record)]
        for writer, rows in ((self._layers, layers), (self._epochs, [epoch_row(trial_id, one) for one in records])):
            if rows:  # a trial whose worker never started has none
                writer.append(rows)
        self._trials.append([row])

    def _trial_row(self, planned: PlannedTrial) -> dict[str, Any]:
        """Columns known before the trial ran."""
        return {
            **planned.config.model_dump(),
            "run": self._plan.run,
            "sweep": self._plan.sweep,
            "cell": planned.cell,
            "phase": planned.phase,
            "trial_id": planned.trial_id,
            "recipe": planned.compared.get("recipe"),
            "num_classes": self._num_classes[planned.config.dataset],
            "config_hash": planned.config.config_hash,
            "commit": self._commit,
        }


def verdict(text: str) -> tuple[str, str]:
    """Status and error of a trial that left this traceback; Ray kills workers where a node's memory runs low."""
    memory = line_on_memory(text)
    if memory is not None:
        return "out_of_memory", memory
    return "failed", "\n".join(text.strip().splitlines()[-ERROR_LINES:])  # where the cause is
