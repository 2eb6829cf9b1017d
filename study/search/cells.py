"""All cells of a run: which of them runs next, and what each is told. Knows nothing of Ray."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from search_spaces.sweep import CellResult
from study.config import TrialConfig
from study.planning.cell import PlannedCell
from study.planning.plan import Plan
from study.search.cell_study import CellStudy, PlannedTrial
from study.search.optuna_trials import FinishedTrial
from study.search.samplers import SearchMethod
from study.store.schemas import Row


class CellStudies:
    """All cells of a run: hands out the next trial and takes in results.

    Args:
        plan: the run. Where it is adaptive, cells are added as others finish.
        finished: trials that the tables hold.
        method: how cells are searched.
        baselines: name of a proxy to the linear baseline's validation accuracy; adaptive plans may ask for it.
        begun: unfinished trials whose point is known, from a checkpoint or because they failed, and what they were
            told.

    Attributes:
        told: how many trials have ended, of this start and of earlier ones.
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
        self.told = 0
        self._restored: dict[str, list[FinishedTrial]] = defaultdict(list)
        for trial in finished:
            self._restored[trial.row["cell"]].append(trial)
            self.told += 1
        self._handed_out: dict[str, PlannedTrial] = {}
        self._cells: dict[str, CellStudy] = {}
        self.planned: dict[str, PlannedCell] = {}
        self._add(plan.cells)

    @property
    def finished(self) -> bool:
        """Whether every cell is finished."""
        return all(cell.finished for cell in self._cells.values())

    @property
    def trial_count(self) -> int:
        """Training runs of all cells that are planned by now."""
        return sum(map(self._plan.runs_of, self.planned.values()))

    @property
    def running(self) -> int:
        """How many trials are handed out and not yet told of."""
        return len(self._handed_out)

    @property
    def running_trials(self) -> list[PlannedTrial]:
        """The trials handed out and not yet told of."""
        return list(self._handed_out.values())

    @property
    def remaining_cost(self) -> float:
        """Relative cost of all that is not handed out yet."""
        return sum(cell.remaining_cost for cell in self._cells.values())

    @property
    def trials_left(self) -> dict[str, int]:
        """How many each cell has not handed out yet."""
        return {name: cell.trials_left for name, cell in self._cells.items()}

    def trial(self, trial_id: str) -> PlannedTrial:
        """The running trial of that id."""
        return self._handed_out[trial_id]

    def next_trial(self) -> PlannedTrial | None:
        """A trial of the cell with the most work left, so that the longest chains start first; None: wait."""
        for cell in sorted(self._cells.values(), key=lambda cell: -cell.remaining_cost):
            planned = cell.next_trial()
            if planned is not None:
                self._handed_out[planned.trial_id] = planned
                return planned
        return None

    def report(self, trial_id: str, epoch: int, val_accuracy: float) -> bool:
        """Take in an epoch of a running trial; whether it should be stopped."""
        planned = self._handed_out[trial_id]
        return self._cells[planned.cell].report(planned, epoch, val_accuracy)

    def tell(self, trial_id: str, row: Row) -> None:
        """Take in the row of a finished trial."""
        planned = self._handed_out.pop(trial_id)
        self.told += 1
        self._cells[planned.cell].tell(planned, row)
        if self._cells[planned.cell].finished:
            self._add(self._plan.next_cells(self._results()))

    def _add(self, cells: Iterable[PlannedCell]) -> None:
        """Take in cells that are new or to have more seeds, and what the plan wants once one of them is finished."""
        changed = [cell for cell in cells if self._is_taken_in(cell)]
        if any(self._cells[cell.name].finished for cell in changed):
            self._add(self._plan.next_cells(self._results()))

    def _is_taken_in(self, cell: PlannedCell) -> bool:
        """Whether the cell is new or to have more seeds, and now is or has."""
        seeds = self._plan.confirmations_of(cell)
        if cell.name not in self.planned:
            finished = self._restored.pop(cell.name, ())
            self._cells[cell.name] = CellStudy(self._plan, cell, self._method, finished, self._begun)
        elif seeds > self._plan.confirmations_of(self.planned[cell.name]):
            self._cells[cell.name].extend(seeds)
        else:
            return False
        self.planned[cell.name] = cell
        return True

    def _results(self) -> list[CellResult]:
        told = (cell for cell in self._cells.values() if cell.told and not cell.lacks_seeds)
        return [cell.result(self._baselines.get(cell.proxy.name, 0.0)) for cell in told]
