"""Learning curves: losses and accuracies epoch by epoch. DataFrame in, DataFrame out; never Ray or torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.config import TrialConfig
from study.datasets.table import DATASETS

MEASURES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
TRIAL = ("trial_id", "cell", "phase", "recipe", "seed", "status")
DRAWN = ("dataset", "batch_size", "train_images")  # what decides how many steps an epoch has


def learning_curves(
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    axes: Sequence[str] = (),
    train_images: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Join epochs to their trials: one row an epoch, with TRIAL, the `axes` (compared names), step, all of `epochs`.

    Trials come in their order, epochs in theirs. `step` counts the gradient steps at the epoch's end. `train_images`
    says how many each data set trains on, where it is none of the table's; without it, all epochs of a trial are taken
    as equally long. A compared name that `epochs` has too (the rate of the epoch) is `<name>_compared`.
    """
    compared = [name for name in axes if name not in TRIAL]
    names = {name: f"{name}_compared" if name in epochs else name for name in compared}
    known = trials[list(TRIAL)].assign(**{names[name]: trials[name] for name in compared})
    known = known.assign(a_epoch=_steps_an_epoch(trials, train_images or {}), steps_completed=trials["steps_completed"])
    ran = epochs.assign(trial_id=epochs["trial_id"].astype(str)).sort_values("epoch", kind="stable")
    rows = known.merge(ran, on="trial_id")
    step = np.minimum(rows["epoch"] * rows["a_epoch"], rows["steps_completed"].astype(np.float64).fillna(np.inf))
    rows.insert(len(TRIAL) + len(compared), "step", step.round().astype("Int64"))
    return rows.drop(columns=["a_epoch", "steps_completed"])


def mean_curves(curves: pd.DataFrame, by: Sequence[str] = ("cell",)) -> pd.DataFrame:
    """Average MEASURES at each epoch over the trials that got there: the `by` names, epoch, step, MEASURES, seeds."""
    groups = curves.groupby([*by, "epoch"], dropna=False, observed=True)
    seeds = {"seeds": ("trial_id", "nunique")}
    return groups.agg(step=("step", "max"), **{name: (name, "mean") for name in MEASURES}, **seeds).reset_index()


def _steps_an_epoch(trials: pd.DataFrame, train_images: Mapping[str, int]) -> "pd.Series[float]":
    """Steps of a whole epoch of each trial; a last one that `steps` cuts short has fewer."""
    drawn = trials.reindex(columns=list(DRAWN))
    groups = drawn.groupby(list(DRAWN), dropna=False)
    exact = pd.Series(np.nan, index=trials.index)
    for (dataset, batch_size, images), rows in groups:
        exact.loc[rows.index] = _steps(dataset, batch_size, images, train_images)
    average = trials["steps_completed"].astype(np.float64) / trials["epochs_completed"].astype(np.float64)
    return exact.fillna(average)


def _steps(dataset: Any, batch_size: Any, images: Any, train_images: Mapping[str, int]) -> float:
    known = DATASETS.get(dataset)
    whole = train_images.get(dataset, 0 if known is None or known.is_streamed else known.train_images)
    told = None if pd.isna(images) else int(images)
    if not (whole or told):
        return np.nan
    return TrialConfig(batch_size=batch_size, train_images=told, epochs=1).steps_per_epoch(whole)
