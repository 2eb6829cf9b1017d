"""Confirmed rows of a `trials` table as scores by cell and seed; the interval of a mean. Never Ray or torch.

A score is an accuracy. A seed that diverged scores chance, 1 / num_classes, and stays: rankings, pairs and frontiers
count it so. One that failed or ran out of memory says nothing of the method, and counts nowhere. A seed has *trained*
when it did not diverge and its accuracy covers `TRAINED_SHARE` of the way from chance to 1.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from study.analysis.mixing import SETTINGS, refuse_mixed
from study.config import CONFIRM

FAULTS = ("failed", "out_of_memory")  # of the environment, not of the method
KNOWN_POINT = ":search:0"  # How the trial_id of a cell's first search trial ends: the recipe's own point.
STATUSES = ("ok", "pruned", "diverged", *FAULTS)


class Metric(NamedTuple):
    """What is known of an accuracy. Only accuracies have a chance level.

    Attributes:
        baseline: key of the same split's accuracy in a baseline.
        images: name of the number of the split's images in `study.datasets.table.Dataset`.
    """

    words: str
    baseline: str
    images: str


METRICS = {
    "val_accuracy": Metric("validation accuracy", "validation_accuracy", "validation_images"),
    "best_val_accuracy": Metric("best validation accuracy", "validation_accuracy", "validation_images"),
    "test_accuracy": Metric("test accuracy", "test_accuracy", "test_images"),
}

# What a reader wants to know of a cell beside its score: all of its rows share it.
CONTEXT = ("architecture", "activation_slope", "norm_bias_init", "learning_rate", "chance")

UPPER_QUANTILE = 0.975
NORMAL_QUANTILE = float(stats.norm.ppf(UPPER_QUANTILE))
BOOTSTRAP_FROM = 10  # Below ten seeds a resample repeats too few values to show the tails.
VERDICT_FROM = 5  # Fewer pairs than this make no verdict in words: one odd seed would decide it.
RESAMPLES = 5_000  # The Monte Carlo error of an interval's end is then about 1 % of its width.
BOOTSTRAP_SEED = 20170726  # Any fixed number will do: the same table must give the same interval.

# A seed that covers less of the way from chance to 1 is at chance. For ten classes this is an accuracy of 0.145: 2.5
# standard deviations of a guesser on 270 images, and above what a constant answer gets on uneven classes.
CHANCE_SHARE = 0.05
TRAINED_SHARE = 0.5  # One that covers this much has trained, and did not merely begin to: 0.55 for ten classes.


class Estimate(NamedTuple):
    """A mean over `n` values and its 95 % interval; NaN where n is too small to give one."""

    mean: float
    low: float
    high: float
    n: int


def seeded(generator: np.random.Generator | None) -> np.random.Generator:
    """The given generator, or one from the fixed seed."""
    return np.random.default_rng(BOOTSTRAP_SEED) if generator is None else generator


def mean_interval(values: npt.ArrayLike, generator: np.random.Generator | None = None) -> Estimate:
    """Mean of `values` (n,) and its 95 % interval.

    n < 10: Student's (`student_interval`). From 10 up: the percentile bootstrap of the mean with both tails set to
    Phi(-sqrt(n / (n-1)) * t(0.975, n-1)), without which it is too narrow at small n (Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", the expanded percentile interval).

    It cannot see failures that did not happen: see `study.analysis.shares`.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n < BOOTSTRAP_FROM:
        return student_interval(sample)
    tail = float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf(UPPER_QUANTILE, n - 1)))
    draws = seeded(generator).integers(n, size=(RESAMPLES, n))
    low, high = np.quantile(sample[draws].mean(axis=1), (tail, 1 - tail))
    return Estimate(float(sample.mean()), float(low), float(high), n)


