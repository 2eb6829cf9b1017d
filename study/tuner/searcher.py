"""Ray's searcher and scheduler, both in front of the cells' Optuna studies: what to start next, what to stop early."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from study.tuner.ray_environment import DriverOnly

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from study.config import TrialConfig
from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies
from study.tuner.messages import EpochDone, message_of
from study.tuner.slots import ResourceRequest


class Room(Protocol):
    """What study.tuner.slots.Slots tells of the cluster."""

    @property
    def smallest(self) -> ResourceRequest:
        """The least that any trial asks."""

    def ask(self, config: TrialConfig) -> ResourceRequest:
        """Resources that the trial asks for."""

    def have_room(self, asks: Sequence[ResourceRequest]) -> bool:
        """Whether all of them can run at once."""


class JobSearcher(DriverOnly, Searcher):
    """Asks the neediest cell for its next trial.

    Args:
        studies: the cells; results reach them through the Recorder, which sees them first.
        slots: what a trial asks of Ray, and whether the cluster has room for it now.
        ends: whether no further trial may begin.
    """

    def __init__(self, studies: CellStudies, slots: Room, should_stop: Callable[[], bool] = lambda: False) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self._studies, self._slots, self._should_stop = studies, slots, should_stop
        self._asks: dict[str, ResourceRequest] = {}  # of the trials that Tune has
        self._waiting: tuple[PlannedTrial, ResourceRequest] | None = (
            None  # drawn, and larger than the room that is left
        )

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; None to wait; FINISHED when every cell is, or nothing may begin any more."""
        if self._studies.finished or self._should_stop():
            return Searcher.FINISHED
        held = self._held()
        if self._waiting is None and self._have_room(held, self._slots.smallest):
            self._draw()
        if self._waiting is None:
            return None
        planned, ask = self._waiting
        if not self._have_room(held, ask):
            return None
        self._waiting, self._asks[planned.trial_id] = None, ask
        return planned.ray_config() | ask.ray_config()

    def _have_room(self, held: Sequence[ResourceRequest], ask: ResourceRequest) -> bool:
        """Whether a further trial can run now. The first need not: it waits in Ray until a node comes.

        Tune's loop, as long as it has no trial at all, stands still for up to ten minutes, deaf to signals, and nobody
        would say what is waited for.
        """
        return not held or self._slots.have_room([*held, ask])

    def _held(self) -> list[ResourceRequest]:
        """What the running trials hold."""
        running = {planned.trial_id for planned in self._studies.running_trials}
        self._asks = {trial_id: ask for trial_id, ask in self._asks.items() if trial_id in running}
        return list(self._asks.values())

    def _draw(self) -> None:
        """Take the next trial. How much it asks shows only then; too much, and it waits, before all later ones."""
        planned = self._studies.next_trial()
        self._waiting = None if planned is None else (planned, self._slots.ask(planned.config))

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

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Return None, so that Tune gives a free worker to a new trial.

        Ray's choice is the oldest that waits. That one's own worker, which is about to be up, would be ended for it:
        trials that end sooner than workers start would never see more than the first few.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Report the epoch, and stop the trial if it is to be pruned."""
        message, trial_id = message_of(result), trial.config["trial_id"]
        if not isinstance(message, EpochDone):
            return FIFOScheduler.CONTINUE
        if not self._studies.report(trial_id, message.record.epoch, message.record.val_accuracy):
            return FIFOScheduler.CONTINUE
        self._pruned.add(trial_id)
        return FIFOScheduler.STOP
