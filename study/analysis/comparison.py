"""Recipes against each other on equal seeds, and interquartile means. DataFrame in, DataFrame out; never Ray or torch.

A verdict in words needs three things: five pairs or more, two intervals (Student's or the percentile bootstrap, and
bootstrap-t) that both leave out 0, and a P value that is below 0.05 after Holm's correction over the whole table.
Everything else is "not distinguishable" or "too few seeds", however large the difference looks.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from study.analysis.scores import (
    RESAMPLES,
    UPPER_QUANTILE,
    VERDICT_FROM,
    Estimate,
    bootstrap_t_interval,
    comparable,
    confirmed_rows,
    groups_of,
    mean_difference,
    seed_scores,
    seeded,
)

COMPARED = (
    *("a", "b", "difference", "low", "high", "bootstrap_low", "bootstrap_high"),
    *("beats", "beats_low", "beats_high", "p_value", "pairs"),
)
Array = npt.NDArray[np.floating[Any]]

LEVEL = 0.05
TRIMMED = 0.25  # The interquartile mean leaves out a quarter at each end.
LEAST_RESAMPLES = 400
DRAWS_AT_MOST = 4_000_000  # Of all resamples together: a table of 10,000 seeds still takes under a second.


def contrast_of(trials: pd.DataFrame, axes: Sequence[str]) -> str | None:
    """The axis whose values are compared on equal seeds: the recipe where there are several, else another than depth.

    Depths are compared by curves and limits; None where nothing else differs.
    """
    several = [name for name in axes if name != "depth" and trials[name].nunique(dropna=False) > 1]
    return "recipe" if "recipe" in several else several[-1] if several else None


def paired_comparisons(
    trials: pd.DataFrame,
    *,
    between: str = "recipe",
    within: Sequence[str] = ("depth",),
    metric: str = "val_accuracy",
    generator: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Every two values of `between`, at equal `within` and seed; one row a pair of values and point of `within`.

    Columns: the `within` names; a, b (a has the higher mean); difference, low, high of a - b (Student's t below ten
    pairs, bootstrap from there: `mean_interval`); bootstrap_low, bootstrap_high (`bootstrap_t_interval`); beats,
    beats_low, beats_high (`win_probability`); p_value, that of the paired t test; holm, the same corrected over all
    rows; pairs; verdict. A failed seed counts as chance. A null of `between` is the value `none` (`comparable`).
    """
    axes = [*within, between]
    scores = seed_scores(confirmed_rows(trials, metric, axes), axes)
    scores = scores.assign(**{between: comparable(scores[between])})
    generator = seeded(generator)
    rows = []
    for place, group in groups_of(scores, within):
        sides = {name: side.set_index("seed")["score"] for name, side in group.groupby(between, sort=True)}
        for a, b in combinations(sides, 2):
            rows.append(place | _compare(a, b, sides, generator))
    table = pd.DataFrame(rows, columns=[*within, *COMPARED])
    corrected = holm(table["p_value"].to_numpy(dtype=np.float64))
    table.insert(list(table.columns).index("pairs"), "holm", corrected)
    return table.assign(verdict=[_verdict(row) for row in table.to_dict("records")])


def _compare(a: Any, b: Any, sides: dict[Any, "pd.Series[float]"], generator: np.random.Generator) -> dict[str, Any]:
    differences = (sides[a] - sides[b]).dropna().to_numpy()
    if len(differences) and differences.mean() < 0:
        a, b, differences = b, a, -differences
    mean, low, high, pairs = mean_difference(sides[a], sides[b], generator)
    bootstrap = np.clip(bootstrap_t_interval(differences, generator)[1:3], -1.0, 1.0)
    wins = win_probability(differences)
    values = (a, b, mean, low, high, *bootstrap, *wins[:3], paired_p_value(differences), pairs)
    return dict(zip(COMPARED, values, strict=True))


def paired_p_value(differences: Array) -> float:
    """Two-sided P value of Student's paired t test on (n,) differences; NaN where they carry no spread to judge by."""
    if len(differences) < 2 or np.ptp(differences) < np.finfo(float).eps:
        return math.nan
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def win_probability(differences: Array) -> Estimate:
    """P(a beats b on the same seed), ties counted half, from (n,) differences; Wilson's 95 % score interval.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n): unlike a bootstrap, it does not shrink to a point when
    one side wins every pair.
    """
    n = len(differences)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share = float((np.sign(differences) + 1).mean() / 2)
    z = float(stats.norm.ppf(UPPER_QUANTILE))
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Estimate(share, max(center - half, 0.0), min(center + half, 1.0), n)


