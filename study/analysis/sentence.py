"""The sentence that answers a sweep's question, from confirmed numbers alone. Tables in, words out; never Ray or torch.

Its verdicts are those of `study.analysis.comparison`: the sentence never says more than the table of pairs does. Cells
are ranked by their mean over all seeds, a diverged one as chance; what is said of a cell is the mean among the seeds
that trained, and how many those are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.analysis.comparison import contrast_of, holm, measured, paired_comparisons, paired_p_value, verdict_on
from study.analysis.curves import baseline_accuracy, best_of_each_cell, depth_curve
from study.analysis.images import images_behind
from study.analysis.mixing import DATA_SET, refuse_mixed
from study.analysis.outcomes import FAILURES, MEANS, training_outcomes
from study.analysis.scores import (
    METRICS,
    VERDICT_FROM,
    cell_name,
    comparable,
    confirmed_rows,
    matches,
    mean_difference,
    seed_scores,
    seeded,
    select,
)
from study.analysis.words import (
    WITHOUT_VERDICT,
    beside,
    in_brackets,
    in_two_digits,
    listed,
    score_words,
    without_verdict,
)
from study.terminal import plural

DEPTH_AND_RECIPE = {"depth", "recipe"}
# Seeds that do not learn are told of as at chance, or by the mean.
TOLD_FAILURES = ("not_evaluated", "not_generalized")
NO_PAIR = "; no verdict, for they differ in "
ACTIVATION = ("activation_slope", "norm_bias_init")  # All 0: a ReLU as it is known.


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
    plain one, its residual twin of equal activation, the ReLU twin, and `linear_baseline` (of the images that all cells
    see); the nearest neighbour's accuracy is named, and nothing is held against it. For other axes: the cell with the
    highest mean, beside the next one. Then come cells at chance, that fail otherwise (`analysis.outcomes`), or that are
    not confirmed yet. Verdicts are those of `paired_comparisons`, corrected over its whole table; beside the linear
    baseline over the cells that the leader was picked from. Else it is only said which mean is higher. The leader is
    picked by the seeds that it is judged by, so its own mean errs a little upwards.

    Raises:
        ValueError: rows of one cell are of several settings, or cells of several data sets.
    """
    axes = list(by) or ["cell"]
    known = select(trials, axes)
    trials = trials.assign(**{name: comparable(known[name]) for name in axes})
    contrast = contrast_of(trials, axes)
    found = Findings(
        trials=trials,
        axes=axes,
        contrast=contrast or "",
        curve=depth_curve(trials, by=axes, metric=metric, generator=generator),
        pairs=pairs_of(trials, axes, contrast, metric=metric, generator=generator),
        outcomes=training_outcomes(trials, by=axes),
    )
    levels = (linear_baseline, nearest_neighbor_baseline)
    linear, neighbor = (None if level is None else baseline_accuracy(level, metric) for level in levels)
    return sentence(found, linear, neighbor, generator)


def pairs_of(trials: pd.DataFrame, axes: Sequence[str], contrast: str | None, **given: Any) -> pd.DataFrame:
    """`paired_comparisons` between the values of the contrast, at equal values of all other axes; none without one."""
    within = [name for name in axes if name != contrast]
    if contrast is None:
        return pd.DataFrame(columns=[*within, "a", "b"])
    return paired_comparisons(trials, between=contrast, within=within, **given)


class Findings(NamedTuple):
    """What a sentence takes its words from: a run's trials, and the tables made of them by equal axes and metric.

    Attributes:
        axes: at least one, `comparable` in `trials`.
        contrast: the axis whose values are compared; empty where nothing is.
        pairs: of `pairs_of`.
    """

    trials: pd.DataFrame
    axes: list[str]
    contrast: str
    curve: pd.DataFrame
    pairs: pd.DataFrame
    outcomes: pd.DataFrame


def sentence(
    found: Findings, linear: float | None, neighbor: float | None, generator: np.random.Generator | None = None
) -> str:
    """Say in one sentence what `answer` says, from tables that are known already and the baselines' accuracies."""
    if found.curve.empty:
        return nothing_confirmed(found.trials)
    axes, curve = found.axes, found.curve
    told = (found, *_seeds(found), linear, neighbor, seeded(generator))
    missing = _unconfirmed(found.trials, curve, axes)
    if set(axes) != DEPTH_AND_RECIPE:
        return _Teller(axes, "cell", *told).sentence("", curve, curve.iloc[:0], missing)
    deepest = curve[curve["depth"] == curve["depth"].max()]
    plain = deepest["architecture"] == "plain"
    teller = _Teller(["recipe"], "plain recipe", *told)
    return teller.sentence(f" at depth {deepest['depth'].iloc[0]}", deepest[plain], deepest[~plain], missing)


