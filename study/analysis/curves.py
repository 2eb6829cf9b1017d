"""Statistics of a run's `trials` table: DataFrame in, DataFrame or values out. Never Ray, torch or matplotlib.

Axes are column names in words, such as `by=("depth", "recipe")`. Only confirmed rows (`phase == "confirm"`) make a
statistic, and failed seeds stay in it as chance. Intervals are 95 % and over seeds: they say how far other seeds would
move the number, not how far another data set would. Random draws come from the numpy Generator given, or from a fixed
seed, so that the same table always gives the same numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.scores import (
    CONTEXT,
    METRICS,
    STATUSES,
    VERDICT_FROM,
    Estimate,
    bootstrap_t_interval,
    cell_name,
    confirmed_rows,
    matches,
    mean_difference,
    mean_interval,
    seed_scores,
    seeded,
    select,
)
from study.terminal import plural

DEPTH_AND_RECIPE = {"depth", "recipe"}
LISTED_CELLS = 6  # More cells than this in one sentence are counted, not named.
WITHOUT_VERDICT = ("level with", "above", "below")  # Which mean is higher, and no more.
NO_WIDTH = 1e-9  # An interval narrower than this is rounding: every seed gave the same number.


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


def baseline_accuracy(linear_baseline: Mapping[str, float], metric: str) -> float:
    """The linear baseline's accuracy on the split that `metric` is measured on."""
    return float(linear_baseline[METRICS[metric][1]])


def answer(
    trials: pd.DataFrame,
    linear_baseline: Mapping[str, float] | None = None,
    *,
    metric: str = "val_accuracy",
    by: Sequence[str] = ("depth", "recipe"),
    generator: np.random.Generator | None = None,
) -> str:
    """One sentence that answers the sweep's question from confirmed numbers alone.

    For depth x recipe it speaks of the deepest confirmed depth: the plain recipe with the highest mean, beside the next
    plain one, the best residual one and `linear_baseline` (of the sweep's one data set). For other axes: the cell with
    the highest mean, beside the next one. Then come cells with seeds at chance, and cells not confirmed yet. "Better"
    and "worse" need five pairs and two 95 % intervals of the paired difference that both leave out 0 (`mean_interval`
    and `bootstrap_t_interval`); below five pairs it is only said which mean is higher. The leader is picked by the
    seeds that it is then judged by, so its own mean errs a little upwards.
    """
    axes = list(by) or ["cell"]
    curve = depth_curve(trials, metric=metric, by=axes, generator=generator)
    missing = _unconfirmed(trials, curve, axes)
    if curve.empty:
        return f"Nothing is confirmed yet{_search_so_far(trials)}."
    scores = seed_scores(confirmed_rows(trials, metric, axes), axes)
    baseline = None if linear_baseline is None else baseline_accuracy(linear_baseline, metric)
    if set(axes) != DEPTH_AND_RECIPE:
        teller = _Teller(axes, axes, "cell", scores, baseline, seeded(generator))
        return teller.sentence("", curve, curve.iloc[:0], missing)
    deepest = curve[curve["depth"] == curve["depth"].max()]
    plain = deepest["architecture"] == "plain"
    teller = _Teller(axes, ["recipe"], "plain recipe", scores, baseline, seeded(generator))
    return teller.sentence(f" at depth {deepest['depth'].iloc[0]}", deepest[plain], deepest[~plain], missing)


