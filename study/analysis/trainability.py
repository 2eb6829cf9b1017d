"""How deep each recipe trains: the depth at which training fails half of the time, and how the loss grows with depth.

DataFrame in, DataFrame out, confirmed rows only; never Ray or torch. Depth enters as log2(depth): a limit is a ratio,
so its interval is one too. The seeds of a cell share their tuned settings, hence all intervals are over seeds given
those settings, not over another search.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special, stats

from study.analysis.outcomes import FAILURES, seed_outcomes
from study.analysis.scores import UPPER_QUANTILE, confirmed_rows, groups_of, matches, seed_scores

Array = npt.NDArray[np.floating[Any]]

DEVIANCE = float(stats.chi2.ppf(0.95, 1))  # A limit is inside its 95 % interval while its deviance is below this.
LEVEL = 0.05 + 1e-9  # 1/20, the P value of three against three, is not lost to rounding
FARTHEST_OCTAVES = 12.0  # A limit farther than this from the depths (a factor of 4,096) is none, an end is open.
MIN_ERROR = 1e-4  # A perfect accuracy has no logarithm: it is taken as one error in 10,000.
BAND_DEPTHS = 60
FAILED = ("diverged", *FAILURES)


class Limit(NamedTuple):
    """A trainability limit in layers; low and high are NaN where the data set no end.

    method: `logistic` (maximum likelihood, profile interval); `bracket` (the depths separate the outcomes: it lies
    between low and high, and nothing says where); `between` (most seeds train at the depths from low to high, and fewer
    both below and above: of other depths nothing is claimed); `beyond` (every depth trains); `below` (none does);
    `flat` (depth is not seen to matter: the likelihood ratio test against one probability at all depths does not
    reject, or the limit would lie farther than FARTHEST_OCTAVES from the depths); `rising` (deeper nets train more
    often). The last five have no limit to speak of.
    """

    method: str
    limit: float
    low: float
    high: float


def trainability_limits(
    trials: pd.DataFrame, *, by: Sequence[str] = ("recipe",), metric: str = "val_accuracy"
) -> pd.DataFrame:
    """One row for each group: the `by` names, method, limit, low, high (see `Limit`), depths, seeds, trained, FAILED.

    A seed has trained when it did not diverge and covers half of the way from chance to 1 (`scores.TRAINED_SHARE`).
    FAILED counts the seeds of each failure that `analysis.outcomes` tells apart: a limit may be one of learning, or of
    batch normalisation's statistics.
    """
    axes = list(by)
    scores = _scores_by_depth(trials, axes, metric)
    failures = seed_outcomes(trials, [*axes, "depth"], metric)
    rows = []
    for names, group in groups_of(scores, axes):
        trained = group["trained"].to_numpy(dtype=bool)
        limit = trainability_limit(group["depth"].to_numpy(dtype=np.float64), trained)
        counts = {"depths": group["depth"].nunique(), "seeds": len(group), "trained": int(trained.sum())}
        failed = failures.loc[matches(failures, names), list(FAILED)].sum().astype(int).to_dict()
        rows.append(names | limit._asdict() | counts | failed)
    return pd.DataFrame(rows, columns=[*axes, *Limit._fields, "depths", "seeds", "trained", *FAILED])


def trainability_limit(depths: Array, trained: npt.NDArray[np.bool_]) -> Limit:
    """The depth d at which P(trained) = 1/2 under logit P = s (log2 d - log2 depth), s > 0.

    Args:
        depths: (n,) layers of each seed.
        trained: (n,) whether it trained.
    """
    if trained.all() or not trained.any():
        return _one_sided(depths, bool(trained.all()))
    window = _window(depths, trained)
    if window is not None:
        return window
    octaves = np.log2(depths)
    separated = octaves[trained].max() <= octaves[~trained].min()
    bracket = _bracket(octaves, trained) if separated else None
    if bracket is not None and not math.isnan(bracket.low + bracket.high):
        return bracket
    fit = _fit(octaves, trained)
    if fit.null_deviance < DEVIANCE:
        return _NO_LIMIT["flat"]
    return bracket or (_logistic(octaves, trained, fit) if fit.steepness > 0 else _NO_LIMIT["rising"])


_NO_LIMIT = {method: Limit(method, math.nan, math.nan, math.nan) for method in ("flat", "rising")}


def _one_sided(depths: Array, all_trained: bool) -> Limit:
    if all_trained:
        return Limit("beyond", math.nan, float(depths.max()), math.nan)
    return Limit("below", math.nan, math.nan, float(depths.min()))


def _window(depths: Array, trained: npt.NDArray[np.bool_]) -> Limit | None:
    """The depths from the shallowest to the deepest at which most seeds train, if fewer do on either side of them.

    Fewer by Fisher's exact test on both sides: 3 of 3 seeds between 0 of 3 and 0 of 3 are enough (P = .05). Of four
    depths with 3, 5, 10 seeds it is found in .01 of 1,000 simulations or less where depth does not matter or P(trains)
    falls, and in .24, .66, .97 where P is .2, .9, .9, .2.
    """
    shares = pd.Series(trained).groupby(depths).mean()
    most = shares.index[shares > 0.5]
    low, high = float(most.min()), float(most.max())
    inside = trained[(depths >= low) & (depths <= high)]
    sides = (trained[depths < low], trained[depths > high])
    tables = [[[one.sum(), (~one).sum()] for one in (inside, side)] for side in sides]
    if any(stats.fisher_exact(counts, alternative="greater").pvalue > LEVEL for counts in tables):
        return None
    return Limit("between", math.nan, low, high)


def _bracket(octaves: Array, trained: npt.NDArray[np.bool_]) -> Limit:
    """From the deepest depth at which every seed trains to the shallowest at which none does."""
    shares = pd.Series(trained).groupby(octaves).mean()
    sure, hopeless = shares.index[shares == 1.0], shares.index[shares == 0.0]
    low = 2.0 ** float(sure.max()) if len(sure) else math.nan
    high = 2.0 ** float(hopeless.min()) if len(hopeless) else math.nan
    return Limit("bracket", math.nan, low, high)


class _Fit(NamedTuple):
    """logit P(trained) = offset - steepness (octave - center) at its maximum likelihood, which is exp(-loss).

    null_deviance: twice what the log likelihood loses where P is the same at all depths.
    """

    center: float
    offset: float
    steepness: float
    loss: float
    null_deviance: float

    @property
    def middle(self) -> float:
        """The depth at which half of the seeds train."""
        return self.center + self.offset / self.steepness


def _fit(octaves: Array, trained: npt.NDArray[np.bool_]) -> _Fit:
    signs, center, share = np.where(trained, 1.0, -1.0), float(octaves.mean()), float(trained.mean())

    def loss(parameters: Array) -> float:  # -log likelihood
        return float(-special.log_expit(signs * (parameters[0] - parameters[1] * (octaves - center))).sum())

    best = optimize.minimize(loss, np.array([0.0, 1.0]), method="BFGS")
    offset, steepness = map(float, best.x)
    null = len(trained) * float(special.entr([share, 1.0 - share]).sum())
    return _Fit(center, offset, steepness, float(best.fun), 2.0 * (null - float(best.fun)))


def _logistic(octaves: Array, trained: npt.NDArray[np.bool_], fit: _Fit) -> Limit:
    signs = np.where(trained, 1.0, -1.0)

    def excess(octave: float) -> float:  # deviance of a limit at `octave`, less what the interval allows
        def at(slope: float) -> float:
            return float(-special.log_expit(signs * slope * (octave - octaves)).sum())

        profile = optimize.minimize_scalar(at, bounds=(0.0, 1e3), method="bounded").fun
        return float(2.0 * (profile - fit.loss) - DEVIANCE)

    if not octaves.min() - FARTHEST_OCTAVES < fit.middle < octaves.max() + FARTHEST_OCTAVES:
        return _NO_LIMIT["flat"]
    ends = [_crossing(excess, fit.middle, fit.middle + side * FARTHEST_OCTAVES) for side in (-1, 1)]
    return Limit("logistic", float(2.0**fit.middle), *(float(2.0**end) for end in ends))


def _crossing(function: Callable[[float], float], inside: float, outside: float) -> float:
    """Where a function that is negative at `inside` crosses 0 towards `outside`; NaN when it does not."""
    return float(optimize.brentq(function, inside, outside)) if function(outside) > 0 else math.nan


@dataclass(frozen=True)
class LossFit:
    """Least squares of y = log2(1 - accuracy) on one model of depth, over seeds.

    Attributes:
        aicc: Akaike's criterion with the small-sample term; equal data only.
        lack_of_fit: p value of the F test of the depth means against the model: small means that the line misses them
            by more than the seeds scatter. NaN where the model has a parameter for every depth.
    """

    model: str
    coefficients: Array
    covariance: Array
    degrees: int
    aicc: float
    lack_of_fit: float

    def band(self, depths: Array) -> tuple[Array, Array, Array]:
        """Error (1 - accuracy) at `depths`: the fit and its pointwise 95 % confidence band, each of depths' shape."""
        design = MODELS[self.model](depths)
        center = design @ self.coefficients
        half = stats.t.ppf(UPPER_QUANTILE, self.degrees) * np.sqrt(
            np.einsum("ij,jk,ik->i", design, self.covariance, design)
        )
        return 2.0**center, 2.0 ** (center - half), np.minimum(2.0 ** (center + half), 1.0)


