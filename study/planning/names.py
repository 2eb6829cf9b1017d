"""Check a plan's names against the tables of models. Imports torch, so only once the rest of the input is sound."""

from collections.abc import Iterable, Sequence
from typing import Any

from models.initializers import INITIALIZERS
from models.networks import ACTIVATIONS
from models.optimizers import OPTIMIZERS
from models.regularizers import REGULARIZERS
from models.schedules import SCHEDULES
from study.config import refuse_unknown
from study.planning.cell import PlannedCell, extremes
from study.planning.plan import Plan

STEP = "step"  # a schedule of the learning rate alone: it has drops of its own


def tables() -> dict[str, Iterable[str]]:
    """Field to the names that it takes now: a sweep's own parts come and go."""
    return {
        "initializer": INITIALIZERS,
        "activation": ACTIVATIONS,
        "regularizer": REGULARIZERS,
        "regularizer_schedule": SCHEDULES,
        "modulation_schedule": SCHEDULES,
        "learning_rate_schedule": (STEP, *SCHEDULES),
        "optimizer": OPTIMIZERS,
    }


def check_names(plan: Plan) -> None:
    """Refuse a field whose name is in no table.

    Raises:
        ValueError: with the cell, the field, the name and the known names.
    """
    for cell in plan.cells:
        for name, table in tables().items():
            for value in values_of(cell, name):
                refuse_unknown(name, value, table, where=f"cell {cell.name}: ")


def values_of(cell: PlannedCell, name: str) -> Sequence[Any]:
    """Every value that the field can take in this cell."""
    if name in cell.search:
        return extremes(cell.search[name])
    return [getattr(config, name) for config in cell.examples.values()]