def student_interval(values: npt.ArrayLike, upper: float = UPPER_QUANTILE) -> Estimate:
    """Mean of `values` (n,) +- t(upper, n-1) * s / sqrt(n); no interval for n < 2."""
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n < 2:
        return Estimate(float(sample[0]) if n else math.nan, math.nan, math.nan, n)
    mean, half_width = float(sample.mean()), float(stats.t.ppf(upper, n - 1) * sample.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half_width, mean + half_width, n)


def bootstrap_t_interval(values: npt.ArrayLike, generator: np.random.Generator | None = None) -> Estimate:
    """Mean of `values` (n,) and its 95 % bootstrap-t interval, mean - q * s / sqrt(n) for q = q(0.975) and q(0.025).

    q are quantiles of (mean* - mean) sqrt(n) / s* over the resamples that have a spread (Efron and Tibshirani 1993,
    section 12.5). n < 3: none, for there is a single such resample.

    Its coverage in 1,500 simulations at n = 3, 5, 8, 20: .82, .96, .95, .95 of normal values, .80, .94, .95, .95 of
    skewed ones (gamma 2), .79, .95, .94, .92 of heavy tails (t3). The percentile interval covers .76, .85, .88, .93 of
    normal values, for it never leaves the sample's range, and BCa .74, .85, .89, .93: hence this one. Its price is
    width: at n = 5, in the median, a third more than Student's, and more where values repeat.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    mean = float(sample.mean()) if n else math.nan
    if n < 3:
        return Estimate(mean, math.nan, math.nan, n)
    error = float(sample.std(ddof=1)) / math.sqrt(n)
    drawn = sample[seeded(generator).integers(n, size=(RESAMPLES, n))]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(n)
    spread = errors > np.finfo(float).eps
    if not spread.any():  # every value is the same
        return Estimate(mean, mean, mean, n)
    ratios = (drawn.mean(axis=1)[spread] - mean) / errors[spread]
    below, above = np.quantile(ratios, (1 - UPPER_QUANTILE, UPPER_QUANTILE))
    return Estimate(mean, mean - float(above) * error, mean - float(below) * error, n)


def mean_difference(
    a: "pd.Series[float]", b: "pd.Series[float]", generator: np.random.Generator | None = None
) -> Estimate:
    """`mean_interval` of a - b over equal index values (each once a side), clipped to [-1, 1]."""
    mean, low, high, n = mean_interval((a - b).dropna().to_numpy(), generator)
    low, high = np.clip((low, high), -1.0, 1.0)
    return Estimate(mean, float(low), float(high), n)


def select(trials: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A copy of the named columns, with lists in them as text so that they can be compared.

    Raises:
        ValueError: a column is missing; an empty table may lack any.
    """
    columns = list(dict.fromkeys(columns))
    if trials.empty:
        return trials.reindex(columns=columns)
    missing = [name for name in columns if name not in trials.columns]
    if missing:
        raise ValueError(f"no column {', '.join(missing)} in this table; it has {', '.join(map(str, trials.columns))}")
    return trials[columns].apply(_lists_as_text)


def _lists_as_text(column: "pd.Series[Any]") -> "pd.Series[Any]":
    if column.dtype != object:
        return column
    return column.map(
        lambda value: str(np.asarray(value).tolist()) if isinstance(value, list | tuple | np.ndarray) else value
    )


