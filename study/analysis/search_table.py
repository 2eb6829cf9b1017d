"""Search trials as points of a unit cube, and how much of the variance each of their fields explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from study.analysis.fanova import Array, main_effects
from study.analysis.ped_anova import best_tenth_effects
from study.analysis.scores import comparable

Spaces = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Cell -> searched field -> distribution, with low, high and log, or choices."""

METHODS = ("fanova", "ped_anova")
TREES = 16
LEAF = 5  # trials: a forest that fits every single one finds so much in noise that clear effects do not stand out


@dataclass(frozen=True)
class SearchTable:
    """Trials with their scores.

    Attributes:
        values: (n, d), a continuous field in [0, 1] along its box, on its own scale; a choice as its number.
        choices: how many values each field has, 0 for a continuous one.
        names: which choices have no order of their own. They get that of their mean scores, in which a tree would sort
            them too.
        scores: (n,).
    """

    values: Array
    choices: tuple[int, ...]
    names: tuple[bool, ...]
    scores: Array

    @classmethod
    def of(cls, rows: pd.DataFrame, fields: Sequence[str], spaces: Spaces) -> "SearchTable":
        """The named fields of some trials."""
        columns, choices, names = zip(*(_column(rows[field], field, spaces) for field in fields), strict=True)
        return cls(np.column_stack(columns), choices, names, rows["score"].to_numpy(dtype=np.float64))

    def take(self, rows: npt.NDArray[np.intp]) -> "SearchTable":
        """The table of these trials alone."""
        return replace(self, values=self.values[rows], scores=self.scores[rows])

    def dealt(self, orders: Mapping[int, npt.NDArray[np.intp]]) -> "SearchTable":
        """With some columns in another order, the scores and the rest in place."""
        values = self.values.copy()
        for column, order in orders.items():
            values[:, column] = values[order, column]
        return replace(self, values=values)

    def effects(self, seed: int) -> Array:
        """What share of the variance of the scores each field explains alone, by each of METHODS: (2, d)."""
        points = self.values.copy()
        for column, (size, is_name) in enumerate(zip(self.choices, self.names, strict=True)):
            if size:
                codes = points[:, column].astype(np.intp)
                points[:, column] = ((self._places(codes, size)[codes] if is_name else codes) + 0.5) / size
        over_space, _ = main_effects(points, self.scores, trees=TREES, seed=seed, leaf=LEAF)
        best_tenth = best_tenth_effects(points, self.choices, self.scores)
        return np.array([over_space.mean(axis=0) / self.scores.var(), best_tenth])

    def _places(self, codes: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
        """The place of each name among all by its mean score; names without a trial come first."""
        means = np.bincount(codes, self.scores, size) / np.maximum(np.bincount(codes, minlength=size), 1)
        return np.argsort(np.argsort(means, kind="stable"))


def _column(column: "pd.Series[Any]", field: str, spaces: Spaces) -> tuple[Array, int, bool]:
    """A field's values as SearchTable holds them, how many choices it has, and whether these are names."""
    boxes = [space[field] for space in spaces.values() if field in space]
    if boxes and all("low" in box for box in boxes):
        return _along_box(column.to_numpy(dtype=np.float64), boxes), 0, False
    known = comparable(column)
    codes, values = pd.factorize(known, sort=True)
    return codes.astype(np.float64), len(values), not pd.api.types.is_numeric_dtype(known)


def _along_box(values: Array, boxes: Sequence[Mapping[str, Any]]) -> Array:
    """Values along the box that holds them and every cell's box, from 0 to 1."""
    low = min(*(box["low"] for box in boxes), values.min())
    high = max(*(box["high"] for box in boxes), values.max())
    scale = np.log if all(box["log"] for box in boxes) else np.asarray
    first, last = scale(low), scale(high)
    along: Array = (scale(values) - first) / (last - first)
    return along
