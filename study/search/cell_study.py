"""The Optuna study of one cell, and what the cell still has to run. Knows nothing of Ray.

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
from study.search.optuna_trials import FinishedTrial, all_failed, outcome
from study.search.samplers import SearchMethod
from study.store.schemas import Row


def trial_id_of(run: str, cell: str, phase: str, number: int) -> str:
    """The id of the k-th search trial or confirmation of a cell."""
    return f"{run}:{cell}:{phase}:{number}"


@dataclass(frozen=True)
class PlannedTrial:
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
    """What one cell has done and has to do.

    Attributes:
        lacks_seeds: a confirmation was lost to the environment; adaptive sweeps are not told of the cell without it.
    """

    def __init__(
        self,
        plan: Plan,
        cell: PlannedCell,
        method: SearchMethod,
        finished: Iterable[FinishedTrial],
        begun: Mapping[str, TrialConfig],
    ) -> None:
        self._plan, self._cell, self._method, self._begun = plan, cell, method, begun
        self._search_trials = 0 if method.confirm_only else plan.trials_of(cell)
        self._study = method.study(
            seed=plan.seed, cell=cell.name, objectives=plan.objectives, fields=plan.searched_fields
        )
        self._asked: dict[str, optuna.Trial] = {}
        self._reported: dict[str, set[int]] = defaultdict(set)
        self._running: set[str] = set()
        self._searched: list[Row] = []
        self._confirmed_fields: dict[str, Any] | None = None
        self._confirmed: dict[int, float] = {}
        self.lacks_seeds = False
        self._wanted, self._told = plan.confirmations_of(cell), 0
        self._open = {SEARCH: set(range(self._search_trials)), CONFIRM: set(range(self._wanted))}
        for trial in sorted(finished, key=lambda trial: trial.number):
            self._restore(trial)

    @property
    def proxy(self) -> Proxy:
        """Whose baseline the cell is held against."""
        return self._cell.proxy

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or still running."""
        return not self._running and not self._open[SEARCH] and (not self._open[CONFIRM] or self._all_failed)

    @property
    def told(self) -> int:
        """Number of seeds that an adaptive sweep is told of: all that were wanted when the cell was last finished."""
        return self._wanted if self.finished else self._told

    def extend(self, confirmations: int) -> None:
        """Want so many seeds in all; what the tables hold of them is not run again."""
        self._told = self.told
        self._open[CONFIRM] |= set(range(self._wanted, confirmations)) - self._confirmed.keys()
        self._wanted = confirmations

    @property
    def trials_left(self) -> int:
        """Runs that are not handed out yet."""
        return sum(self._left().values())

    @property
    def remaining_cost(self) -> float:
        """Relative cost of the trials that are left."""
        return sum(self._cell.cost[phase] * count for phase, count in self._left().items())

    def _left(self) -> dict[str, int]:
        confirmations = self._open[CONFIRM]
        return {
            SEARCH: len(self._open[SEARCH]),
            CONFIRM: 0 if confirmations and self._all_failed else len(confirmations),
        }

    def result(self, linear_baseline: float) -> CellResult:
        """What an adaptive sweep is told of the cell: however a run came to this point, the same."""
        accuracies = {number: accuracy for number, accuracy in self._confirmed.items() if number < self.told}
        return CellResult(self._cell.compared, accuracies, linear_baseline)

    def next_trial(self) -> PlannedTrial | None:
        """The next run of this cell, or None while it must wait for a running one (or has none left)."""
        if self._open[SEARCH]:
            return self._hand_out(SEARCH, min(self._open[SEARCH]))
        if self._open[CONFIRM] and not self._asked and not self._all_failed:
            return self._hand_out(CONFIRM, min(self._open[CONFIRM]))
        return None

    def report(self, planned: PlannedTrial, epoch: int, val_accuracy: float) -> bool:
        """Take in an epoch; whether the pruner wants the run stopped. Confirmations are never stopped."""
        trial = self._asked.get(planned.trial_id)
        if trial is None or len(self._plan.objectives) > 1:  # Optuna has no pruning for several objectives
            return False
        if epoch not in self._reported[planned.trial_id]:  # a trial that began again reports its first epochs again
            self._reported[planned.trial_id].add(epoch)
            trial.report(val_accuracy, epoch)
        return trial.should_prune()

    def tell(self, planned: PlannedTrial, row: Row) -> None:
        """Take in the row of a finished run."""
        self._running.discard(planned.trial_id)
        self._take_in(planned.phase, planned.number, row)
        trial = self._asked.pop(planned.trial_id, None)
        if trial is not None:
            self._tell_study(trial, row)

    def _tell_study(self, trial: optuna.Trial, row: Row) -> None:
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
        else:
            self.lacks_seeds = True

    def _best_fields(self) -> dict[str, Any]:
        """The searched fields of the best trial by the first objective; the known point where nothing was searched."""
        completed = [trial for trial in self._study.trials if trial.state == TrialState.COMPLETE]
        if not completed:
            return self._cell.default_point
        return max(completed, key=lambda trial: (trial.values[0], -trial.number)).params

    @property
    def _all_failed(self) -> bool:
        """The search is over and has left no point worth confirming."""
        return not self._open[SEARCH] and not self._asked and all_failed(self._searched, self._plan.objectives)

    def _hand_out(self, phase: str, number: int) -> PlannedTrial:
        trial_id = trial_id_of(self._plan.run, self._cell.name, phase, number)
        if phase == SEARCH:
            self._asked[trial_id] = self._ask(trial_id, self._given(trial_id, number))
            fields, seed = self._asked[trial_id].params, self._plan.search_seed(number)
        else:
            self._confirmed_fields = self._confirmed_fields or self._best_fields()
            fields, seed = self._confirmed_fields, self._plan.confirm_seed(number)
        self._open[phase].discard(number)
        self._running.add(trial_id)
        config = self._cell.config(fields, seed, phase)
        return PlannedTrial(trial_id, self._cell.name, phase, number, self._cell.compared, config)

    def _ask(self, trial_id: str, given: Mapping[str, Any]) -> optuna.Trial:
        self._study.enqueue_trial(dict(given), user_attrs={"trial_id": trial_id})
        trial = self._study.ask(self._cell.search)
        if given and self._method.remembers:  # it is not asked for what is given, and would not know of the trial
            _ = trial.relative_params
        return trial

    def _given(self, trial_id: str, number: int) -> dict[str, Any]:
        """The searched fields that the sampler is not asked for: all of them, or none."""
        if trial_id in self._begun:  # its checkpoint is of the point that was proposed then
            return {name: getattr(self._begun[trial_id], name) for name in self._cell.search}
        return self._cell.default_point if number == 0 else {}

    def _restore(self, finished: FinishedTrial) -> None:
        """Take in a trial of an earlier start: a search trial is asked for and told of again, at the point it had."""
        row = finished.row
        self._take_in(row["phase"], finished.number, row)
        fields = {name: row[name] for name in self._cell.search}
        if row["phase"] != SEARCH:
            # All confirmations of a cell are of one point, also when a longer search has found a better one since.
            self._confirmed_fields = fields
            return
        trial = self._ask(row["trial_id"], fields)
        if self._method.prunes or row["status"] == "pruned":  # nobody else looks at the epochs, which take time
            for epoch, accuracy in sorted(finished.accuracies.items()):
                trial.report(accuracy, epoch)
                trial.should_prune()  # asha notes what it has seen
        self._tell_study(trial, row)
