"""One cell of a plan: its fields by rank, its search space, its cost, checked before anything starts."""

import itertools
import json
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.trial import create_trial

from search_spaces.sweep import ConfirmSeeds, Fields, Recipe, Scale, Space, Sweep
from study.config import CONFIRM, HOUSEKEEPING, SEARCH, Proxy, TrialConfig, parse_config, plain, refuse_unknown
from study.planning.cost import multiply_adds
from study.planning.named_sweep import answer
from study.planning.settings import of_one_length

PHASES = (SEARCH, CONFIRM)
MAX_RUNS = 10_000  # of one phase of a cell, to tell a slip of the pen; seeds of the phases are as far apart


@dataclass(frozen=True)
class PlannedCell:
    """One point of the scientific grid.

    Attributes:
        name: `depth=110,recipe=isometric`; stable, part of every trial_id.
        compared: the compared names and this cell's values.
        fixed: all fields that its confirmations share.
        search: field name to Optuna distribution; empty where nothing is searched.
        default_point: the recipe's own values of the searched fields: the first trial.
        cost: phase to the relative cost of one of its trials (multiply-adds); only ratios mean something.
        search_fixed: the fixed fields that are otherwise in its search trials.
        confirm_seeds: the number of confirmations where the sweep gives cells numbers of their own, else None.
        wanted_seeds: how many an adaptive sweep's rule asks for by now; where the plan has more, it does not count.
    """

    name: str
    compared: dict[str, Any]
    fixed: dict[str, Any]
    search: dict[str, BaseDistribution]
    default_point: dict[str, Any]
    cost: dict[str, float]
    search_fixed: dict[str, Any] = field(default_factory=dict)
    confirm_seeds: int | None = None
    wanted_seeds: int = 0

    @property
    def proxy(self) -> Proxy:
        """The images that its trials see; the whole data set where a search varies them."""
        varies = any(name in self.search for name in Proxy._fields)
        return Proxy(self.fixed["dataset"]) if varies else Proxy(*(self.fixed[name] for name in Proxy._fields))

    def config(self, searched: Fields, seed: int, phase: str) -> TrialConfig:
        """The validated config of one trial."""
        own = self.search_fixed if phase == SEARCH else {}
        return parse_config({**self.fixed, **own, **searched, "seed": seed}, where=f"cell {self.name}")

    @cached_property
    def examples(self) -> dict[str, TrialConfig]:
        """Phase to the config of one of its trials: the known point."""
        return {phase: self.config(self.default_point, seed=0, phase=phase) for phase in PHASES}

    def declaration(self) -> dict[str, Any]:
        """What makes two cells the same; what a sweep does not give is left out, as older runs have it."""
        search = {name: json.loads(distribution_to_json(space)) for name, space in self.search.items()}
        declared = {"fixed": _declared(self.fixed), "search": search, "known": self.default_point}
        given = {"search_fixed": _declared(self.search_fixed) or None, "confirm_seeds": self.confirm_seeds}
        return declared | {name: value for name, value in given.items() if value is not None}


def _declared(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in HOUSEKEEPING}


def plan_cell(sweep: Sweep, scale: Scale, forced: Fields, point: Fields) -> PlannedCell:
    """Fields by rank, low to high: fixed, scale, recipe, compared, --set; then the search takes its own out.

    Raises:
        ValueError: the cell is not sound; the message names it, and what is allowed.
    """
    point = dict(point)
    recipe_name, recipe = point.pop("recipe", (None, lambda _fields: {}))
    compared = point if recipe_name is None else {**point, "recipe": recipe_name}
    name = ",".join(f"{key}={value}" for key, value in compared.items()) or "all"
    fields = _fields(sweep, scale, recipe, of_one_length({**point, **forced}), where=f"cell {name}")
    searched = answer(sweep.search, fields, dict, where=f"cell {name}: its search")
    space = {key: _plain_space(value) for key, value in searched.items() if key not in {**point, **forced}}
    otherwise = _search_fixed(sweep, scale, forced, space, where=f"cell {name}")
    otherwise = {key: value for key, value in otherwise.items() if space and value != fields[key]}
    configs = {SEARCH: {**fields, **otherwise}, CONFIRM: fields}
    cell = PlannedCell(
        name=name,
        compared=compared,
        fixed={key: value for key, value in fields.items() if key not in space},
        search=dict(space),
        default_point={key: fields.get(key) for key in space},
        cost={phase: multiply_adds(parse_config(values, where=f"cell {name}")) for phase, values in configs.items()},
        search_fixed=otherwise,
        confirm_seeds=_own_confirm_seeds(sweep, scale, {**fields, **compared}, where=f"cell {name}"),
    )
    _check_space(cell)
    _refuse_hidden_relu(cell)
    return cell


