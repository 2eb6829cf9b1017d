"""From a sweep and the command line to a plan: cells, their fields and spaces, trials and cost. Starts nothing."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json

from search_spaces.sweep import CellResult, Fields, NextCells, Recipe, Scale, Sweep
from study.config import HOUSEKEEPING, Proxy, TrialConfig, parse_config, refuse_unknown
from study.finished import DIRECTIONS
from study.multiply_adds import multiply_adds
from study.settings import parse_value, single_values
from study.sweeps import NamedSweep, answer

SEEDS_A_RUN, LARGEST_SEED = 100_003, 2**30
CONFIRM_SEED_OFFSET = 10_000  # confirm seeds begin here above the run's seed: never one that a search trial used
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
REFERENCE = "reference"  # the folder of the committed runs


@dataclass(frozen=True)
class PlannedCell:
    """One point of the scientific grid.

    Attributes:
        name: `depth=110,recipe=isometric`; stable, part of every trial_id.
        compared: the compared names and this cell's values.
        fixed: all fields that its trials share.
        search: field name to Optuna distribution; empty where nothing is searched.
        known: the recipe's own values of the searched fields: the first trial.
        cost: relative cost of one trial (multiply-adds); only ratios mean something.
    """

    name: str
    compared: dict[str, Any]
    fixed: dict[str, Any]
    search: dict[str, BaseDistribution]
    known: dict[str, Any]
    cost: float

    @property
    def proxy(self) -> Proxy:
        """The images that its trials see; the whole data set where a search varies them."""
        varies = any(name in self.search for name in Proxy._fields)
        return Proxy(self.fixed["dataset"]) if varies else Proxy(*(self.fixed[name] for name in Proxy._fields))

    def config(self, searched: Fields, seed: int) -> TrialConfig:
        """The validated config of one trial."""
        return parse_config({**self.fixed, **searched, "seed": seed}, where=f"cell {self.name}")


def no_further_cells(_results: Sequence[CellResult]) -> Sequence[PlannedCell]:
    """A grid is complete from the start."""
    return ()


@dataclass(frozen=True)
class Plan:
    """A run to be done: the cells and how much of each.

    Attributes:
        settings: what `--set` changed of the sweep, as it was given.
    """

    run: str
    sweep: str
    question: str
    scale: str
    seed: int
    cells: tuple[PlannedCell, ...]
    trials_per_cell: int
    confirm_seeds: int
    objectives: tuple[str, ...] = ("val_accuracy",)
    next_cells: Callable[[Sequence[CellResult]], Sequence[PlannedCell]] = no_further_cells
    published: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def trial_count(self) -> int:
        """Training runs of the cells that are planned from the start."""
        return sum(map(self.runs_of, self.cells))

    def runs_of(self, cell: PlannedCell) -> int:
        """Training runs of a cell: search trials (where something is searched) and confirmations."""
        return self.trials_of(cell) + self.confirm_seeds

    @property
    def is_adaptive(self) -> bool:
        """Whether cells may be added as others finish."""
        return self.next_cells is not no_further_cells

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that the run needs, each once."""
        return tuple(dict.fromkeys(cell.fixed["dataset"] for cell in self.cells))

    def trials_of(self, cell: PlannedCell) -> int:
        """Search trials of a cell: none where nothing is searched."""
        return self.trials_per_cell if cell.search else 0

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
        """What makes two runs the same run; JSON values only. Trials, confirm seeds and workers are not part of it."""
        cells = {cell.name: _declare(cell) for cell in self.cells}
        asked = {"sweep": self.sweep, "scale": self.scale, "seed": self.seed, "objectives": self.objectives}
        return dict(json.loads(json.dumps({**asked, "cells": cells})))


@dataclass(frozen=True)
class Overrides:
    """What the command line changes: `--set`, `--trials`, `--confirm-seeds`, `--seed` and the run's name."""

    fields: Mapping[str, str] = field(default_factory=dict)
    trials_per_cell: int | None = None
    confirm_seeds: int | None = None
    run: str | None = None
    seed: int = 0


def make_plan(named: NamedSweep, scale_name: str = "quick", overrides: Overrides | None = None) -> Plan:
    """Lay out a run, every cell's config and search bounds validated.

    Raises:
        ValueError: unknown scale, field, recipe or value; the message says which and what is allowed.
    """
    overrides = overrides or Overrides()
    refuse_unknown("scale", scale_name, named.sweep.scales)
    scale = named.sweep.scales[scale_name]
    _check_objectives(named.sweep.objectives)
    _refuse_unknown_fields(overrides.fields, named.sweep, scale)
    compare = _compared_values({**named.sweep.compare, **scale.compare}, overrides.fields)
    forced = single_values(overrides.fields, compare)
    points = (dict(zip(compare, values, strict=True)) for values in itertools.product(*compare.values()))
    plan_cell = partial(_plan_cell, named.sweep, scale, forced)
    cells = tuple(plan_cell(point) for point in points)
    return Plan(
        run=_run_name(f"{named.name}-{scale_name}" if overrides.run is None else overrides.run),
        sweep=named.name,
        question=named.question,
        scale=scale_name,
        seed=overrides.seed,
        cells=cells,
        trials_per_cell=_first_given("trials_per_cell", overrides, scale, named.sweep),
        confirm_seeds=_first_given("confirm_seeds", overrides, scale, named.sweep),
        objectives=named.sweep.objectives,
        published=scale.published,
        settings=overrides.fields,
        next_cells=_adaptive(scale.next_cells or named.sweep.next_cells, compare, plan_cell, cells),
    )


def _check_objectives(objectives: Sequence[str]) -> None:
    for objective in objectives:
        refuse_unknown("objective", objective, DIRECTIONS)
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


