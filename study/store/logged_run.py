"""What other tools' logs are told of a run: which columns of its trials and epochs, and by what they know a trial."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

EPOCH_MEASURES = (
    *("learning_rate", "train_loss", "val_loss", "train_accuracy", "val_accuracy"),
    *("orthonormality_defect", "modulated_fraction", "error_norm_ratio", "seconds"),
)
FINAL_MEASURES = (
    *("val_accuracy", "best_val_accuracy", "test_accuracy", "train_accuracy", "train_loss", "val_loss"),
    *("epochs_completed", "steps_completed", "parameters", "train_seconds"),
)
WHICH = ("recipe", "cell", "phase", "seed")  # said of every trial, beside what is compared and searched
KEY_LETTERS = 16


def hyperparameters(row: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """The columns of `trials` that tell a trial from others: WHICH and `fields`; lists in JSON's form, no nulls."""
    chosen = {name: row.get(name) for name in dict.fromkeys((*WHICH, *fields))}
    return {
        name: json.dumps(value) if isinstance(value, list | tuple) else value
        for name, value in chosen.items()
        if value is not None
    }


def measures(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Those of the columns `names` that have a finite value."""
    values = {name: row.get(name) for name in names}
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


@dataclass(frozen=True)
class LoggedRun:
    """The run whose trials are logged.

    Attributes:
        name: what the tool's project or experiment is called.
        created_at: tells it from others of its name on one server.
    """

    name: str
    created_at: str | None = None

    def key(self, trial_id: str) -> str:
        """By what a tool finds a trial of this run again."""
        return sha256(f"{self.created_at} {trial_id}".encode()).hexdigest()[:KEY_LETTERS]
