"""The sentence that answers a sweep's question, from confirmed numbers alone. Tables in, words out; never Ray or torch.

Its verdicts are those of `study.analysis.comparison`: the sentence never says more than the table of pairs does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.comparison import LEVEL, contrast_of, holm, paired_comparisons, paired_p_value
from study.analysis.curves import baseline_accuracy, best_of_each_cell, depth_curve
from study.analysis.outcomes import FAILURES, MEANS, training_outcomes
from study.analysis.scores import (
    METRICS,
    VERDICT_FROM,
    bootstrap_t_interval,
    cell_name,
    comparable,
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
TOLD_FAILURES = (
    "not_evaluated",
    "not_generalized",
)  # Seeds that do not learn are told of as at chance, or by the mean.
LISTED_CELLS = 6  # More cells than this in one sentence are counted, not named.
WITHOUT_VERDICT = ("level with", "above", "below")  # Which mean is higher, and no more.
NO_PAIR = "; no verdict, for they differ in "
NO_WIDTH = 1e-9  # An interval narrower than this is rounding: every seed gave the same number.


def answer(
    trials: pd.DataFrame,
    linear_baseline: Mapping[str, float] | None = None,
    nearest_neighbor_baseline: Mapping[str, float] | None = None,
    *,
    metric: str = "val_accuracy",
    by: Sequence[str] = ("depth", "recipe"),
    generator: np.random.Generator | None = None,
) -> str:
    """One sentence that answers the sweep's question from confirmed numbers alone.

    For depth x recipe it speaks of the deepest confirmed depth: the plain recipe with the highest mean, beside the next
    plain one, the best residual one and `linear_baseline` (of the images that all cells see); the nearest neighbour's
    accuracy is named, and nothing is held against it. For other axes: the cell with the highest mean, beside the next
    one. Then come cells with seeds at chance, cells that learn but do not evaluate or generalise (`analysis.outcomes`),
    and cells not confirmed yet. "Better" and "worse" are the verdicts of `paired_comparisons`, corrected over its whole
    table; beside the linear baseline they need the same, corrected over the cells that the leader was picked from.
    Without five pairs, or between cells that the table does not pair, it is only said which mean is higher. The leader
    is picked by the seeds that it is then judged by, so its own mean errs a little upwards.
    """
    axes = list(by) or ["cell"]
    known = select(trials, axes)
    trials = trials.assign(**{name: comparable(known[name]) for name in axes})
    curve = depth_curve(trials, metric=metric, by=axes, generator=generator)
    missing = _unconfirmed(trials, curve, axes)
    if curve.empty:
        return f"Nothing is confirmed yet{_search_so_far(trials)}."
    scores, contrast = seed_scores(confirmed_rows(trials, metric, axes), axes), contrast_of(known, axes) or ""
    pairs, outcomes = _pairs(trials, contrast, axes, metric, generator), training_outcomes(trials, by=axes)
    baseline, neighbor = (
        None if found is None else baseline_accuracy(found, metric)
        for found in (linear_baseline, nearest_neighbor_baseline)
    )
    told = (scores, pairs, contrast, baseline, neighbor, seeded(generator), outcomes)
    if set(axes) != DEPTH_AND_RECIPE:
        return _Teller(axes, axes, "cell", *told).sentence("", curve, curve.iloc[:0], missing)
    deepest = curve[curve["depth"] == curve["depth"].max()]
    plain = deepest["architecture"] == "plain"
    teller = _Teller(axes, ["recipe"], "plain recipe", *told)
    return teller.sentence(f" at depth {deepest['depth'].iloc[0]}", deepest[plain], deepest[~plain], missing)


def _pairs(
    trials: pd.DataFrame, contrast: str, axes: list[str], metric: str, generator: np.random.Generator | None
) -> pd.DataFrame:
    """The table of verdicts that the sentence takes its words from; empty where nothing is compared."""
    if not contrast:
        return pd.DataFrame(columns=[*axes, "a", "b"])
    within = [name for name in axes if name != contrast]
    return paired_comparisons(trials, between=contrast, within=within, metric=metric, generator=generator)


@dataclass(frozen=True)
class _Teller:
    """Words for the cells of one curve.

    Attributes:
        named: the axes that tell the cells of the sentence apart.
        pairs: `paired_comparisons` between the values of `contrast`, which is empty where nothing is compared.
    """

    axes: list[str]
    named: list[str]
    kind: str
    scores: pd.DataFrame
    pairs: pd.DataFrame
    contrast: str
    baseline: float | None
    neighbor: float | None
    generator: np.random.Generator
    outcomes: pd.DataFrame

    def sentence(self, place: str, candidates: pd.DataFrame, references: pd.DataFrame, missing: list[str]) -> str:
        """The whole sentence: leader among candidates, rivals, cells at chance, cells missing."""
        ranked = candidates.sort_values("mean", ascending=False, kind="stable")
        trained = ranked[ranked["at_chance"] < ranked["seeds"]]
        best_reference = references.sort_values("mean", ascending=False, kind="stable").iloc[:1]
        if trained.empty:
            state = "leaves chance" if len(ranked) else "is confirmed"
            clauses = [f"no {self.kind} {state}{place}", *self._beside_nothing(best_reference)]
        else:
            leader, rivals = trained.iloc[0], pd.concat([trained.iloc[1:2], best_reference])
            clauses = [self._lead(leader, len(ranked), place), self._comparisons(leader, rivals, ranked)]
        shown = pd.concat([ranked, references])
        clauses += [self._at_chance(shown), *(self._failing(shown, failure) for failure in TOLD_FAILURES)]
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

    def _comparisons(self, leader: "pd.Series[Any]", rivals: pd.DataFrame, ranked: pd.DataFrame) -> str:
        parts = [self._against(leader, rival) for _, rival in rivals.iterrows()]
        parts += [] if self.baseline is None else [self._beside_baseline(leader, ranked, self.baseline)]
        few = any(part.startswith(WITHOUT_VERDICT) and NO_PAIR not in part for part in parts)
        *first, last = parts or [""]
        remark = ", with too few seeds for a verdict" if few else ""
        return f"it is {', '.join(first)}{' and ' if first else ''}{last}{remark}" if last else ""

    def _against(self, leader: "pd.Series[Any]", rival: "pd.Series[Any]") -> str:
        found = mean_difference(self._seeds(leader), self._seeds(rival), self.generator)
        if found.n == 0:
            return f"without equal seeds to compare with {cell_name(rival, self.named)}"
        apart = [name for name in self.axes if name != self.contrast and leader[name] != rival[name]]
        if apart:
            word, why = _without_verdict(found.mean), f"{NO_PAIR}{', '.join(apart)}"
        else:
            word, why = self._corrected(leader, rival), ""
        difference = _interval(found.mean, found.low, found.high, sign="+")
        over = f"over {plural(found.n, 'paired seed')}{why if found.n >= VERDICT_FROM else ''}"
        return f"{word} {cell_name(rival, self.named)} (difference {difference} {over})"

    def _corrected(self, leader: "pd.Series[Any]", rival: "pd.Series[Any]") -> str:
        """The verdict of the two cells' row among the pairs, seen from the leader."""
        sides = {leader[self.contrast], rival[self.contrast]}
        place = matches(self.pairs, {name: leader[name] for name in self.axes if name != self.contrast})
        (row,) = self.pairs[place & self.pairs["a"].isin(sides) & self.pairs["b"].isin(sides)].to_dict("records")
        sign = 1.0 if row["a"] == leader[self.contrast] else -1.0
        ends = [sign * row[name] for name in ("low", "high", "bootstrap_low", "bootstrap_high")]
        return _verdict(sign * row["difference"], min(ends), max(ends), row["pairs"], row["holm"])

    def _beside_baseline(self, leader: "pd.Series[Any]", ranked: pd.DataFrame, baseline: float) -> str:
        above = [(self._seeds(cell) - baseline).to_numpy() for _, cell in ranked.iterrows()]
        first = list(ranked.index).index(leader.name)
        corrected = holm(np.array([paired_p_value(differences) for differences in above]))[first]
        found, bootstrap = (
            interval(above[first], self.generator) for interval in (mean_interval, bootstrap_t_interval)
        )
        word = _verdict(found.mean, min(found.low, bootstrap.low), max(found.high, bootstrap.high), found.n, corrected)
        beside = "" if self.neighbor is None else f"; the nearest neighbour has {self.neighbor:.3f}"
        return f"{word} the linear baseline ({baseline:.3f}{beside})"

    def _seeds(self, cell: "pd.Series[Any]") -> "pd.Series[float]":
        chosen = matches(self.scores, {name: cell[name] for name in self.axes})
        return self.scores[chosen].set_index("seed")["score"]

    def _beside_nothing(self, reference: pd.DataFrame) -> list[str]:
        parts = [f"{cell_name(cell, self.named)} has {self._score(cell)}" for _, cell in reference.iterrows()]
        named = {"the linear baseline": self.baseline, "the nearest neighbour": self.neighbor}
        return parts + [f"{name} has {accuracy:.3f}" for name, accuracy in named.items() if accuracy is not None]

    def _at_chance(self, cells: pd.DataFrame) -> str:
        parts = []
        for _, cell in cells.iterrows():
            # Where rows are pooled, a seed may diverge in one and train in another: it is not at chance then.
            untrained = max(cell["at_chance"], cell["diverged"])
            failed = f" ({cell['diverged']} diverged or failed)" if cell["diverged"] else ""
            if untrained:
                parts.append(f"{cell_name(cell, self.named)} in {untrained} of {plural(cell['seeds'], 'seed')}{failed}")
        return _list("at chance or diverged: ", parts, "cells in some of their seeds")

    def _failing(self, cells: pd.DataFrame, failure: str) -> str:
        """Cells that learned, and what then failed in how many of their seeds: the means tell by how much."""
        parts = []
        for _, cell in cells.iterrows():
            (found,) = self.outcomes[matches(self.outcomes, {name: cell[name] for name in self.axes})].to_dict(
                "records"
            )
            if found[failure]:
                train, batch, running = (found[name] for name in MEANS)
                means = f"train {train:.3f}, validation {batch:.3f} by batch statistics, {running:.3f} by running ones"
                seeds = f"{found[failure]} of {plural(found['seeds'], 'seed')}"
                parts.append(f"{cell_name(cell, self.named)} in {seeds} ({means})")
        return _list(f"{FAILURES[failure]}: ", parts, "cells in some of their seeds")


def _unconfirmed(trials: pd.DataFrame, curve: pd.DataFrame, axes: list[str]) -> list[str]:
    cells = select(trials, axes).drop_duplicates().sort_values(axes)
    known = {cell_name(cell, axes) for _, cell in curve.iterrows()}
    return [name for _, cell in cells.iterrows() if (name := cell_name(cell, axes)) not in known]


def _search_so_far(trials: pd.DataFrame) -> str:
    search = best_of_each_cell(trials)
    best = search["val_accuracy"].max()
    found = "" if math.isnan(best) else f"; the best reached validation accuracy {best:.3f}, on one seed"
    return f": {plural(int(search['trials'].sum()), 'search trial')} finished{found}"


def _without_verdict(mean: float) -> str:
    return WITHOUT_VERDICT[0 if abs(mean) < NO_WIDTH else 1 if mean > 0 else 2]


def _verdict(mean: float, low: float, high: float, n: int, corrected: float) -> str:
    """Words between two numbers whose difference lies in [low, high], by its P value corrected for all looks.

    Equal ends carry no spread to judge by, and no P value.
    """
    if n < VERDICT_FROM:
        return _without_verdict(mean)
    if not (low > 0 or high < 0) or corrected >= LEVEL:
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
