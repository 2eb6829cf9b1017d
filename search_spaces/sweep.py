"""What a question is made of: Sweep, Scale, Recipe, and Optuna's distributions under short names.

Words follow the deep-learning tuning playbook: **compare** holds the scientific values, **search** the nuisance values
(tuned in every cell, so that the comparison is fair), **fixed** the caveats. Declarations only: nothing here runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

__all__ = [
    "CellResult",
    "Choice",
    "Conclusions",
    "ConfirmSeeds",
    "Fields",
    "Float",
    "Int",
    "Parts",
    "Recipe",
    "Scale",
    "Space",
    "Sweep",
]

Fields = dict[str, Any]
"""Values of trial fields by name; the names are those of `study.config.TrialConfig`."""

Space = Mapping[str, BaseDistribution]
"""What a cell searches: field name to Optuna distribution."""

Recipe = Callable[[Fields], Fields]
"""A named way to train: the cell's other fields (depth, data set, ...) in, the recipe's own fields out.

It gives a complete working point. Where a sweep searches one of its fields, the recipe's value is the first trial.
"""

ConfirmSeeds = int | Callable[[Fields], int]
"""How many fresh seeds confirm a cell's best point: one number for all cells, or a function of a cell's fields.

The function is given what `search` is given, and the recipe's name as `recipe` where recipes are compared.
"""


@dataclass(frozen=True)
class CellResult:
    """What an adaptive sweep learns of a cell that is finished.

    Attributes:
        compared: the compared names and the cell's values.
        accuracies: confirm seed's number to validation accuracy; a seed that diverged has chance, one that failed or
            ran out of memory is not among them. Empty where the search left nothing to confirm, or all seeds failed.
            While seeds are added to a cell, those that it had before.
        linear_baseline: validation accuracy of logistic regression on the images that the cell's trials see; where it
            searches `image_size` or `train_images`, on the whole data set.
    """

    compared: Fields
    accuracies: Mapping[int, float]
    linear_baseline: float


NextCells = Callable[[Sequence[CellResult]], Sequence[Fields]]
"""From all finished cells to the points wanted next; points that exist already may be among them.

A point may have, beside the compared names, `confirm_seeds`: how many confirmations its cell is to have in all.
"""


Parts = Mapping[str, Mapping[str, Any]]
"""What a sweep adds to the names that fields take: kind, name, part. `docs/own-parts.md` says what a part of each is.

The kinds are `activation`, `initializer`, `optimizer`, `regularizer`, `schedule` and `dataset`. They are an argument of
Sweep, and not tables at the file's top, so that a constant means nothing by its name, and parts may be imported.
"""

Conclusions = Callable[[Sequence[CellResult]], Sequence[str]]
"""From all confirmed cells to what the sweep's own rule makes of them, in sentences."""


def search_nothing(_fields: Fields) -> Space:
    """The empty search space: every cell runs its recipe as it stands, on the confirm seeds alone."""
    return {}


def conclude_nothing(_results: Sequence[CellResult]) -> Sequence[str]:
    """A grid has no rule of its own."""
    return ()


@dataclass(frozen=True)
class Scale:
    """One size of a question: what replaces the sweep's own values when it is run at this size.

    `fixed` and `search_fixed` are added to the sweep's, and win over them. `published` holds test errors that others
    report, by the cell's name, to stand beside ours, and `remarks` what is to be known of such a number.
    `caveat` says what a run of this size cannot show; its report repeats it.
    """

    fixed: Fields = field(default_factory=dict)
    compare: Mapping[str, Sequence[Any] | Mapping[str, Recipe]] = field(default_factory=dict)
    search_fixed: Fields = field(default_factory=dict)
    trials_per_cell: int | None = None
    confirm_seeds: ConfirmSeeds | None = None
    next_cells: NextCells | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    caveat: str = ""


@dataclass(frozen=True)
class Sweep:
    """A question. The grid of `compare` is run in full; each cell has a search of its own, then is confirmed.

    Attributes:
        compare: field name to the values compared. `recipe` takes a mapping from recipe name to recipe.
        search: from all fields of a cell (compared, fixed and the recipe's) to what is searched there.
        fixed: values that every trial shares; a recipe wins over them.
        search_fixed: fixed values of the search trials alone, such as `{"steps": 500}` for a search that is shorter
            than the confirmations. They win over recipe, `fixed` and the compared values (all lengths may be searched
            at one), not over `--set`; giving steps unsets epochs, and the other way round. Neither a searched field
            nor the data set can be among them.
        trials_per_cell: search trials a cell; the first is the recipe's own point, and what is drawn at random is the
            same in every cell that searches the field. Unused where nothing is searched.
        next_cells: makes the sweep adaptive: asked for further points whenever a cell is finished.
        conclusions: what that rule has found so far; a report begins with it.
        objectives: columns of `trials` that the search improves; the first, which picks the point to confirm, is
            `val_accuracy`.
        confirm_seeds: fresh seeds on which each cell's best point is trained again; only these make a headline. May be
            a function, such as `lambda fields: 5 if fields["depth"] > 44 else 3`; `--confirm-seeds` wins over both.
        scales: the sizes at which the question can be asked; `quick` is the default.
        parts: the sweep's own regularisers, activations, .., which its file keeps: they travel to every worker, and a
            copy stays with the run.
    """

    compare: Mapping[str, Sequence[Any] | Mapping[str, Recipe]]
    scales: Mapping[str, Scale]
    search: Callable[[Fields], Space] = search_nothing
    fixed: Fields = field(default_factory=dict)
    search_fixed: Fields = field(default_factory=dict)
    next_cells: NextCells | None = None
    conclusions: Conclusions = conclude_nothing
    objectives: tuple[str, ...] = ("val_accuracy",)
    trials_per_cell: int = 8
    confirm_seeds: ConfirmSeeds = 3
    parts: Parts = field(default_factory=dict)
