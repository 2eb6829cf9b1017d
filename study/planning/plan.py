"""From a sweep and the command line to a plan: cells, their fields and spaces, trials and cost. Starts nothing."""

import json
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from search_spaces.sweep import CellResult, Fields, NextCells, Scale, Sweep
from study.config import OBJECTIVES, TrialConfig, refuse_unknown
from study.planning.axes import compared_values, grid, replaced_axes
from study.planning.cell import PlannedCell, at_least_one, declared_confirm_seeds, plan_cell
from study.planning.named_sweep import NamedSweep, answer, check_types
from study.planning.settings import single_values
from study.planning.user_file import Code, code_digest
from study.terminal import number, option, positive_int

SEEDS_A_RUN, LARGEST_SEED = 100_003, 2**30
CONFIRM_SEED_OFFSET = 10_000  # confirm seeds begin here above the run's seed: never one that a search trial used
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
REFERENCE = "reference"  # the folder of the committed runs

run_seed = number(int, lambda value: 0 <= value < LARGEST_SEED, "a whole number from 0 to 2**30 - 1")


def no_further_cells(_results: Sequence[CellResult]) -> Sequence[PlannedCell]:
    """A grid is complete from the start."""
    return ()


@dataclass(frozen=True)
class Plan:
    """A run to be done: the cells and how much of each.

    Attributes:
        confirm_seeds: confirmations of every cell; None where each cell has a number of its own.
        settings: what `--set` changed of the sweep, as it was given.
        compared_settings: what `--compare` did.
        notes: what the user may not have meant, a line each.
        sweep_file: the path of a user's own sweep; None for a shipped one.
        code: the files of a sweep that has parts of its own, by their places; the sweep's first.
        coded_parts: kind to names of those parts that are code.
    """

    run: str
    sweep: str
    question: str
    scale: str
    seed: int
    cells: tuple[PlannedCell, ...]
    trials_per_cell: int
    confirm_seeds: int | None
    objectives: tuple[str, ...] = ("val_accuracy",)
    next_cells: Callable[[Sequence[CellResult]], Sequence[PlannedCell]] = no_further_cells
    published: Mapping[str, float] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    caveat: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    compared_settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sweep_file: str | None = None
    code: Code = field(default_factory=dict)
    coded_parts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def trial_count(self) -> int:
        """Training runs of the cells that are planned from the start."""
        return sum(map(self.runs_of, self.cells))

    def runs_of(self, cell: PlannedCell) -> int:
        """Training runs of a cell: search trials (where something is searched) and confirmations."""
        return self.trials_of(cell) + self.confirmations_of(cell)

    @property
    def is_adaptive(self) -> bool:
        """Whether cells may be added as others finish."""
        return self.next_cells is not no_further_cells

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that the run needs, each once."""
        return tuple(dict.fromkeys(cell.fixed["dataset"] for cell in self.cells))

    @cached_property
    def searched_fields(self) -> tuple[str, ...]:
        """What the cells that are planned from the start search, each field once, in the order of TrialConfig."""
        return tuple(name for name in TrialConfig.model_fields if any(name in cell.search for cell in self.cells))

    def trials_of(self, cell: PlannedCell) -> int:
        """Search trials of a cell: none where nothing is searched."""
        return self.trials_per_cell if cell.search else 0

    def confirmations_of(self, cell: PlannedCell) -> int:
        """Fresh seeds on which the cell's best point is trained again."""
        count = cell.confirm_seeds if self.confirm_seeds is None else self.confirm_seeds
        assert count is not None  # make_plan leaves it out of the plan only where every cell has it
        return max(count, cell.wanted_seeds)

    def search_seed(self, number: int) -> int:
        """Seed of search trial `number`: the same in every cell, so that cells are compared on equal draws."""
        return self._first_seed + number

    def confirm_seed(self, number: int) -> int:
        """Seed of confirmation `number`: the same in every cell."""
        return self._first_seed + CONFIRM_SEED_OFFSET + number

    @property
    def _first_seed(self) -> int:
        """Runs of neighbouring seeds have none of their trials' seeds in common."""
        return self.seed * SEEDS_A_RUN % LARGEST_SEED

    def declaration(self) -> dict[str, Any]:
        """What makes two runs the same run; JSON values only.

        Trials, confirm seeds and workers are not part of it, but what a sweep's function says of a cell's seeds is.
        """
        cells = {cell.name: cell.declaration() for cell in self.cells}
        asked = {"sweep": self.sweep, "scale": self.scale, "seed": self.seed, "objectives": self.objectives}
        own = {"parts": {**self.coded_parts, "code": code_digest(self.code)}} if self.coded_parts else {}
        return dict(json.loads(json.dumps({**asked, "cells": cells, **own})))