def _fields(sweep: Sweep, scale: Scale, recipe: Recipe, given: Fields, where: str) -> Fields:
    """All fields of a cell's confirmations; `given` are those that nothing changes."""
    base = {**default_fields(), **sweep.fixed, **scale.fixed, **given}
    base = {name: plain(value) for name, value in base.items()}
    shape = {key: base[key] for key in ("network_size", "depth")}  # a recipe may compute with them
    parse_config({**shape, "epochs": 1}, where=where)
    fields = {**base, **answer(recipe, base, dict, where=f"{where}: its recipe"), **given}
    fields = {name: plain(value) for name, value in fields.items()}
    if "seed" in fields:
        raise ValueError(f"{where}: seed cannot be set: use --seed, from which each trial's is derived")
    return fields


def _plain_space(space: Any) -> Any:
    """A space with Python's values in place of numpy's."""
    choices = space.choices if isinstance(space, CategoricalDistribution) else ()
    return (
        CategoricalDistribution(plain(choices))
        if any(type(choice).__module__ == "numpy" for choice in choices)
        else space
    )


def _search_fixed(sweep: Sweep, scale: Scale, forced: Fields, space: Space, where: str) -> Fields:
    """What sweep and scale fix for search trials alone, and `--set` does not."""
    given = {**of_one_length(sweep.search_fixed), **of_one_length(scale.search_fixed)}
    taken = {**dict.fromkeys(space, "is searched"), "dataset": "must be that of the confirmations"}
    for name in given:
        refuse_unknown("field", name, default_fields(), where=f"{where}: search_fixed changes the ")
        if name in taken:
            raise ValueError(f"{where}: search_fixed changes {name}, which {taken[name]}")
    return {name: value for name, value in given.items() if name not in forced}


def _own_confirm_seeds(sweep: Sweep, scale: Scale, fields: Fields, where: str) -> int | None:
    """What the sweep's function says of the cell; None where it gives one number for all."""
    rule = declared_confirm_seeds(sweep, scale)
    if not callable(rule):
        return None
    count = answer(rule, fields, operator.index, where=f"{where}: its confirm_seeds")
    return at_least_one("confirm_seeds", count, where=f"{where}: ")


def declared_confirm_seeds(sweep: Sweep, scale: Scale) -> ConfirmSeeds:
    """The scale's, where it has one."""
    return sweep.confirm_seeds if scale.confirm_seeds is None else scale.confirm_seeds


def at_least_one(name: str, count: Any, where: str = "") -> int:
    """The count; ValueError for what is no whole number, would leave nothing to do, or is beyond all measure."""
    try:
        number = operator.index(count)
    except TypeError:
        raise ValueError(f"{where}{name} = {count!r}: give a whole number") from None
    if not 1 <= number <= MAX_RUNS:
        raise ValueError(f"{where}{name} = {number}: give at least 1, and at most {MAX_RUNS:,}")
    return number


def default_fields() -> dict[str, Any]:
    """Every field of a cell as it is where nobody says otherwise."""
    return {name: info.default for name, info in TrialConfig.model_fields.items() if name != "seed"}


def _check_space(cell: PlannedCell) -> None:
    """The space is of fields, the known point lies in it, and its bounds in the fields' ranges."""
    for name, distribution in cell.search.items():
        refuse_unknown("field", name, default_fields(), where=f"cell {cell.name}: searches the ")
        if not isinstance(distribution, BaseDistribution):
            raise ValueError(f"cell {cell.name}: {name} is searched as {distribution!r}: give a Float, Int or Choice")
        if name == "dataset":
            raise ValueError(f"cell {cell.name}: dataset is searched: accuracies on several sets cannot be ranked")
        if any(isinstance(value, float) and not math.isfinite(value) for value in extremes(distribution)):
            raise ValueError(f"cell {cell.name}: {name} is searched in {distribution}: give finite values")
        if any(isinstance(value, tuple | list) for value in extremes(distribution)):
            raise ValueError(f"cell {cell.name}: {name} is a list and cannot be searched: compare it instead")
        known = cell.default_point[name]
        try:
            create_trial(value=0.0, params={name: known}, distributions={name: distribution})
        except (TypeError, ValueError):
            raise ValueError(f"cell {cell.name}: {name} = {known} of the recipe is outside {distribution}") from None
        for value, phase in itertools.product(extremes(distribution), PHASES):
            cell.config({**cell.default_point, name: value}, seed=0, phase=phase)


def _refuse_hidden_relu(cell: PlannedCell) -> None:
    """A leaky ReLU is ReLU where nobody gives it a slope; a search may have 0 among its slopes."""
    searched = cell.search.get("activation")
    activations = [cell.fixed["activation"]] if searched is None else extremes(searched)
    if "leaky_relu" in activations and cell.fixed.get("activation_slope") == 0.0:
        raise ValueError(
            f"cell {cell.name}: activation=leaky_relu with activation_slope = 0 is relu: give a slope above 0"
        )


def extremes(distribution: Any) -> Sequence[Any]:
    """The choices of a categorical distribution, else its two ends."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return (distribution.low, distribution.high)
