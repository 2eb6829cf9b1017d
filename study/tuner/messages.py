"""What a trial tells the driver, one message a report: the only words that trainable and driver share.

A message travels as an object under MESSAGE, which Ray neither flattens nor reads; the driver takes it out of the
result, or it would be copied into every snapshot.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from ray import tune

from study.training.epoch_record import EpochRecord

METRIC, MESSAGE = "val_accuracy", "message"  # keys of a report
NO_EPOCH_COLUMNS = ("layers", "steps", "status", "test_accuracy", "images_per_second", "parameters")
"""Fields of an epoch's record that the table `epochs` does not hold."""


@dataclass(frozen=True)
class Attempt:
    """Where and when a trial began, this time; names and meanings are the columns of `trials`."""

    host: str
    device: str
    cpu_threads: int
    started_at: datetime
    resumed_epochs: int = 0


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over."""

    attempt: Attempt
    record: EpochRecord = field(repr=False)  # Ray writes each report out as text for its log


@dataclass(frozen=True)
class TrialDone:
    """The trial came to an end by itself.

    Attributes:
        status, error: other than the last epoch's only where memory ran out.
        weights: of a confirmed net that ended `ok`: uint8 (bytes,).
    """

    attempt: Attempt
    finished_at: datetime
    peak_memory_bytes: int | None
    status: str | None = None
    error: str | None = None
    weights: npt.NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Note:
    """Something that the user should read."""

    text: str


Message = EpochDone | TrialDone | Note


def send(message: Message) -> None:
    """Report to the driver; called in the trial."""
    accuracy = {METRIC: message.record.val_accuracy} if isinstance(message, EpochDone) else {}
    tune.report({**accuracy, MESSAGE: message})


def message_of(result: Mapping[str, Any]) -> Message | None:
    """The message of a result that Ray passes on."""
    return result.get(MESSAGE)


def outcome_of(records: Sequence[EpochRecord], status: str) -> dict[str, Any]:
    """Columns of `trials` that sum up the epochs of a trial, however it ended; of none, the status alone."""
    if not records:
        return {"status": status}
    last = records[-1]
    return {
        "status": status,
        "val_accuracy": last.val_accuracy if status == "ok" else None,
        "best_val_accuracy": max(record.val_accuracy for record in records),
        "val_accuracy_batch_statistics": last.val_accuracy_batch_statistics,
        "test_accuracy": last.test_accuracy,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
        "val_loss": last.val_loss,
        "epochs_completed": len(records),
        "steps_completed": last.steps,
        "parameters": last.parameters,
        "train_seconds": sum(record.seconds for record in records),
        "images_per_second": statistics.median(record.images_per_second for record in records),
    }


def epoch_row(trial_id: str, record: EpochRecord) -> dict[str, Any]:
    """Make the row of `epochs` of one record."""
    row = {name: value for name, value in vars(record).items() if name not in NO_EPOCH_COLUMNS}
    return {"trial_id": trial_id, **row}


def rows_of_layers(trial_id: str, record: EpochRecord) -> list[dict[str, Any]]:
    """Rows of `layers`, on diagnosed epochs."""
    return [{"trial_id": trial_id, **row} for row in record.layers]