@dataclass(frozen=True)
class Overrides:
    """What the command line changes: `--set` (fields), `--compare`, trials, confirm seeds, seed and the run's name."""

    fields: Mapping[str, str] = field(default_factory=dict)
    compare: Mapping[str, str] = field(default_factory=dict)
    trials_per_cell: int | None = option(None, "--trials", type=positive_int, metavar="N", help="search trials a cell")
    confirm_seeds: int | None = option(
        None, type=positive_int, metavar="N", help="fresh seeds for each cell's best point"
    )
    seed: int = option(0, type=run_seed, metavar="N", help="every trial's seed is derived from it (0)")
    run: str | None = option(None, metavar="NAME", help="name of the run (SWEEP-SCALE)")


def make_plan(named: NamedSweep, scale_name: str = "quick", overrides: Overrides | None = None) -> Plan:
    """Lay out a run, every cell's config and search bounds validated.

    Raises:
        ValueError: unknown scale, field, recipe or value; the message says which and what is allowed.
    """
    overrides, scale = overrides or Overrides(), _sound_scale(named, scale_name)
    declared, next_points = {**named.sweep.compare, **scale.compare}, scale.next_cells or named.sweep.next_cells
    for name in (*overrides.fields, *overrides.compare):
        refuse_unknown("field", name, {**TrialConfig.model_fields, **declared})
    compare = compared_values(declared, overrides.fields, overrides.compare)
    _refuse_new_axes(next_points, [name for name in compare if name not in declared])
    cell_at = partial(plan_cell, named.sweep, scale, single_values(overrides.fields, compare))
    cells = tuple(map(cell_at, grid(compare)))
    _refuse_equal_names(cells)
    return Plan(
        run=_run_name(f"{named.name}-{scale_name}" if overrides.run is None else overrides.run),
        sweep=named.name,
        question=named.question,
        scale=scale_name,
        seed=overrides.seed,
        cells=cells,
        trials_per_cell=_trials_per_cell(overrides, scale, named.sweep),
        confirm_seeds=_confirm_seeds(overrides, scale, named.sweep),
        objectives=named.sweep.objectives,
        published=scale.published,
        remarks=scale.remarks,
        caveat=scale.caveat,
        settings=overrides.fields,
        compared_settings=overrides.compare,
        notes=(*replaced_axes(declared, overrides.fields), *_equal_cells(cells)),
        sweep_file=named.file,
        code=named.code,
        coded_parts=named.coded_parts,
        next_cells=_adaptive(next_points, compare, cell_at, cells),
    )


def _sound_scale(named: NamedSweep, name: str) -> Scale:
    """The scale of that name, once all that does not hang on the command line has proved sound."""
    check_types(named.sweep)
    refuse_unknown("scale", name, named.sweep.scales)
    check_types(named.sweep.scales[name], f"scale {name}: ")
    if named.coded_parts and not named.code:
        raise ValueError(
            f"{named.name} has parts and no file, by which they reach workers and stay with the run: save it as "
            "my_sweep.py, and give load_sweep('my_sweep.py')"
        )
    _check_objectives(named.sweep.objectives)
    return named.sweep.scales[name]


