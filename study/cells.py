"""One Optuna study a cell, and what each cell still has to run. Knows nothing of Ray.

A cell first spends its search trials (the recipe's known point, then the sampler's), then trains its best point again
on fresh seeds. The result tables are the only state: a start rebuilds every study from the rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.config import CONFIRM, SEARCH, TrialConfig
from study.plan import Plan, PlannedCell
from study.samplers import SearchMethod

WORST_SCORE = 0.0  # what a diverged trial is told as: accuracies are never below it


@dataclass(frozen=True)
class Job:
    """One training run to be done.

    Attributes:
        trial_id: stable: run, cell, phase, number.
        number: k-th search trial, or k-th confirmation, of the cell.
        config: the validated fields.
    """

    trial_id: str
    cell: str
    phase: str
    number: int
    compared: dict[str, Any]
    config: TrialConfig

    def ray_config(self) -> dict[str, Any]:
        """What the trainable is given: every field, and which trial this is."""
        return {**self.config.model_dump(), "trial_id": self.trial_id, "phase": self.phase}


class CellStudy:
    """What one cell has done and has to do."""

    def __init__(
        self, plan: Plan, cell: PlannedCell, method: SearchMethod, finished: Iterable["FinishedTrial"] = ()
    ) -> None:
        self._plan, self._cell = plan, cell
        self._search_trials = 0 if method.confirm_only else plan.trials_of(cell)
        finished = sorted(finished, key=lambda trial: trial.number)
        begun = sum(trial.row["phase"] == SEARCH for trial in finished)
        self._study = method.study(f"{plan.seed}:{cell.name}", begun)
        self._asked: dict[str, optuna.Trial] = {}
        self._running: set[str] = set()
        self._confirmed_fields: dict[str, Any] | None = None
        self._done: dict[str, set[int]] = {SEARCH: set(), CONFIRM: set()}
        for trial in finished:
            self._restore(trial)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or still running."""
        return not self._running and not self._missing(SEARCH) and (not self._missing(CONFIRM) or self._hopeless)

    @property
    def remaining_cost(self) -> float:
        """Relative cost of what is not handed out yet."""
        return self._cell.cost * (len(self._missing(SEARCH)) + len(self._missing(CONFIRM)))

    def next_job(self) -> Job | None:
        """The next run of this cell, or None while it must wait for a running one (or has none left)."""
        searching = self._missing(SEARCH)
        if searching:
            return self._hand_out(SEARCH, searching[0])
        confirming = self._missing(CONFIRM)
        if confirming and not self._search_is_running() and not self._hopeless:
            return self._hand_out(CONFIRM, confirming[0])
        return None

    def report(self, job: Job, epoch: int, val_accuracy: float) -> bool:
        """Take in an epoch; whether the pruner wants the run stopped. Confirmations are never stopped."""
        trial = self._asked.get(job.trial_id)
        if trial is None:
            return False
        trial.report(val_accuracy, epoch)
        return trial.should_prune()

    def tell(self, job: Job, status: str, val_accuracy: float | None) -> None:
        """Take in a finished run. A diverged trial scores WORST_SCORE; one that failed tells the sampler nothing."""
        self._running.discard(job.trial_id)
        self._done[job.phase].add(job.number)
        trial = self._asked.pop(job.trial_id, None)
        if trial is None:
            return
        state, value = _outcome(status, val_accuracy)
        trial.set_user_attr("trial_id", job.trial_id)
        self._study.tell(trial, value, state=state)

    def _best_fields(self) -> dict[str, Any]:
        """The searched fields of the best trial; the known point where nothing was searched or all diverged alike."""
        completed = [trial for trial in self._study.trials if trial.state == TrialState.COMPLETE]
        if not completed:
            return self._cell.known
        return max(completed, key=lambda trial: (trial.value, -trial.number)).params

    @property
    def _hopeless(self) -> bool:
        """Every search trial failed with an error: there is no point worth confirming."""
        told = [trial.state for trial in self._study.trials if trial.state.is_finished()]
        return bool(told) and not self._missing(SEARCH) and all(state == TrialState.FAIL for state in told)

    def _missing(self, phase: str) -> list[int]:
        """Numbers of a phase neither done nor handed out."""
        wanted = self._search_trials if phase == SEARCH else self._plan.confirm_seeds
        numbers = (number for number in range(wanted) if number not in self._done[phase])
        return [number for number in numbers if self._trial_id(phase, number) not in self._running]

    def _search_is_running(self) -> bool:
        return bool(self._asked)

    def _trial_id(self, phase: str, number: int) -> str:
        return f"{self._plan.run}:{self._cell.name}:{phase}:{number}"

    def _hand_out(self, phase: str, number: int) -> Job:
        trial_id = self._trial_id(phase, number)
        if phase == SEARCH:
            fields, seed = self._ask(trial_id, number), self._plan.search_seed(number)
        else:
            self._confirmed_fields = self._confirmed_fields or self._best_fields()
            fields, seed = self._confirmed_fields, self._plan.confirm_seed(number)
        self._running.add(trial_id)
        return Job(trial_id, self._cell.name, phase, number, self._cell.compared, self._cell.config(fields, seed))

    def _ask(self, trial_id: str, number: int) -> dict[str, Any]:
        if number == 0:
            self._study.enqueue_trial(self._cell.known)
        trial = self._study.ask(self._cell.search)
        self._asked[trial_id] = trial
        return trial.params

    def _restore(self, finished: "FinishedTrial") -> None:
        self._done[finished.row["phase"]].add(finished.number)
        if finished.row["phase"] == SEARCH:
            frozen = finished.frozen(self._cell.search)
            self._study.add_trial(frozen)
            if isinstance(self._study.sampler, QMCSampler):  # its place in the sequence is not in the trials
                self._study.sampler.sample_relative(self._study, frozen, self._cell.search)
        else:  # all confirmations of a cell are of one point, also when a longer search has found a better one since
            self._confirmed_fields = {name: finished.row[name] for name in self._cell.search}


