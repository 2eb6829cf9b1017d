"""PED-ANOVA: how much of what decides about the best tenth of all trials each field explains by itself.

Watanabe, Bansal and Hutter 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces".
The ratios are those of Optuna's evaluator, which spends 30 ms a table on making trials of its rows: too long for a null
of hundreds of tables. Arrays in, arrays out.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.floating[Any]]
Counts = npt.NDArray[np.intp]

BEST_SHARE = 0.1
GRID = 50  # places along a continuous field
MIN_BANDWIDTH = 0.5 / 1.64  # 90 % of a kernel then lies in its place of the grid


def best_tenth_effects(points: Array, choices: Sequence[int], scores: Array) -> Array:
    """Share of the variance of `is among the best tenth` that each field explains alone: (d,).

    With g the share of trials in the best tenth, g p(x | best) / p(x) of those at x are: its variance over all trials
    is g^2 times the Pearson divergence of the two densities, and g (1 - g) is that of the whole.

    Args:
        points: (n, d) trials, in [0, 1] along every field.
        choices: how many values each field has, at (k + 0.5) / choices; 0: it is continuous.
        scores: (n,) accuracies, not all equal; ties with the last of the best tenth belong to it.
    """
    place = math.ceil(BEST_SHARE * len(scores))
    best = scores >= np.partition(scores, -place)[-place]
    share = best.mean()
    found = [_divergence(column, size, best) for column, size in zip(points.T, choices, strict=True)]
    effects: Array = np.array(found) * share / (1 - share)
    return effects


def _divergence(column: Array, choices: int, best: npt.NDArray[np.bool_]) -> float:
    density = _of_choices if choices else _of_numbers
    places = column * choices if choices else np.ceil(column * (GRID - 1) - 0.5)
    indices = np.clip(places.astype(np.intp), 0, (choices or GRID) - 1)
    top, every = (density(np.bincount(chosen, minlength=choices or GRID)) for chosen in (indices[best], indices))
    return float(every @ (top / every - 1) ** 2)


def _of_choices(counts: Counts) -> Array:
    """Shares, drawn towards equal ones by a prior of one trial."""
    kernels = np.count_nonzero(counts) + 1
    smoothed = (counts + counts.sum() / kernels) / (1 + len(counts) / kernels)
    shares: Array = (smoothed + 1 / len(counts)) / (counts.sum() + 1)
    return shares


def _of_numbers(counts: Counts) -> Array:
    """A kernel density on the grid, bandwidth by Scott's rule, with a wide prior that weighs as one trial."""
    places, n = np.arange(len(counts)), counts.sum()
    mean = counts @ places / n
    spread = math.sqrt(counts @ (places - mean) ** 2 / max(1, n - 1))
    met, below = np.flatnonzero(counts), np.cumsum(counts[counts > 0])
    quarters = np.searchsorted(below, n // 4), min(np.searchsorted(below, n * 3 // 4, side="right"), len(met) - 1)
    middle_half = met[quarters[1]] - met[quarters[0]]
    bandwidth = max(1.059 * min(middle_half / 1.34, spread) * n**-0.2, MIN_BANDWIDTH)
    prior = _kernels(np.array([(len(counts) - 1) / 2]), float(len(counts)), len(counts))[0]
    density: Array = (counts[met] @ _kernels(met, bandwidth, len(counts)) + prior) / (n + 1)
    return density


def _kernels(centers: npt.NDArray[Any], width: float, size: int) -> Array:
    """Normal densities cut to the grid, summed over each place: (centers, size)."""
    below = special.ndtr((np.arange(size + 1) - 0.5 - centers[:, None]) / width)
    mass: Array = np.diff(below) / (below[:, -1:] - below[:, :1])
    return mass
