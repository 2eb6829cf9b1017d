"""The grid: which fields a run compares, from the sweep and from `--set` and `--compare`, and their values."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces.sweep import Fields, Recipe
from study.config import plain, refuse_unknown
from study.planning.settings import OTHER_LENGTH, several_values

MAX_CELLS = 10_000  # of a grid, to tell a slip of the pen
RECIPE = "recipe"


def compared_values(declared: Mapping[str, Any], settings: Mapping[str, str], added: Mapping[str, str]) -> Fields:
    """The values of each compared name. A recipe stays a (name, recipe) pair.

    Args:
        declared: what sweep and scale compare.
        settings: of `--set`; on a compared name they replace its values.
        added: of `--compare`; they do the same, and on another field they make an axis of it, after the others.

    Raises:
        ValueError: no values, or one twice, or not a sequence of them; a recipe that the sweep does not have; a name
            that both options give.
    """
    given = {name: several_values(name, text) for name, text in {**settings, **added}.items()}
    axes = {name: given.get(name, _declared(name, values)) for name, values in declared.items()}
    axes |= {name: given[name] for name in added if name not in declared}
    _refuse_both(axes, settings, added)
    for name, values in axes.items():
        if not values or len({repr(value) for value in values}) < len(values):
            raise ValueError(f"{name} = {values}: give at least one value, and none of them twice")
    if RECIPE in axes:
        axes[RECIPE] = [_recipe_pair(declared[RECIPE], name) for name in axes[RECIPE]]
    return axes


def grid(axes: Mapping[str, Sequence[Any]]) -> list[Fields]:
    """Every combination; ValueError where they are too many to be meant."""
    count = math.prod(map(len, axes.values()))
    if count > MAX_CELLS:
        raise ValueError(f"compare makes more than {MAX_CELLS:,} cells: give fewer values of {', '.join(axes)}")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def replaced_axes(declared: Mapping[str, Any], settings: Mapping[str, str]) -> Iterator[str]:
    """A line for each compared name whose values `--set` replaces: elsewhere it fixes a value."""
    for name in settings:
        if name in declared:
            before = ", ".join(map(str, _declared(name, declared[name])))
            yield f"{name} is compared here: --set {name}={settings[name]} replaces its values {before}."


def _declared(name: str, values: Any) -> list[Any]:
    """The values as Python's, of recipes their names; so many at most that too many are noticed."""
    if not hasattr(values, "keys" if name == RECIPE else "__iter__"):
        raise ValueError(f"{name} = {values!r}: compare a tuple of values, and of recipes a dict by name")
    return [plain(value) for value in itertools.islice(values, MAX_CELLS + 1)]


def _refuse_both(axes: Mapping[str, Any], settings: Mapping[str, str], added: Mapping[str, str]) -> None:
    for name in added:
        if name in settings:
            raise ValueError(f"{name} is given by --set and by --compare: --compare {name}=... alone compares it")
    for name in axes:
        if OTHER_LENGTH.get(name) in {**settings, **axes}:
            raise ValueError(f"{name} is compared: {OTHER_LENGTH[name]}, the other measure of length, cannot be given")


def _recipe_pair(recipes: Mapping[str, Recipe], name: Any) -> tuple[str, Recipe]:
    refuse_unknown("recipe", name, recipes)
    return name, recipes[name]