def _refuse_unknown_fields(names: Iterable[str], sweep: Sweep, scale: Scale) -> None:
    known = {**TrialConfig.model_fields, **sweep.compare, **scale.compare}
    for name in names:
        refuse_unknown("field", name, known)


def _compared_values(declared: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, list[Any]]:
    """The grid's axes. A recipe stays a (name, recipe) pair; an override replaces an axis' values."""
    axes = {}
    for name, values in declared.items():
        if not hasattr(values, "keys" if name == "recipe" else "__iter__"):
            raise ValueError(f"{name} = {values!r}: compare a tuple of values, and of recipes a dict by name")
        chosen = list(values)
        if name in overrides:
            given = parse_value(overrides[name])
            chosen = given if isinstance(given, list) else [given]
        axes[name] = [_recipe_pair(values, choice) for choice in chosen] if name == "recipe" else chosen
        if not chosen or len({json.dumps(choice) for choice in chosen}) < len(chosen):
            raise ValueError(f"{name} = {chosen}: give at least one value, and none of them twice")
    return axes


def _recipe_pair(recipes: Mapping[str, Recipe], name: str) -> tuple[str, Recipe]:
    refuse_unknown("recipe", name, recipes)
    return name, recipes[name]


def _adaptive(
    next_points: NextCells | None,
    compare: Mapping[str, Sequence[Any]],
    plan_cell: Callable[[Fields], PlannedCell],
    first: Sequence[PlannedCell],
) -> Callable[[Sequence[CellResult]], Sequence[PlannedCell]]:
    """The sweep's rule for further points as one for further cells, on the images that the first see."""
    if next_points is None:
        return no_further_cells
    recipes = {pair[0]: pair for pair in compare.get("recipe", ())}
    proxies = {cell.proxy.name for cell in first}  # which are checked, and have baselines, before Ray starts

    def next_cells(results: Sequence[CellResult]) -> Sequence[PlannedCell]:
        points = answer(next_points, results, list, where="next_cells")
        cells = [plan_cell({**point, "recipe": recipes[point["recipe"]]} if recipes else point) for point in points]
        for cell in cells:
            refuse_unknown("dataset of a later cell", cell.proxy.name, proxies)
        return cells

    return next_cells


def _plan_cell(sweep: Sweep, scale: Scale, forced: Fields, point: Fields) -> PlannedCell:
    """Fields by rank, low to high: fixed, scale, recipe, compared, --set; then the search takes its own out."""
    point = dict(point)
    recipe_name, recipe = point.pop("recipe", (None, lambda _fields: {}))
    compared = point if recipe_name is None else {**point, "recipe": recipe_name}
    name = ",".join(f"{key}={value}" for key, value in compared.items()) or "all"
    base = {**default_fields(), **sweep.fixed, **scale.fixed, **point, **forced}
    shape = {key: base[key] for key in ("network_size", "depth")}  # a recipe may compute with them
    parse_config({**shape, "epochs": 1}, where=f"cell {name}")
    fields = {**base, **answer(recipe, base, dict, where=f"cell {name}: its recipe"), **point, **forced}
    if "seed" in fields:
        raise ValueError(f"cell {name}: seed cannot be set: use --seed, from which each trial's is derived")
    searched = answer(sweep.search, fields, dict, where=f"cell {name}: its search")
    space = {key: value for key, value in searched.items() if key not in {**point, **forced}}
    cell = PlannedCell(
        name=name,
        compared=compared,
        fixed={key: value for key, value in fields.items() if key not in space},
        search=dict(space),
        known={key: fields.get(key) for key in space},
        cost=multiply_adds(parse_config(fields, where=f"cell {name}")),
    )
    _check_space(cell)
    return cell


def default_fields() -> dict[str, Any]:
    """Every field of a cell as it is where nobody says otherwise."""
    return {name: info.default for name, info in TrialConfig.model_fields.items() if name != "seed"}


def _check_space(cell: PlannedCell) -> None:
    """The space is of fields, the known point lies in it, and its bounds in the fields' ranges."""
    for name, distribution in cell.search.items():
        refuse_unknown("field", name, default_fields(), where=f"cell {cell.name}: searches the ")
        if not isinstance(distribution, BaseDistribution):
            raise ValueError(f"cell {cell.name}: {name} is searched as {distribution!r}: give a Float, Int or Choice")
        if any(isinstance(value, tuple | list) for value in extremes(distribution)):
            raise ValueError(f"cell {cell.name}: {name} is a list and cannot be searched: compare it instead")
        known = cell.known[name]
        missing = known is None and not isinstance(distribution, CategoricalDistribution)
        if missing or not distribution._contains(distribution.to_internal_repr(known)):
            raise ValueError(f"cell {cell.name}: {name} = {known} of the recipe is outside {distribution}")
        for value in extremes(distribution):
            cell.config({**cell.known, name: value}, seed=0)


def extremes(distribution: Any) -> Sequence[Any]:
    """The choices of a categorical distribution, else its two ends."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return (distribution.low, distribution.high)


def _declare(cell: PlannedCell) -> dict[str, Any]:
    search = {name: json.loads(distribution_to_json(distribution)) for name, distribution in cell.search.items()}
    fixed = {name: value for name, value in cell.fixed.items() if name not in HOUSEKEEPING}
    return {"fixed": fixed, "search": search, "known": cell.known}


def _first_given(name: str, *places: Overrides | Scale | Sweep) -> int:
    """The count of that name where it is first given; ValueError for one that would leave nothing to do."""
    count: int = next(value for place in places if (value := getattr(place, name)) is not None)
    if count < 1:
        raise ValueError(f"{name} = {count}: give at least 1")
    return count