def _seeds(found: Findings) -> tuple[pd.DataFrame, float]:
    """Scores by seed, and how many images they are measured on; ValueError where data sets mix."""
    metric = str(found.curve["metric"].iloc[0])
    confirmed = confirmed_rows(found.trials, metric, found.axes)
    if DATA_SET not in found.axes:
        refuse_mixed(confirmed, [], [DATA_SET])
    return seed_scores(confirmed, found.axes), images_behind(confirmed[DATA_SET].unique(), metric)


@dataclass(frozen=True)
class _Teller:
    """Words for the cells of one curve.

    Attributes:
        named: the axes that tell the cells of the sentence apart.
        scores: by seed; `images`: how many they are measured on, NaN where unknown.
    """

    named: list[str]
    kind: str
    found: Findings
    scores: pd.DataFrame
    images: float
    baseline: float | None
    neighbor: float | None
    generator: np.random.Generator

    def sentence(self, place: str, candidates: pd.DataFrame, references: pd.DataFrame, missing: list[str]) -> str:
        """The whole sentence: leader among candidates, rivals, cells at chance, cells missing."""
        ranked = candidates.sort_values("mean", ascending=False, kind="stable")
        trained = ranked[ranked["at_chance"] < ranked["seeds"]]
        by_mean = references.sort_values("mean", ascending=False, kind="stable")
        if trained.empty:
            state = "leaves chance" if len(ranked) else "is confirmed"
            clauses = [f"no {self.kind} {state}{place}", *self._beside_nothing(by_mean.iloc[:1])]
        else:
            leader = trained.iloc[0]
            rivals = pd.concat([trained.iloc[1:2], twins_of(leader, by_mean)])
            clauses = [self._lead(leader, len(ranked), place), self._comparisons(leader, rivals, ranked)]
        shown = pd.concat([ranked, references])
        clauses += [self._at_chance(shown), *(self._failing(shown, failure) for failure in TOLD_FAILURES)]
        clauses.append(listed("not confirmed yet: ", missing, "cells"))
        text = "; ".join(clause for clause in clauses if clause)
        return f"{text[0].upper()}{text[1:]}."

    def _lead(self, leader: "pd.Series[Any]", candidates: int, place: str) -> str:
        if candidates == 1:
            return f"the only {self.kind}{place}, {cell_name(leader, self.named)}, has {self._score(leader)}"
        of_these = f"of {candidates} {self.kind}s{place}"
        return f"{of_these}, {cell_name(leader, self.named)} has the highest mean: {self._score(leader)}"

    def _score(self, cell: "pd.Series[Any]") -> str:
        share = f"share that trains {in_two_digits(cell['trained_low'], cell['trained_high'])}"
        slope = cell["activation_slope"]
        told = "" if "activation_slope" in self.found.axes or pd.isna(slope) else f"; activation slope {slope:g}"
        return f"{METRICS[cell['metric']].words} {score_words(cell)} ({share}{told})"

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
        apart = [name for name in self.found.axes if name != self.found.contrast and leader[name] != rival[name]]
        told = found.n >= VERDICT_FROM and not apart
        word = without_verdict(found.mean)
        if told:
            pair, seen = pair_of(self.found, leader, rival)
            word = beside(pair["verdict"], seen)
        why = f"{NO_PAIR}{', '.join(apart)}" if apart and found.n >= VERDICT_FROM else ""
        diverged = ", diverged ones as chance" if leader["diverged"] + rival["diverged"] else ""
        difference = in_brackets(found.mean, found.low, found.high, sign="+")
        over = f"over {plural(found.n, 'paired seed')}{diverged}{why}"
        return f"{word} {cell_name(rival, self.named)} (difference {difference} {over})"

    def _beside_baseline(self, leader: "pd.Series[Any]", ranked: pd.DataFrame, baseline: float) -> str:
        above = [(self._seeds(cell) - baseline).to_numpy() for _, cell in ranked.iterrows()]
        first = list(ranked.index).index(leader.name)
        corrected = holm(np.array([paired_p_value(differences) for differences in above]))[first]
        mean = float(above[first].mean())
        row = measured(above[first] * np.copysign(1.0, mean), self.generator)
        verdict = verdict_on({"a": "", **row, "images": self.images, "holm": corrected})
        word = beside(verdict, mean) if row["pairs"] >= VERDICT_FROM else without_verdict(mean)
        neighbor = "" if self.neighbor is None else f"; the nearest neighbour has {self.neighbor:.3f}"
        return f"{word} the linear baseline ({baseline:.3f}{neighbor})"

    def _seeds(self, cell: "pd.Series[Any]") -> "pd.Series[float]":
        chosen = matches(self.scores, {name: cell[name] for name in self.found.axes})
        return self.scores[chosen].set_index("seed")["score"]

    def _beside_nothing(self, reference: pd.DataFrame) -> list[str]:
        parts = [f"{cell_name(cell, self.named)} has {self._score(cell)}" for _, cell in reference.iterrows()]
        named = {"the linear baseline": self.baseline, "the nearest neighbour": self.neighbor}
        return parts + [f"{name} has {accuracy:.3f}" for name, accuracy in named.items() if accuracy is not None]

    def _at_chance(self, cells: pd.DataFrame) -> str:
        parts = []
        for _, cell in cells.iterrows():
            # A seed that was repeated may diverge in one run and train in another: it is not at chance then.
            untrained = max(cell["at_chance"], cell["diverged"])
            failed = f" ({cell['diverged']} diverged)" if cell["diverged"] else ""
            if untrained:
                parts.append(f"{cell_name(cell, self.named)} in {untrained} of {plural(cell['seeds'], 'seed')}{failed}")
        return listed("at chance or diverged: ", parts, "cells in some of their seeds")

    def _failing(self, cells: pd.DataFrame, failure: str) -> str:
        """Cells that learned, and what then failed in how many of their seeds: the means tell by how much."""
        parts, outcomes = [], self.found.outcomes
        for _, cell in cells.iterrows():
            place = matches(outcomes, {name: cell[name] for name in self.found.axes})
            (found,) = outcomes[place].to_dict("records")
            if found[failure]:
                train, batch, running = (found[name] for name in MEANS)
                means = f"train {train:.3f}, validation {batch:.3f} by batch statistics, {running:.3f} by running ones"
                seeds = f"{found[failure]} of {plural(found['seeds'], 'seed')}"
                parts.append(f"{cell_name(cell, self.named)} in {seeds} ({means})")
        return listed(f"{FAILURES[failure]}: ", parts, "cells in some of their seeds")


