"""One Optuna study a cell, and what each cell still has to run. Knows nothing of Ray.

A cell first spends its search trials (the recipe's known point, then the sampler's), then trains its best point again
on fresh seeds. The result tables are the only state: a start rebuilds every study from the rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces.sweep import CellResult
from study.config import CONFIRM, SEARCH, Proxy, TrialConfig
from study.planning.cell import PlannedCell
from study.planning.plan import Plan
from study.search.optuna_trials import FinishedTrial, Row, hopeless, outcome
from study.search.samplers import SearchMethod


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
        self,
        plan: Plan,
        cell: PlannedCell,
        method: SearchMethod,
        finished: Iterable[FinishedTrial],
        begun: Mapping[str, TrialConfig],
    ) -> None:
        self._plan, self._cell, self._begun = plan, cell, begun
        self._search_trials = 0 if method.confirm_only else plan.trials_of(cell)
        finished = sorted(finished, key=lambda trial: trial.number)
        searched = sum(trial.row["phase"] == SEARCH for trial in finished)
        self._study = method.study(
            seed=plan.seed, cell=cell.name, begun=searched, objectives=plan.objectives, fields=plan.searched_fields
        )
        self._asked: dict[str, optuna.Trial] = {}
        self._reported: dict[str, set[int]] = defaultdict(set)
        self._running: set[str] = set()
        self._searched: list[Row] = []
        self._confirmed_fields: dict[str, Any] | None = None
        self._confirmed: dict[int, float] = {}
        self._open = {SEARCH: set(range(self._search_trials)), CONFIRM: set(range(plan.confirmations_of(cell)))}
        for trial in finished:
            self._restore(trial)

    @property
    def proxy(self) -> Proxy:
        """Whose baseline the cell is held against."""
        return self._cell.proxy

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or still running."""
        return not self._running and not self._open[SEARCH] and (not self._open[CONFIRM] or self._hopeless)

    @property
    def jobs_left(self) -> int:
        """Runs that are not handed out yet."""
        return sum(self._left().values())

    @property
    def remaining_cost(self) -> float:
        """Relative cost of those."""
        return sum(self._cell.cost[phase] * count for phase, count in self._left().items())

    def _left(self) -> dict[str, int]:
        confirmations = self._open[CONFIRM]
        return {SEARCH: len(self._open[SEARCH]), CONFIRM: 0 if confirmations and self._hopeless else len(confirmations)}

    def result(self, linear_baseline: float) -> CellResult:
        """What an adaptive sweep is told of the cell."""
        return CellResult(self._cell.compared, dict(self._confirmed), linear_baseline)

    def next_job(self) -> Job | None:
        """The next run of this cell, or None while it must wait for a running one (or has none left)."""
        if self._open[SEARCH]:
            return self._hand_out(SEARCH, min(self._open[SEARCH]))
        if self._open[CONFIRM] and not self._asked and not self._hopeless:
            return self._hand_out(CONFIRM, min(self._open[CONFIRM]))
        return None

    def report(self, job: Job, epoch: int, val_accuracy: float) -> bool:
        """Take in an epoch; whether the pruner wants the run stopped. Confirmations are never stopped."""
        trial = self._asked.get(job.trial_id)
        if trial is None or len(self._plan.objectives) > 1:  # Optuna has no pruning for several objectives
            return False
        if epoch not in self._reported[job.trial_id]:  # a trial that began again reports its first epochs again
            self._reported[job.trial_id].add(epoch)
            trial.report(val_accuracy, epoch)
        return trial.should_prune()

    def tell(self, job: Job, row: Row) -> None:
        """Take in the row of a finished run."""
        self._running.discard(job.trial_id)
        self._take_in(job.phase, job.number, row)
        trial = self._asked.pop(job.trial_id, None)
        if trial is None:
            return
        state, values = outcome(row, self._plan.objectives)
        self._study.tell(trial, values, state=state)

    def _take_in(self, phase: str, number: int, row: Row) -> None:
        self._open[phase].discard(number)
        if phase == SEARCH:
            self._searched.append(row)
        elif row["status"] == "ok":
            self._confirmed[number] = row["val_accuracy"]
        elif row["status"] == "diverged":  # a seed that failed for the environment's reasons says nothing of the net
            self._confirmed[number] = 1.0 / row["num_classes"]

    def _best_fields(self) -> dict[str, Any]:
        """The searched fields of the best trial by the first objective; the known point where nothing was searched."""
        completed = [trial for trial in self._study.trials if trial.state == TrialState.COMPLETE]
        if not completed:
            return self._cell.known
        return max(completed, key=lambda trial: (trial.values[0], -trial.number)).params

    @property
    def _hopeless(self) -> bool:
        """The search is over and has left no point worth confirming."""
        return not self._open[SEARCH] and not self._asked and hopeless(self._searched, self._plan.objectives)

    def _trial_id(self, phase: str, number: int) -> str:
        return f"{self._plan.run}:{self._cell.name}:{phase}:{number}"

    def _hand_out(self, phase: str, number: int) -> Job:
        trial_id = self._trial_id(phase, number)
        if phase == SEARCH:
            fields, seed = self._ask(trial_id, number), self._plan.search_seed(number)
        else:
            self._confirmed_fields = self._confirmed_fields or self._best_fields()
            fields, seed = self._confirmed_fields, self._plan.confirm_seed(number)
        self._open[phase].discard(number)
        self._running.add(trial_id)
        config = self._cell.config(fields, seed, phase)
        return Job(trial_id, self._cell.name, phase, number, self._cell.compared, config)

    def _ask(self, trial_id: str, number: int) -> dict[str, Any]:
        self._study.enqueue_trial(self._given(trial_id, number), user_attrs={"trial_id": trial_id})
        trial = self._study.ask(self._cell.search)
        self._asked[trial_id] = trial
        return trial.params

    def _given(self, trial_id: str, number: int) -> dict[str, Any]:
        """The searched fields that the sampler is not asked for: all of them, or none."""
        if trial_id in self._begun:  # its checkpoint is of the point that was proposed then
            return {name: getattr(self._begun[trial_id], name) for name in self._cell.search}
        return self._cell.known if number == 0 else {}

    def _restore(self, finished: FinishedTrial) -> None:
        self._take_in(finished.row["phase"], finished.number, finished.row)
        if finished.row["phase"] == SEARCH:
            self._study.add_trial(finished.frozen(self._cell.search, self._plan.objectives))
        else:  # all confirmations of a cell are of one point, also when a longer search has found a better one since
            self._confirmed_fields = {name: finished.row[name] for name in self._cell.search}