def _refuse_equal_names(cells: Sequence[PlannedCell]) -> None:
    """A cell's name is part of every trial_id: `1` and `"1"` would share their trials."""
    names = Counter(cell.name for cell in cells)
    for name, count in names.items():
        if count > 1:
            raise ValueError(f"{count} cells are named {name}: give values and recipes names that differ")


def _equal_cells(cells: Sequence[PlannedCell]) -> Iterator[str]:
    """A line for each group of cells that train the same nets: what is compared between them does not differ."""
    alike: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        alike[json.dumps(cell.declaration(), sort_keys=True)].append(cell.name)
    for names in alike.values():
        if len(names) > 1:
            yield f"These cells are equal in every field and will have equal records: {'; '.join(names)}."


def _refuse_new_axes(next_points: NextCells | None, added: Sequence[str]) -> None:
    """A rule that chooses cells knows the sweep's own axes."""
    if next_points is not None and added:
        raise ValueError(
            f"--compare {added[0]}: a sweep that chooses its cells by a rule takes no further axis; --set fixes a value"
        )


def _check_objectives(objectives: Sequence[str]) -> None:
    for objective in objectives:
        refuse_unknown("objective", objective, OBJECTIVES)
    if objectives[:1] != ("val_accuracy",):
        raise ValueError(f"objectives = {objectives}: the first must be val_accuracy, which picks the point to confirm")


def _run_name(name: str) -> str:
    """A run's name is one folder name; ValueError else, so that no name leads out of the results."""
    if not RUN_NAME.fullmatch(name) or name == REFERENCE:
        raise ValueError(
            f"run name {name!r}: use letters, digits, '.', '_' and '-', beginning with a letter or digit, and not "
            f"{REFERENCE!r}; where runs are kept is --storage"
        )
    return name


def _adaptive(
    next_points: NextCells | None,
    compare: Mapping[str, Sequence[Any]],
    cell_at: Callable[[Fields], PlannedCell],
    first: Sequence[PlannedCell],
) -> Callable[[Sequence[CellResult]], Sequence[PlannedCell]]:
    """The sweep's rule for further points as one for further cells, on the images that the first see.

    A point's `confirm_seeds` is how many confirmations its cell is to have, whether it is a new one or not.
    """
    if next_points is None:
        return no_further_cells
    recipes = {pair[0]: pair for pair in compare.get("recipe", ())}
    proxies = {cell.proxy.name for cell in first}  # which are checked, and have baselines, before Ray starts

    def next_cells(results: Sequence[CellResult]) -> Sequence[PlannedCell]:
        points = [dict(point) for point in answer(next_points, results, list, where="next_cells")]
        seeds = [answer(_seeds_of, point, operator.index, where="next_cells: its confirm_seeds") for point in points]
        points = [{**point, "recipe": recipes[point["recipe"]]} if recipes else point for point in points]
        cells = [replace(cell_at(point), wanted_seeds=count) for point, count in zip(points, seeds, strict=True)]
        for cell in cells:
            refuse_unknown("dataset of a later cell", cell.proxy.name, proxies)
        return cells

    return next_cells


def _seeds_of(point: Fields) -> int:
    """What a rule wants of a cell's confirmations, taken out of its point."""
    count: int = point.pop("confirm_seeds", 0)
    return count


def _trials_per_cell(overrides: Overrides, scale: Scale, sweep: Sweep) -> int:
    given = (place.trials_per_cell for place in (overrides, scale, sweep))
    return at_least_one("trials_per_cell", next(count for count in given if count is not None))


def _confirm_seeds(overrides: Overrides, scale: Scale, sweep: Sweep) -> int | None:
    """One number for all cells, or None where the sweep's function gives each its own and no option overrides it."""
    given = declared_confirm_seeds(sweep, scale) if overrides.confirm_seeds is None else overrides.confirm_seeds
    return None if callable(given) else at_least_one("confirm_seeds", given)