@dataclass(frozen=True)
class FinishedTrial:
    """A trial as the tables remember it: its row, and the validation accuracy after each epoch."""

    row: Mapping[str, Any]
    accuracies: Mapping[int, float]

    @property
    def number(self) -> int:
        """Which of its cell and phase."""
        return int(self.row["trial_id"].rpartition(":")[2])

    def frozen(self, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
        """As Optuna knows it."""
        state, value = _outcome(self.row["status"], self.row["val_accuracy"])
        return create_trial(
            state=state,
            value=value,
            params={name: self.row[name] for name in space},
            distributions=dict(space),
            intermediate_values=dict(self.accuracies),
            user_attrs={"trial_id": self.row["trial_id"]},
        )


def finished_trials(trials: Iterable[Mapping[str, Any]], epochs: Iterable[Mapping[str, Any]]) -> list[FinishedTrial]:
    """Rows of the `trials` and `epochs` tables, put together."""
    accuracies: dict[str, dict[int, float]] = defaultdict(dict)
    for epoch in epochs:
        accuracies[epoch["trial_id"]][epoch["epoch"]] = epoch["val_accuracy"]
    return [FinishedTrial(row, accuracies[row["trial_id"]]) for row in trials]


def _outcome(status: str, val_accuracy: float | None) -> tuple[TrialState, float | None]:
    """What Optuna is told of a status."""
    if status == "ok":
        return TrialState.COMPLETE, val_accuracy
    if status == "diverged":
        return TrialState.COMPLETE, WORST_SCORE
    if status == "pruned":
        return TrialState.PRUNED, None
    return TrialState.FAIL, None


class CellStudies:
    """All cells of a run: hands out the next job and takes in results."""

    def __init__(self, plan: Plan, finished: Iterable[FinishedTrial] = (), method: SearchMethod | None = None) -> None:
        by_cell: dict[str, list[FinishedTrial]] = defaultdict(list)
        for trial in finished:
            by_cell[trial.row["cell"]].append(trial)
        self._handed_out: dict[str, Job] = {}
        self._cells = {
            cell.name: CellStudy(plan, cell, method or SearchMethod(), by_cell[cell.name]) for cell in plan.cells
        }

    @property
    def finished(self) -> bool:
        """Whether every cell is."""
        return all(cell.finished for cell in self._cells.values())

    @property
    def running(self) -> int:
        """Jobs handed out and not yet told of."""
        return len(self._handed_out)

    @property
    def running_jobs(self) -> list[Job]:
        """Those jobs."""
        return list(self._handed_out.values())

    @property
    def remaining_cost(self) -> float:
        """Relative cost of all that is not handed out yet."""
        return sum(cell.remaining_cost for cell in self._cells.values())

    def job(self, trial_id: str) -> Job:
        """The running job of that id."""
        return self._handed_out[trial_id]

    def next_job(self) -> Job | None:
        """A job of the cell with the most work left, so that the longest chains start first; None: wait."""
        for cell in sorted(self._cells.values(), key=lambda cell: -cell.remaining_cost):
            job = cell.next_job()
            if job is not None:
                self._handed_out[job.trial_id] = job
                return job
        return None

    def report(self, trial_id: str, epoch: int, val_accuracy: float) -> bool:
        """Take in an epoch of a running job; whether it should be stopped."""
        job = self._handed_out[trial_id]
        return self._cells[job.cell].report(job, epoch, val_accuracy)

    def tell(self, trial_id: str, status: str, val_accuracy: float | None) -> None:
        """Take in a finished job."""
        job = self._handed_out.pop(trial_id)
        self._cells[job.cell].tell(job, status, val_accuracy)