def comparable(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A compared column whose values can be grouped and sorted: numbers as they are, else all text and null `none`."""
    if pd.api.types.is_numeric_dtype(column) and column.notna().all():
        return column
    return column.map(lambda value: "none" if pd.isna(value) else _text(value))


def _text(value: Any) -> str:
    """A number in the digits that tell it from others, whole floats like integers; text as it is."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def confirmed_rows(trials: pd.DataFrame, metric: str, axes: Sequence[str], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Confirmed rows: the named columns, seed, score, diverged, at_chance, trained, CONTEXT and SETTINGS.

    Left out are rows of FAULTS, pruned ones, which have no final accuracy, and finished ones that lack the metric.

    Raises:
        ValueError: the metric is no accuracy, a column is missing, the chance level of a row is unknown, or rows with
            equal `axes` are of several settings (`refuse_mixed`).
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r}: must be one of {', '.join(METRICS)}")
    trials = trials.reindex(columns=list(dict.fromkeys([*trials.columns, "norm_bias_init"])))  # older runs lack it
    known = [name for name in SETTINGS if name in trials.columns]
    rows = scored(trials, [*axes, *columns, "seed", "phase", *CONTEXT[:-1], *known], metric)
    rows = rows[(rows["phase"] == CONFIRM) & rows["status"].isin(["ok", "diverged"])]
    refuse_mixed(rows, axes)
    if rows["chance"].isna().any():
        raise ValueError("num_classes is null in every row of a confirmed data set: its chance level is unknown")
    outcomes = {
        "diverged": rows["status"] == "diverged",
        "at_chance": at_chance(rows["score"], rows["chance"]),
        "trained": way_from_chance(rows["score"], rows["chance"]) >= TRAINED_SHARE,
    }
    return rows.assign(**outcomes)[rows["score"].notna()]


def scored(trials: pd.DataFrame, columns: Sequence[str], metric: str = "val_accuracy") -> pd.DataFrame:
    """The named columns, status, metric, chance (1 / num_classes) and score: the metric, or chance if it diverged.

    A row that ended in another way has no score. One that did not finish may not know its num_classes, but the others
    on its data set do.
    """
    rows = select(trials, [*columns, "status", "dataset", "num_classes", metric])
    classes = rows["num_classes"].astype(np.float64)
    chance = 1.0 / classes.fillna(classes.groupby(rows["dataset"]).transform("max"))
    finished = rows[metric].astype(np.float64).where(rows["status"] == "ok")
    return rows.assign(chance=chance, score=finished.mask(rows["status"] == "diverged", chance))


def at_chance(score: "pd.Series[float]", chance: "pd.Series[float]") -> "pd.Series[bool]":
    """Tell which scores cover less than `CHANCE_SHARE` of the way from chance to 1; a null one does not."""
    return way_from_chance(score, chance) <= CHANCE_SHARE


def way_from_chance(score: "pd.Series[float]", chance: "pd.Series[float]") -> "pd.Series[float]":
    """How much of the way from chance (0) to 1 a score covers."""
    return (score - chance) / (1.0 - chance)


def seed_scores(rows: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """`confirmed_rows`, one row a cell and seed: mean score; did any repeat diverge, all stay at chance, all train."""
    seeds = rows.groupby(list(dict.fromkeys([*axes, "seed"])), dropna=False, observed=True)
    outcomes = {"diverged": ("diverged", "max"), "at_chance": ("at_chance", "min"), "trained": ("trained", "min")}
    return seeds.agg(score=("score", "mean"), **outcomes).reset_index()


def groups_of(scores: pd.DataFrame, axes: Sequence[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """(values of the `axes` by name, rows) of each group that has rows; without axes all rows are one group."""
    if not axes:
        return [({}, scores)] if len(scores) else []
    groups = scores.groupby(list(axes), dropna=False, observed=True)
    return [(dict(zip(axes, values, strict=True)), group) for values, group in groups]


def matches(rows: pd.DataFrame, chosen: Mapping[str, Any]) -> "pd.Series[bool]":
    """Tell which rows have every chosen value; null matches null."""
    hits = pd.Series(True, index=rows.index)
    for name, value in chosen.items():
        hits &= rows[name].isna() if pd.isna(value) else rows[name] == value
    return hits


def cell_name(cell: "pd.Series[Any]", axes: Sequence[str]) -> str:
    """A cell in words, such as `depth=110 isometric`: name=value for each axis, a recipe by its name alone."""
    return " ".join(_value(cell[name]) if name == "recipe" else f"{name}={_value(cell[name])}" for name in axes)


def _value(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
