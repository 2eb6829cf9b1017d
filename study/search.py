"""Ray's searcher and scheduler, both in front of the cells' Optuna studies: what to start next, what to stop early."""

from collections.abc import Callable
from typing import Any

from study.ray_environment import DriverOnly

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from study.cells import CellStudies


class JobSearcher(DriverOnly, Searcher):
    """Asks the neediest cell for its next job.

    Args:
        studies: the cells; results reach them through the Recorder, which sees them first.
        slots: how many trials the cluster has room for now.
        ends: whether no further trial may begin.
    """

    def __init__(
        self, studies: CellStudies, slots: Callable[[], int], ends: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self._studies, self._slots, self._ends = studies, slots, ends

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; None to wait; FINISHED when every cell is, or nothing may begin any more."""
        if self._studies.finished or self._ends():
            return Searcher.FINISHED
        if self._studies.running >= self._slots():
            return None
        job = self._studies.next_job()
        return None if job is None else job.ray_config()

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing to do: the Recorder tells the studies, once the trial's rows are on disk."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the result tables are the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: see save."""


class PruningScheduler(DriverOnly, FIFOScheduler):
    """Stops the trials that their own cell's Optuna pruner wants stopped."""

    def __init__(self, studies: CellStudies, pruned: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._studies, self._pruned = studies, pruned

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Report the epoch, and stop the trial if it is to be pruned. `result` is flat: nested names end in it."""
        epoch, trial_id = result.get("epoch/epoch"), trial.config["trial_id"]
        if epoch is None or not self._studies.report(trial_id, epoch, result["val_accuracy"]):
            return FIFOScheduler.CONTINUE
        self._pruned.add(trial_id)
        return FIFOScheduler.STOP
