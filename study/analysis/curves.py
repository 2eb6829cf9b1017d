"""Statistics of a run's `trials` table: DataFrame in, DataFrame or values out. Never Ray, torch or matplotlib.

Axes are column names in words, such as `by=("depth", "recipe")`. Only confirmed rows (`phase == "confirm"`) make a
statistic, and seeds that diverged stay in it as chance. Rows of several settings make none: where those with equal
axes differ in anything but the seed, a ValueError names it. Intervals are 95 % and over seeds: they say how far other
seeds would move the number, not how far another data set would. Random draws come from the numpy Generator given, or
from a fixed seed, so that the same table always gives the same numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.mixing import DATA_SET, refuse_mixed
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
from study.analysis.shares import trained_shares
from study.config import SEARCH

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

    Columns: the `by` names; mean, low, high over all seeds, a diverged one as chance, which cells are ranked by
    (`mean_interval`, clipped to [0, 1]; null ends for one seed); seeds; diverged; at_chance, the seeds that did not
    leave it, diverged ones included; `shares.SHARES`, how many trained and how well those do; CONTEXT and metric.
    Repeats of a seed in a cell (several runs) are averaged: they are no new seeds.
    """
    axes = list(by) or ["cell"]
    rows = confirmed_rows(trials, metric, axes)
    scores = seed_scores(rows, axes)
    cells = scores.groupby(axes, dropna=False, observed=True)
    curve = cells.agg(seeds=("score", "size"), diverged=("diverged", "sum"), at_chance=("at_chance", "sum"))
    generator = seeded(generator)
    intervals = [mean_interval(scores.to_numpy(), generator)[:3] for _, scores in cells["score"]]
    ends = np.clip(np.array(intervals, dtype=np.float64).reshape(-1, 3), 0.0, 1.0)
    for position, name in enumerate(("mean", "low", "high")):
        curve.insert(position, name, ends[:, position])
    context = rows.groupby(axes, dropna=False, observed=True)[[name for name in CONTEXT if name not in axes]]
    return curve.join(trained_shares(scores, axes)).join(context.first()).assign(metric=metric).reset_index()


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
    ("depth", "seed"): the interval then takes the pairs as independent. A diverged seed counts as chance.

    Raises:
        ValueError: two rows of one side have the same values of `on`, or settings differ that neither names.
    """
    known = select(trials, [*trials.columns])
    sides = [known[matches(select(known, [*chosen]), chosen)] for chosen in (a, b)]
    apart = [name for name in on if name != "seed"]
    rows = [confirmed_rows(side, metric, [*chosen, *apart]) for side, chosen in zip(sides, (a, b), strict=True)]
    if DATA_SET not in {*a, *b}:
        refuse_mixed(pd.concat(rows), apart, [DATA_SET])
    scores = [side.set_index(list(on))["score"] for side in rows]
    for side, chosen in zip(scores, (a, b), strict=True):
        if side.index.has_duplicates:
            raise ValueError(f"{dict(chosen)} has several rows with equal {', '.join(on)}: name more columns in `on`")
    return mean_difference(scores[0], scores[1], generator)


def best_of_each_cell(trials: pd.DataFrame, *, by: Sequence[str] = ("cell",)) -> pd.DataFrame:
    """Best search trial of each cell: one row a cell, sorted by `by`.

    Columns: the `by` names; val_accuracy, that of the best finished search trial, and its trial_id (null while there is
    none); trials; and a count for each status (ok, pruned, diverged, failed, out_of_memory).
    """
    axes = list(by) or ["cell"]
    rows = select(trials, [*axes, "phase", "status", "trial_id", "val_accuracy"])
    rows = rows[rows["phase"] == SEARCH]
    counts = {status: (rows["status"] == status).astype(int) for status in STATUSES}
    accuracy = rows["val_accuracy"].astype(np.float64).where(rows["status"] == "ok")
    rows = rows.assign(val_accuracy=accuracy, trial_id=rows["trial_id"].where(accuracy.notna()), trials=1, **counts)
    cells = rows.sort_values("val_accuracy", ascending=False, kind="stable").groupby(axes, dropna=False, observed=True)
    return cells[["val_accuracy", "trial_id"]].first().join(cells[["trials", *STATUSES]].sum()).reset_index()


def baseline_accuracy(baseline: Mapping[str, float], metric: str) -> float:
    """The baseline's accuracy on the split that `metric` is measured on."""
    return float(baseline[METRICS[metric].baseline])
