"""What stands out from chance among many fields: step-down maximum tests against tables that were dealt out anew.

Westfall and Young 1993, "Resampling-Based Multiple Testing". The largest of all fields is held against the largest of
each dealt table, so that looking at many fields costs nothing; what stands out is then kept in place, and the others
are held against tables in which they alone are dealt out: beside a strong field a weak one need only beat noise. The
chance that any field without an effect stands out is LEVEL, over all fields, methods and scopes together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Order = npt.NDArray[np.intp]

LEVEL = 0.05
DEALS = 59  # With the table itself they are 60: it stands out at P = 3/60 where at most two of them reach it.
MIN_SPREAD = 1e-9  # Fields that cannot be dealt out otherwise have none.

Key = tuple[str, str]
"""Scope and field."""
Values = Callable[[list[str]], Array]
"""From the fields to deal out to shares of variance, (1 + DEALS, methods, fields): of the table, and of dealt ones."""


class Stand(NamedTuple):
    """How a field stands: its P value, corrected for all fields, and what its share by each method has to exceed."""

    p_value: float
    nulls: Array


def step_down(values: Mapping[str, Values], fields: Mapping[str, Sequence[str]]) -> dict[Key, Stand]:
    """How each field of each scope stands.

    Args:
        values: of each scope.
        fields: what is tested in each scope.
    """
    left = {scope: list(names) for scope, names in fields.items() if names}
    tables: dict[str, Array] = {}
    stands: dict[Key, Stand] = {}
    least = 0.0  # P values never fall from step to step
    while left:
        tables |= {scope: values[scope](names) for scope, names in left.items() if scope not in tables}
        step = _step({scope: tables[scope] for scope in left}, left, least)
        clear = {key: stand for key, stand in step.items() if stand.p_value <= LEVEL}
        if not clear:
            return stands | step
        stands, least = stands | clear, max(stand.p_value for stand in clear.values())
        for scope in {scope for scope, _ in clear}:
            tables.pop(scope)
        left = {scope: [name for name in names if (scope, name) not in clear] for scope, names in left.items()}
        left = {scope: names for scope, names in left.items() if names}
    return stands


def _step(tables: Mapping[str, Array], fields: Mapping[str, list[str]], least: float) -> dict[Key, Stand]:
    """All fields that are left against the largest of each table.

    Methods are made comparable by the mean and spread of their largest. The table itself is one of those that these are
    taken over: only so may it change places with any other.
    """
    maxima = np.max([table.max(axis=2) for table in tables.values()], axis=0)
    middle, spread = maxima.mean(axis=0), np.maximum(maxima.std(axis=0), MIN_SPREAD)
    largest = ((maxima - middle) / spread).max(axis=1)
    nulls = middle + spread * np.sort(largest[1:])[-int(LEVEL * len(largest))]
    heights = {scope: ((table[0].T - middle) / spread).max(axis=1) for scope, table in tables.items()}
    return {
        (scope, name): Stand(max(float((largest >= height).mean()), least), nulls)
        for scope, names in fields.items()
        for name, height in zip(names, heights[scope], strict=True)
    }


def dealt(rows: Order, linked: Order, generator: np.random.Generator) -> Order:
    """An order of n rows that exchanges them within `rows`, strata by number.

    Rows of equal number in `linked` move alike, each within its stratum: what was drawn once for several cells is dealt
    out once for all of them.
    """
    keys = generator.random(linked.max() + 1)[linked]
    order = np.empty(len(rows), dtype=np.intp)
    order[np.lexsort((linked, rows))] = np.lexsort((keys, rows))
    return order
