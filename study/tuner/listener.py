"""Who is told of a run's progress, in the driver alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imports torch, which the command line does without until its input is sound
    from study.training.epoch_record import EpochRecord


class Listener:
    """Hears of epochs and trials; what it does not want to know it leaves as it is here.

    Whatever it raises is logged and ends no run.
    """

    def epoch_done(self, trial_id: str, record: "EpochRecord") -> None:
        """A running trial has finished an epoch; after a failure it begins again with its first."""

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """A row of `trials` is on disk."""

    def run_ended(self) -> None:
        """No trial runs any longer; those that have not finished were interrupted."""
