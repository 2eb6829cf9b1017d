"""A trainable that trains nothing: what is left of a trial is the machine around it."""

import socket
import time
from datetime import UTC, datetime
from typing import Any

from study.training.epoch_record import EpochRecord
from study.tuner.messages import Attempt, EpochDone, TrialDone, send

SLEEP_SECONDS = 0.2


def trivial_trial(config: dict[str, Any], *, data: object) -> None:
    """Report one epoch and an outcome, as `study.tuner.trainable.run_trial` does, at once."""
    _report(config, datetime.now(UTC))


def sleeping_trial(config: dict[str, Any], *, data: object) -> None:
    """Take a little while without a processor, so that many run at once on few cores, then do the same."""
    started = datetime.now(UTC)
    time.sleep(SLEEP_SECONDS)
    _report(config, started)


def _report(config: dict[str, Any], started: datetime) -> None:
    attempt, record = Attempt(socket.gethostname(), "cpu", 1, started), trivial_record(config["learning_rate"])
    send(EpochDone(attempt, record))
    send(TrialDone(attempt, datetime.now(UTC), peak_memory_bytes=None))


def trivial_record(learning_rate: float) -> EpochRecord:
    """The only epoch of a trial that trains nothing."""
    return EpochRecord(
        epoch=1,
        steps=1,
        status="ok",
        learning_rate=learning_rate,
        train_loss=1.0,
        train_accuracy=0.0,
        val_loss=1.0,
        val_accuracy=trivial_accuracy(learning_rate),
        orthonormality_defect=None,
        modulated_fraction=0.0,
        error_norm_ratio=None,
        seconds=0.0,
        images_per_second=1.0,
        parameters=1,
    )


def trivial_accuracy(learning_rate: float) -> float:
    """Something for a sampler to climb: best at 0.05."""
    return 1.0 / (1.0 + abs(learning_rate - 0.05))
