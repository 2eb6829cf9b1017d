"""How many seeds train, and how well those do: two statements, where one mean hides a failure. Never Ray or torch.

An interval of a mean cannot see failures that did not happen. Of seeds that diverge with probability .02, .1, .2 and
otherwise have .96 +- .01, Student's 95 % interval of the mean, divergence as chance, covers the truth in .64, .27, .49
of 20,000 simulations at n = 3, and in .26, .41, .67 at n = 5. The interval of the share that trains covers in .99 or
more, and that of the mean among trained seeds in .95.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

from study.analysis.scores import UPPER_QUANTILE, Estimate

SHARES = ("trained", "trained_low", "trained_high", "trained_mean", "trained_mean_low", "trained_mean_high")


@cache
def trained_share(trained: int, seeds: int) -> Estimate:
    """The share of seeds that train and its exact 95 % interval (Clopper and Pearson 1934)."""
    ends = stats.binomtest(trained, seeds).proportion_ci(0.95, method="exact")
    return Estimate(trained / seeds, float(ends.low), float(ends.high), seeds)


def trained_shares(scores: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """One row for each group of `scores.seed_scores`, indexed by `axes`, with the columns SHARES.

    trained counts seeds that trained (`study.analysis.scores`); trained_low and trained_high are the exact interval of
    their share among all; trained_mean is the mean score of those seeds, conditional on having trained, with Student's
    interval, clipped to [0, 1].
    """
    kept = scores.assign(score=scores["score"].where(scores["trained"].astype(bool)))
    groups = kept.groupby(list(axes), dropna=False, observed=True)["score"]
    trained, mean = groups.count(), groups.mean()
    half_width = stats.t.ppf(UPPER_QUANTILE, trained - 1) * groups.std() / np.sqrt(trained)
    shares = [trained_share(*counts) for counts in zip(trained, groups.size(), strict=True)]
    ends = ([share.low for share in shares], [share.high for share in shares])
    means = (mean, (mean - half_width).clip(lower=0.0), (mean + half_width).clip(upper=1.0))
    return pd.DataFrame(dict(zip(SHARES, (trained, *ends, *means), strict=True)), index=trained.index)