def pair_of(found: Findings, leader: "pd.Series[Any]", rival: "pd.Series[Any]") -> tuple[dict[Any, Any], float]:
    """The row of two cells among the pairs, and its difference as seen from the leader."""
    pairs, contrast = found.pairs, found.contrast
    sides = {leader[contrast], rival[contrast]}
    place = matches(pairs, {name: leader[name] for name in found.axes if name != contrast})
    (row,) = pairs[place & pairs["a"].isin(sides) & pairs["b"].isin(sides)].to_dict("records")
    return row, row["difference"] if row["a"] == leader[contrast] else -row["difference"]


def twins_of(leader: "pd.Series[Any]", references: pd.DataFrame) -> pd.DataFrame:
    """The residual references, best first: the one with the leader's activation, and the ReLU one beside it."""
    shapes = references[list(ACTIVATION)].astype(np.float64).fillna(0.0)
    alike = (shapes == leader[list(ACTIVATION)].astype(np.float64).fillna(0.0)).all(axis=1)
    chosen = pd.concat([references[alike].iloc[:1], references[(shapes == 0.0).all(axis=1)].iloc[:1]])
    return chosen[~chosen.index.duplicated()] if len(chosen) else references.iloc[:1]


def _unconfirmed(trials: pd.DataFrame, curve: pd.DataFrame, axes: list[str]) -> list[str]:
    cells = select(trials, axes).drop_duplicates().sort_values(axes)
    known = {cell_name(cell, axes) for _, cell in curve.iterrows()}
    return [name for _, cell in cells.iterrows() if (name := cell_name(cell, axes)) not in known]


def nothing_confirmed(trials: pd.DataFrame) -> str:
    """What is known of a run before its first confirmation."""
    search = best_of_each_cell(trials)
    best = search["val_accuracy"].max()
    found = "" if math.isnan(best) else f"; the best reached validation accuracy {best:.3f}, on one seed"
    return f"Nothing is confirmed yet: {plural(int(search['trials'].sum()), 'search trial')} finished{found}."