def holm(p_values: Array) -> Array:
    """P values (n,) corrected for n looks: the i-th smallest times n - i + 1, made monotone (Holm 1979). NaN stays."""
    corrected = np.full(len(p_values), math.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0) if len(order) else []
    return corrected


def _verdict(row: dict[Any, Any]) -> str:
    if row["pairs"] == 0:
        return "no equal seeds"
    if row["pairs"] < VERDICT_FROM:
        return f"none: under {VERDICT_FROM} pairs"
    if math.isnan(row["p_value"]):
        return "equal in every seed" if row["difference"] == 0 else "the same difference in every seed"
    clear = row["low"] > 0 and row["bootstrap_low"] > 0 and row["holm"] < LEVEL
    return f"{row['a']} is better" if clear else "not distinguishable"


def interquartile_means(
    trials: pd.DataFrame,
    *,
    by: Sequence[str] = ("recipe",),
    strata: Sequence[str] = ("depth",),
    metric: str = "val_accuracy",
    generator: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Interquartile mean over all seeds of a group and its interval: the `by` names, mean, low, high, seeds, points.

    Only points of the `strata` that every group has count, or a group would lead by lacking a deep net; `points` says
    how many these are, and where there is none the table is empty. The seeds of a point are resampled
    among themselves, so that the mix of depths stays as it is (Agarwal et al. 2021, "Deep RL at the Edge of the
    Statistical Precipice"), see `interquartile_mean`.
    """
    axes, inner = list(by), [name for name in strata if name not in by]
    scores = seed_scores(confirmed_rows(trials, metric, [*axes, *inner]), [*axes, *inner])
    generator = seeded(generator)
    rows = []
    for names, group in groups_of(_shared_points(scores, axes, inner), axes):
        samples = [part["score"].to_numpy() for _, part in groups_of(group, inner)]
        mean, low, high, n = interquartile_mean(samples, generator)
        rows.append(names | {"mean": mean, "low": low, "high": high, "seeds": n, "points": len(samples)})
    return pd.DataFrame(rows, columns=[*axes, "mean", "low", "high", "seeds", "points"])


def _shared_points(scores: pd.DataFrame, axes: list[str], inner: list[str]) -> pd.DataFrame:
    """The rows of those points of `inner` that every group of `axes` has."""
    groups = len(groups_of(scores, axes))
    shared = [point for _, point in groups_of(scores, inner) if len(groups_of(point, axes)) == groups]
    return pd.concat(shared) if shared else scores.iloc[:0]


def interquartile_mean(samples: list[Array], generator: np.random.Generator | None = None) -> Estimate:
    """Mean of the middle half of all values, with a bootstrap interval stratified over `samples`.

    A resample of n values varies by (n-1)/n of what fresh values would: each stratum's resampled values are drawn
    away from its mean by sqrt(n / (n-1)) to make up for it, without which three seeds a depth give intervals that are
    a fifth too narrow. No interval where a stratum has one value only.
    """
    pooled = np.concatenate(samples) if samples else np.empty(0)
    if len(pooled) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    center = float(stats.trim_mean(pooled, TRIMMED))
    if min(map(len, samples)) < 2:
        return Estimate(center, math.nan, math.nan, len(pooled))
    resamples = int(np.clip(DRAWS_AT_MOST // len(pooled), LEAST_RESAMPLES, RESAMPLES))
    generator = seeded(generator)
    drawn = np.concatenate([_resample(sample, resamples, generator) for sample in samples], axis=1)
    centers = stats.trim_mean(drawn, TRIMMED, axis=1)
    low, high = np.clip(np.quantile(centers, (1 - UPPER_QUANTILE, UPPER_QUANTILE)), 0.0, 1.0)
    return Estimate(center, float(low), float(high), len(pooled))


def _resample(sample: Array, resamples: int, generator: np.random.Generator) -> Array:
    """(resamples, n) draws with replacement, widened about the mean by sqrt(n / (n-1))."""
    n = len(sample)
    drawn = sample[generator.integers(n, size=(resamples, n))]
    widened: Array = sample.mean() + (drawn - sample.mean()) * math.sqrt(n / (n - 1))
    return widened
