"""The Ray searcher: hands jobs of the cells' Optuna studies to Tune, never more than the cluster has room for."""

from collections.abc import Callable
from typing import Any

from study.ray_environment import DriverOnly

from ray.tune.search import Searcher

from study.cells import CellStudies


class JobSearcher(DriverOnly, Searcher):
    """Asks the neediest cell for its next job.

    Args:
        studies: the cells; results reach them through the Recorder, which sees them first.
        slots: how many trials the cluster has room for now.
    """

    def __init__(self, studies: CellStudies, slots: Callable[[], int]) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self._studies, self._slots = studies, slots

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; None to wait; FINISHED when every cell is."""
        if self._studies.finished:
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
