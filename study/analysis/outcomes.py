"""What became of each confirmed seed: did it learn, does it evaluate, does it generalise? Never Ray or torch.

Validation accuracy alone cannot tell these failures apart. A deep net may fit its training images and answer the same
validation images well while each batch is normalised by its own statistics, and still be at chance in evaluation,
because running averages over a few hundred steps, or over few values a channel, do not describe it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from study.analysis.scores import TRAINED_SHARE, confirmed_rows, way_from_chance

EVALUATION_MARGIN = 0.05  # of accuracy, that running statistics may cost; seeds scatter by 1 to 3 points on digits
GENERALIZATION_MARGIN = 0.10  # of accuracy, that new images may cost: nets that fit digits lose 2 to 5 points

MEANS = ("train_accuracy", "val_accuracy_batch_statistics", "val_accuracy")
FAILURES = {
    "not_learned": "does not learn",
    "not_evaluated": "learns but does not evaluate",
    "not_generalized": "learns but does not generalise",
}
"""Outcome to words. The first that holds counts; a diverged seed is none of them, nor one of a table without MEANS."""


def training_outcomes(
    trials: pd.DataFrame, *, by: Sequence[str] = ("depth", "recipe"), metric: str = "val_accuracy"
) -> pd.DataFrame:
    """One row for each confirmed cell: the `by` names, counts of its seeds, and the means that tell outcomes apart.

    Columns: seeds; diverged; not_learned, the seeds whose accuracy on the training images of the last
    epoch, in training mode, covers less than TRAINED_SHARE of the way from chance to 1; not_evaluated, those that
    learned, and whose validation accuracy is more than EVALUATION_MARGIN higher by batch than by evaluation
    statistics; not_generalized, the rest that lose more than GENERALIZATION_MARGIN from training to validation images,
    both by batch statistics; and the means of MEANS over the seeds that did not diverge, null where older tables lack
    them.
    """
    axes = list(by) or ["cell"]
    rows = seed_outcomes(trials, axes, metric)
    cells = rows.groupby(axes, dropna=False, observed=True)
    counts = {name: (name, "sum") for name in ("diverged", *FAILURES)}
    return cells.agg(seeds=("seed", "size"), **counts, **{name: (name, "mean") for name in MEANS}).reset_index()


def seed_outcomes(trials: pd.DataFrame, axes: Sequence[str], metric: str = "val_accuracy") -> pd.DataFrame:
    """`confirmed_rows`, with MEANS and a true or false column for each of FAILURES."""
    known = trials.reindex(columns=list(dict.fromkeys([*trials.columns, *MEANS])))
    rows = confirmed_rows(known, metric, axes, MEANS)
    train, batch, running = (rows[name].astype(np.float64).mask(rows["diverged"]) for name in MEANS)
    unlearned = way_from_chance(train, rows["chance"]) < TRAINED_SHARE
    unevaluated = ~unlearned & (batch - running > EVALUATION_MARGIN)
    ungeneralized = ~unlearned & ~unevaluated & (train - batch > GENERALIZATION_MARGIN)
    found = dict(zip(FAILURES, (unlearned, unevaluated, ungeneralized), strict=True))
    return rows.assign(**dict(zip(MEANS, (train, batch, running), strict=True)), **found)
