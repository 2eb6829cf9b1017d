"""A trainable that trains nothing: what is left of a trial is the machine around it."""

import socket
import time
from datetime import UTC, datetime
from typing import Any

from ray import tune

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
    accuracy = trivial_accuracy(config["learning_rate"])
    epoch = {"epoch": 1, "val_accuracy": accuracy, "train_loss": 1.0, "seconds": 0.0}
    tune.report({"val_accuracy": accuracy, "epoch": epoch, "layers": []})
    outcome = {
        "status": "ok",
        "val_accuracy": accuracy,
        "host": socket.gethostname(),
        "started_at": started,
        "finished_at": datetime.now(UTC),
    }
    tune.report({"val_accuracy": accuracy, "outcome": outcome})


def trivial_accuracy(learning_rate: float) -> float:
    """Something for a sampler to climb: best at 0.05."""
    return 1.0 / (1.0 + abs(learning_rate - 0.05))