@dataclass(frozen=True)
class _Teller:
    """Words for the cells of one curve. `named` are the axes that tell the cells of the sentence apart."""

    axes: list[str]
    named: list[str]
    kind: str
    scores: pd.DataFrame
    baseline: float | None
    generator: np.random.Generator

    def sentence(self, place: str, candidates: pd.DataFrame, references: pd.DataFrame, missing: list[str]) -> str:
        """The whole sentence: leader among candidates, rivals, cells at chance, cells missing."""
        ranked = candidates.sort_values("mean", ascending=False, kind="stable")
        trained = ranked[ranked["at_chance"] < ranked["seeds"]]
        best_reference = references.sort_values("mean", ascending=False, kind="stable").iloc[:1]
        if trained.empty:
            state = "trains" if len(ranked) else "is confirmed"
            clauses = [f"no {self.kind} {state}{place}", *self._beside_nothing(best_reference)]
        else:
            leader, rivals = trained.iloc[0], pd.concat([trained.iloc[1:2], best_reference])
            clauses = [self._lead(leader, len(ranked), place), self._comparisons(leader, rivals)]
        clauses.append(self._at_chance(pd.concat([ranked, references])))
        clauses.append(_list("not confirmed yet: ", missing, "cells"))
        text = "; ".join(clause for clause in clauses if clause)
        return f"{text[0].upper()}{text[1:]}."

    def _lead(self, leader: "pd.Series[Any]", candidates: int, place: str) -> str:
        if candidates == 1:
            return f"the only {self.kind}{place}, {cell_name(leader, self.named)}, has {self._score(leader)}"
        of_these = f"of {candidates} {self.kind}s{place}"
        return f"{of_these}, {cell_name(leader, self.named)} has the highest mean: {self._score(leader)}"

    def _score(self, cell: "pd.Series[Any]") -> str:
        words = METRICS[cell["metric"]][0]
        text = f"{words} {_interval(cell['mean'], cell['low'], cell['high'])} over {plural(cell['seeds'], 'seed')}"
        slope = cell["activation_slope"]
        return text if "activation_slope" in self.axes or pd.isna(slope) else f"{text} (activation slope {slope:g})"

    def _comparisons(self, leader: "pd.Series[Any]", rivals: pd.DataFrame) -> str:
        parts = [self._against(leader, rival) for _, rival in rivals.iterrows()]
        if self.baseline is not None:
            above = self._seeds(leader) - self.baseline
            words = self._verdict(mean_interval(above, self.generator), above)
            parts.append(f"{words} the linear baseline ({self.baseline:.3f})")
        few = any(part.startswith(WITHOUT_VERDICT) for part in parts)
        *first, last = parts or [""]
        remark = ", with too few seeds for a verdict" if few else ""
        return f"it is {', '.join(first)}{' and ' if first else ''}{last}{remark}" if last else ""

    def _against(self, leader: "pd.Series[Any]", rival: "pd.Series[Any]") -> str:
        a, b = self._seeds(leader), self._seeds(rival)
        found = mean_difference(a, b, self.generator)
        if found.n == 0:
            return f"without equal seeds to compare with {cell_name(rival, self.named)}"
        difference = _interval(found.mean, found.low, found.high, sign="+")
        words = f"{self._verdict(found, (a - b).dropna())} {cell_name(rival, self.named)}"
        return f"{words} (difference {difference} over {plural(found.n, 'paired seed')})"

    def _verdict(self, found: Estimate, differences: "pd.Series[float]") -> str:
        """Words for a difference; the wider of its two intervals at each end decides."""
        bootstrap = bootstrap_t_interval(differences.to_numpy(), self.generator)
        return _verdict(found.mean, min(found.low, bootstrap.low), max(found.high, bootstrap.high), found.n)

    def _seeds(self, cell: "pd.Series[Any]") -> "pd.Series[float]":
        chosen = matches(self.scores, {name: cell[name] for name in self.axes})
        return self.scores[chosen].set_index("seed")["score"]

    def _beside_nothing(self, reference: pd.DataFrame) -> list[str]:
        parts = [f"{cell_name(cell, self.named)} has {self._score(cell)}" for _, cell in reference.iterrows()]
        return parts if self.baseline is None else [*parts, f"the linear baseline has {self.baseline:.3f}"]

    def _at_chance(self, cells: pd.DataFrame) -> str:
        parts = []
        for _, cell in cells.iterrows():
            # Where rows are pooled, a seed may diverge in one and train in another: it is not at chance then.
            untrained = max(cell["at_chance"], cell["diverged"])
            failed = f" ({cell['diverged']} diverged or failed)" if cell["diverged"] else ""
            if untrained:
                parts.append(f"{cell_name(cell, self.named)} in {untrained} of {plural(cell['seeds'], 'seed')}{failed}")
        return _list("at chance or diverged: ", parts, "cells in some of their seeds")


def _unconfirmed(trials: pd.DataFrame, curve: pd.DataFrame, axes: list[str]) -> list[str]:
    cells = select(trials, axes).drop_duplicates().sort_values(axes)
    known = {cell_name(cell, axes) for _, cell in curve.iterrows()}
    return [name for _, cell in cells.iterrows() if (name := cell_name(cell, axes)) not in known]


def _search_so_far(trials: pd.DataFrame) -> str:
    search = best_of_each_cell(trials)
    best = search["val_accuracy"].max()
    found = "" if math.isnan(best) else f"; the best reached validation accuracy {best:.3f}, on one seed"
    return f": {plural(int(search['trials'].sum()), 'search trial')} finished{found}"


def _verdict(mean: float, low: float, high: float, n: int) -> str:
    """Words between two numbers whose difference lies in [low, high]; equal ends carry no spread to judge by."""
    if n < VERDICT_FROM:
        return WITHOUT_VERDICT[0 if abs(mean) < NO_WIDTH else 1 if mean > 0 else 2]
    if not (low > 0 or high < 0):
        return "not distinguishable from"
    if high - low < NO_WIDTH:
        return f"{'higher' if low > 0 else 'lower'}, by the same amount in every seed, than"
    return "better than" if low > 0 else "worse than"


def _interval(mean: float, low: float, high: float, *, sign: str = "") -> str:
    ends = "" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{mean:{sign}.3f}{ends}"


def _list(head: str, parts: list[str], noun: str) -> str:
    """`parts` after `head`, or how many `noun` there are where they are too many to name; nothing for none."""
    return head + (", ".join(parts) if len(parts) <= LISTED_CELLS else f"{len(parts)} {noun}") if parts else ""