def _design(*columns: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda depths: np.column_stack([np.ones(len(depths)), *(column(depths) for column in columns)])


MODELS: dict[str, Callable[[Array], Array]] = {
    "constant": _design(),
    "power": _design(np.log2),  # error = A depth^b
    "exponential": _design(lambda depths: depths),  # error = A 2^(b depth)
    "bend": _design(np.log2, lambda depths: np.log2(depths) ** 2),  # a power law whose exponent changes with depth
}


def fit_loss(depths: Array, accuracies: Array, model: str) -> LossFit | None:
    """Fit one of MODELS to (n,) depths and accuracies; None where there are too few depths or seeds for it."""
    design, y = MODELS[model](depths), np.log2(np.maximum(1.0 - accuracies, MIN_ERROR))
    n, k = design.shape
    if n < k + 3 or len(np.unique(depths)) <= k:  # AICc needs n > k + 2 (sigma counts); a depth must be left to judge
        return None
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    squares = float(((y - design @ coefficients) ** 2).sum())
    covariance = np.linalg.pinv(design.T @ design) * squares / (n - k)
    criterion = n * math.log(max(squares, np.finfo(float).tiny) / n) + 2 * (k + 1)
    criterion += 2 * (k + 1) * (k + 2) / (n - k - 2)
    return LossFit(model, coefficients, covariance, n - k, criterion, _lack_of_fit(depths, y, squares, k))


def _lack_of_fit(depths: Array, y: Array, squares: float, parameters: int) -> float:
    """P value of F = ((SSR - SSE) / (m - k)) / (SSE / (n - m)): m depths, SSE within depths, SSR of the model."""
    within = pd.Series(y).groupby(depths)
    pure = float((within.transform("mean") - y).pow(2).sum())
    m, n = within.ngroups, len(y)
    if m in (parameters, n) or pure == 0.0:
        return math.nan
    return float(stats.f.sf((squares - pure) / (m - parameters) / (pure / (n - m)), m - parameters, n - m))


def loss_fits(trials: pd.DataFrame, *, by: Sequence[str] = ("recipe",), metric: str = "val_accuracy") -> pd.DataFrame:
    """How the error 1 - accuracy grows with depth: one row for each group and model that its depths allow.

    Columns: the `by` names, model, chosen (the lowest AICc), weight (Akaike's), exponent (of `power`, else null) with
    exponent_low and exponent_high, lack_of_fit, depths, seeds. Groups of fewer than three depths leave no choice of a
    model and have no row.
    """
    axes = list(by)
    rows = []
    for names, group, fits in _fits(trials, axes, metric):
        weights = special.softmax([-fit.aicc / 2 for fit in fits])
        counts = {"depths": group["depth"].nunique(), "seeds": len(group)}
        for fit, weight in zip(fits, weights, strict=True):
            chosen = bool(weight == weights.max())
            shown = {"model": fit.model, "chosen": chosen, "weight": weight, "lack_of_fit": fit.lack_of_fit}
            rows.append(names | shown | _exponent(fit) | counts)
    columns = ["model", "chosen", "weight", "exponent", "exponent_low", "exponent_high", "lack_of_fit"]
    return pd.DataFrame(rows, columns=[*axes, *columns, "depths", "seeds"])


def loss_bands(trials: pd.DataFrame, *, by: Sequence[str] = ("recipe",), metric: str = "val_accuracy") -> pd.DataFrame:
    """The chosen fit of each group along depth, for drawing: the `by` names, model, depth, error, low, high."""
    axes = list(by)
    bands = []
    for names, group, fits in _fits(trials, axes, metric):
        best = min(fits, key=lambda fit: fit.aicc)
        depths = np.geomspace(group["depth"].min(), group["depth"].max(), BAND_DEPTHS)
        error, low, high = best.band(depths)
        columns = {"model": best.model, "depth": depths, "error": error, "low": low, "high": high}
        bands.append(pd.DataFrame(columns).assign(**names))
    columns_of_all = [*axes, "model", "depth", "error", "low", "high"]
    return pd.concat(bands, ignore_index=True)[columns_of_all] if bands else pd.DataFrame(columns=columns_of_all)


def _exponent(fit: LossFit) -> dict[str, float]:
    if fit.model != "power":
        return {}
    center = float(fit.coefficients[1])
    half = float(stats.t.ppf(UPPER_QUANTILE, fit.degrees) * math.sqrt(fit.covariance[1, 1]))
    return {"exponent": center, "exponent_low": center - half, "exponent_high": center + half}


def _fits(
    trials: pd.DataFrame, axes: list[str], metric: str
) -> list[tuple[dict[str, Any], pd.DataFrame, list[LossFit]]]:
    """Each group with the fits that it allows; groups that leave nothing to choose from are left out."""
    found = []
    for names, group in groups_of(_scores_by_depth(trials, axes, metric), axes):
        depths, scores = group["depth"].to_numpy(dtype=np.float64), group["score"].to_numpy()
        fits = [fit for model in MODELS if (fit := fit_loss(depths, scores, model)) is not None]
        if len(fits) > 1:
            found.append((names, group, fits))
    return found


def _scores_by_depth(trials: pd.DataFrame, axes: list[str], metric: str) -> pd.DataFrame:
    wanted = list(dict.fromkeys([*axes, "depth"]))
    return seed_scores(confirmed_rows(trials, metric, wanted), wanted)
