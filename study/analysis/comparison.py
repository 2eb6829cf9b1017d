"""Recipes against each other on equal seeds, and interquartile means. DataFrame in, DataFrame out; never Ray or torch.

That one side is better needs three things: five pairs or more, two intervals (Student's or the percentile bootstrap,
and bootstrap-t) that both leave out 0, and a P value below 0.05 after Holm's correction over the whole table. That both
are level needs five pairs, enough images to tell, and the two one-sided tests of Schuirmann (1987): the 90 % interval
of the difference lies within a margin. Everything else is "not told apart", however large or small it looks.

A pair whose true difference is the margin of 0.01 is called level in at most .05 of 40,000 simulations of normal values
at n = 5, at any spread from .002 to .02, in .04 for heavy tails (t3) and in .12 for values with a long tail upwards
(gamma 2); one without a difference in .95 at a spread of .005, and in .29 at .01. A failure that happened in no seed is
not seen: where one side diverges with probability .1, 5 of 5 seeds train in .59 (see `study.analysis.shares`).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from study.analysis.images import ENOUGH_IMAGES, image_error, images_behind
from study.analysis.mixing import DATA_SET, refuse_mixed
from study.analysis.scores import (
    NORMAL_QUANTILE,
    RESAMPLES,
    UPPER_QUANTILE,
    VERDICT_FROM,
    Estimate,
    bootstrap_t_interval,
    comparable,
    confirmed_rows,
    groups_of,
    mean_interval,
    seed_scores,
    seeded,
    student_interval,
)
from study.analysis.words import EQUAL, IS_BETTER, LEVEL_WITHIN, NO_SEEDS, NOT_TOLD_APART, SAME_DIFFERENCE

ENDS = ("low", "high", "bootstrap_low", "bootstrap_high", "level_low", "level_high")
COMPARED = (
    *("a", "b", "difference", *ENDS),
    *("images", "image_error", "beats", "beats_low", "beats_high", "p_value", "pairs"),
)
Array = npt.NDArray[np.floating[Any]]

LEVEL = 0.05
MARGIN = 0.01  # of accuracy: two sides closer than this are level, as far as anybody would care
TRIMMED = 0.25  # The interquartile mean leaves out a quarter at each end.
MIN_RESAMPLES = 400
MAX_DRAWS = 4_000_000  # Of all resamples together: a table of 10,000 seeds still takes under a second.


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
    margin: float = MARGIN,
    generator: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Every two values of `between`, at equal `within` and seed; one row a pair of values and point of `within`.

    Columns: the `within` names; a, b (a has the higher mean); difference, low, high of a - b (Student's t below ten
    pairs, bootstrap from there: `mean_interval`); bootstrap_low, bootstrap_high (`bootstrap_t_interval`); level_low,
    level_high, Student's 90 % interval, which says whether the sides are level within `margin`; images, on which the
    metric is measured, and the image_error that they leave to the difference (`analysis.images`), null where unknown;
    beats, beats_low, beats_high (`win_probability`); p_value, that of the paired t test; holm, the same corrected over
    all rows; pairs; verdict. A diverged seed counts as chance. A null of `between` is the value `none` (`comparable`).

    Raises:
        ValueError: sides of one point are of several settings, or of several data sets.
    """
    axes = [*within, between]
    confirmed = confirmed_rows(trials, metric, axes)
    if between != DATA_SET:
        refuse_mixed(confirmed, within, [DATA_SET])
    scores = seed_scores(confirmed, [*axes, DATA_SET])
    scores = scores.assign(**{between: comparable(scores[between])})
    generator = seeded(generator)
    rows = []
    for place, group in groups_of(scores, within):
        images = images_behind(group[DATA_SET].unique(), metric)
        sides = {name: side.set_index("seed")["score"] for name, side in group.groupby(between, sort=True)}
        for a, b in combinations(sides, 2):
            rows.append(place | _compare(a, b, sides, images, generator))
    table = pd.DataFrame(rows, columns=[*within, *COMPARED])
    corrected = holm(table["p_value"].to_numpy(dtype=np.float64))
    table.insert(list(table.columns).index("pairs"), "holm", corrected)
    return table.assign(verdict=[verdict_on(row, margin) for row in table.to_dict("records")])


def _compare(
    a: Any, b: Any, sides: dict[Any, "pd.Series[float]"], images: float, generator: np.random.Generator
) -> dict[str, Any]:
    differences = (sides[a] - sides[b]).dropna().to_numpy()
    if len(differences) and differences.mean() < 0:
        a, b, differences = b, a, -differences
    sampling = image_error([float(sides[side].mean()) for side in (a, b)], images)
    wins = dict(zip(("beats", "beats_low", "beats_high"), win_probability(differences), strict=False))
    return {"a": a, "b": b, **measured(differences, generator), "images": images, "image_error": sampling, **wins}


def measured(differences: Array, generator: np.random.Generator) -> dict[str, float]:
    """What a verdict on (n,) differences rests on: difference, intervals, P value and pairs, as in the table."""
    mean, low, high, pairs = mean_interval(differences, generator)
    bootstrap = bootstrap_t_interval(differences, generator)[1:3]
    ends = np.clip((low, high, *bootstrap, *student_interval(differences, 1.0 - LEVEL)[1:3]), -1.0, 1.0)
    intervals = dict(zip(ENDS, ends.tolist(), strict=True))
    return {"difference": mean, **intervals, "p_value": paired_p_value(differences), "pairs": pairs}


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
    z = NORMAL_QUANTILE
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


def verdict_on(row: Mapping[Any, Any], margin: float = MARGIN) -> str:
    """The verdict on a row with what is `measured` of a less b, a difference of 0 or more, its images and `holm`."""
    if row["pairs"] == 0:
        return NO_SEEDS
    if row["pairs"] < VERDICT_FROM:
        return f"none: under {VERDICT_FROM} pairs"
    if math.isnan(row["p_value"]):
        return EQUAL if row["difference"] == 0 else SAME_DIFFERENCE
    if row["low"] > 0 and row["bootstrap_low"] > 0 and row["holm"] < LEVEL:
        return f"{row['a']} {IS_BETTER}"
    level = row["images"] >= ENOUGH_IMAGES and max(-row["level_low"], row["level_high"]) < margin
    return f"{LEVEL_WITHIN} {margin:g}" if level else NOT_TOLD_APART


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
    away from its mean by sqrt(n / (n-1)) to make up for it. No interval where a stratum has fewer than VERDICT_FROM
    values: of one normal stratum it covers .61, .81, .91, .95, .94 at n = 2, 3, 4, 5, 8, of four .82, .91, .92, .92
    and .94 (600 simulations each).
    """
    pooled = np.concatenate(samples) if samples else np.empty(0)
    if len(pooled) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    center = float(stats.trim_mean(pooled, TRIMMED))
    if min(map(len, samples)) < VERDICT_FROM:
        return Estimate(center, math.nan, math.nan, len(pooled))
    resamples = int(np.clip(MAX_DRAWS // len(pooled), MIN_RESAMPLES, RESAMPLES))
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