class CellStudies:
    """All cells of a run: hands out the next job and takes in results.

    Args:
        plan: the run. Where it is adaptive, cells are added as others finish.
        finished: trials that the tables hold.
        method: how cells are searched.
        baselines: name of a proxy to the linear baseline's validation accuracy; adaptive plans may ask for it.
        begun: unfinished trials that have a checkpoint, and what they were told.
    """

    def __init__(
        self,
        plan: Plan,
        finished: Iterable[FinishedTrial] = (),
        method: SearchMethod | None = None,
        baselines: Mapping[str, float] | None = None,
        begun: Mapping[str, TrialConfig] | None = None,
    ) -> None:
        self._plan, self._method, self._baselines = plan, method or SearchMethod(), baselines or {}
        self._begun = begun or {}
        self._restored: dict[str, list[FinishedTrial]] = defaultdict(list)
        for trial in finished:
            self._restored[trial.row["cell"]].append(trial)
        self._handed_out: dict[str, Job] = {}
        self._cells: dict[str, CellStudy] = {}
        self.planned: dict[str, PlannedCell] = {}
        self._add(plan.cells)

    @property
    def finished(self) -> bool:
        """Whether every cell is."""
        return all(cell.finished for cell in self._cells.values())

    @property
    def trial_count(self) -> int:
        """Training runs of all cells that are planned by now."""
        return sum(map(self._plan.runs_of, self.planned.values()))

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

    @property
    def jobs_left(self) -> dict[str, int]:
        """How many each cell has not handed out yet."""
        return {name: cell.jobs_left for name, cell in self._cells.items()}

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

    def tell(self, trial_id: str, row: Row) -> None:
        """Take in the row of a finished job."""
        job = self._handed_out.pop(trial_id)
        self._cells[job.cell].tell(job, row)
        if self._cells[job.cell].finished:
            self._add(self._plan.next_cells(self._results()))

    def _add(self, cells: Iterable[PlannedCell]) -> None:
        """Take in cells that are new, and those that an adaptive plan wants once they are known to be finished."""
        new = [cell for cell in cells if cell.name not in self.planned]
        for cell in new:
            self.planned[cell.name] = cell
            finished = self._restored.pop(cell.name, ())
            self._cells[cell.name] = CellStudy(self._plan, cell, self._method, finished, self._begun)
        if any(self._cells[cell.name].finished for cell in new):
            self._add(self._plan.next_cells(self._results()))

    def _results(self) -> list[CellResult]:
        return [
            cell.result(self._baselines.get(cell.proxy.name, 0.0)) for cell in self._cells.values() if cell.finished
        ]
