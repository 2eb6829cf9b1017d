"""Statistics of a run's `trials` table: DataFrame in, DataFrame or values out. Never Ray, torch or matplotlib.

Axes are column names in words, such as `by=("depth", "recipe")`. Only confirmed rows (`phase == "confirm"`) make a
statistic, and failed seeds stay in it as chance. Intervals are 95 % and over seeds: they say how far other seeds would
move the number, not how far another data set would. Random draws come from the numpy Generator given, or from a fixed
seed, so that the same table always gives the same numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.scores import (
    CONTEXT,
    METRICS,
    STATUSES,
    Estimate,
    confirmed_rows,
    matches,
    mean_difference,
    mean_interval,
    seed_scores,
    seeded,
    select,
)

Baselines = Mapping[str, Mapping[str, float]]
"""Words for each baseline to its accuracies."""


def depth_curve(
    trials: pd.DataFrame,
    *,
    metric: str = "val_accuracy",
    by: Sequence[str] = ("depth", "recipe"),
    generator: np.random.Generator | None = None,
) -> pd.DataFrame:
    """One row for each confirmed cell, sorted by `by` (no names: by `cell`).

    Columns: the `by` names; mean, low, high (`mean_interval`, clipped to [0, 1]; null ends for one seed); seeds;
    diverged, the seeds that diverged, failed or ran out of memory; at_chance, the seeds that did not train, those
    included; architecture, activation_slope, learning_rate and chance where all rows of the cell share one value, else
    null; metric. Repeats of a seed in a cell (several runs, axes left out of `by`) are averaged: they are no new seeds.
    """
    axes = list(by) or ["cell"]
    rows = confirmed_rows(trials, metric, axes)
    cells = seed_scores(rows, axes).groupby(axes, dropna=False, observed=True)
    curve = cells.agg(seeds=("score", "size"), diverged=("diverged", "sum"), at_chance=("at_chance", "sum"))
    generator = seeded(generator)
    intervals = [mean_interval(scores.to_numpy(), generator)[:3] for _, scores in cells["score"]]
    ends = np.clip(np.array(intervals, dtype=np.float64).reshape(-1, 3), 0.0, 1.0)
    for position, name in enumerate(("mean", "low", "high")):
        curve.insert(position, name, ends[:, position])
    context = rows.groupby(axes, dropna=False, observed=True)[[name for name in CONTEXT if name not in axes]]
    shared = context.first().where(context.nunique(dropna=False) == 1)
    return curve.join(shared).assign(metric=metric).reset_index()


def axes_of(curve: pd.DataFrame) -> list[str]:
    """The `by` names of a depth curve: its columns before `mean`."""
    names = list(curve.columns)
    return names[: names.index("mean")]


def paired_difference(
    trials: pd.DataFrame,
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    *,
    on: Sequence[str] = ("seed",),
    metric: str = "val_accuracy",
    generator: np.random.Generator | None = None,
) -> Estimate:
    """Mean over pairs of the metric of `a` minus that of `b`, with the interval of `mean_interval` on the differences.

    `a` and `b` choose confirmed rows by column value, such as {"depth": 110, "recipe": "isometric"}; rows with equal
    values of `on` are a pair, and rows without a partner are left out. To compare recipes over all depths, pair on
    ("depth", "seed"): the interval then takes the pairs as independent. A failed seed counts as chance.

    Raises:
        ValueError: two rows of one side have the same values of `on`.
    """
    rows = confirmed_rows(trials, metric, [*a, *b, *on])
    sides = [rows[matches(rows, chosen)].set_index(list(on))["score"] for chosen in (a, b)]
    for side, chosen in zip(sides, (a, b), strict=True):
        if side.index.has_duplicates:
            raise ValueError(f"{dict(chosen)} has several rows with equal {', '.join(on)}: name more columns in `on`")
    return mean_difference(sides[0], sides[1], generator)


def best_of_each_cell(trials: pd.DataFrame, *, by: Sequence[str] = ("cell",)) -> pd.DataFrame:
    """Where the search of each cell stands: one row a cell, sorted by `by`.

    Columns: the `by` names; val_accuracy, that of the best finished search trial, and its trial_id (null while there is
    none); trials; and a count for each status (ok, pruned, diverged, failed, out_of_memory).
    """
    axes = list(by) or ["cell"]
    rows = select(trials, [*axes, "phase", "status", "trial_id", "val_accuracy"])
    rows = rows[rows["phase"] == "search"]
    counts = {status: (rows["status"] == status).astype(int) for status in STATUSES}
    accuracy = rows["val_accuracy"].astype(np.float64).where(rows["status"] == "ok")
    rows = rows.assign(val_accuracy=accuracy, trial_id=rows["trial_id"].where(accuracy.notna()), trials=1, **counts)
    cells = rows.sort_values("val_accuracy", ascending=False, kind="stable").groupby(axes, dropna=False, observed=True)
    return cells[["val_accuracy", "trial_id"]].first().join(cells[["trials", *STATUSES]].sum()).reset_index()


def baseline_accuracy(baseline: Mapping[str, float], metric: str) -> float:
    """The baseline's accuracy on the split that `metric` is measured on."""
    return float(baseline[METRICS[metric][1]])
