"""How errors and filters fare from layer to layer: profiles of error norms, singular values, modulation, defects.

DataFrame in, DataFrame out; never Ray or torch. Norms are averaged on the log scale (geometric means), because they
span tens of decades; a norm of 0 or one that is not finite has no logarithm and is left out.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

LAYER_COLUMNS = (
    "epoch",
    "layer",
    "error_norm",
    "modulation_factor",
    "gram_defect",
    "singular_value_min",
    "singular_value_max",
    "singular_value_mean",
    "mean_cosine",
)
MEANS = LAYER_COLUMNS[4:]


def layer_profiles(layers: pd.DataFrame, trials: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """Mean over the trials of each group, by epoch and layer.

    Columns: the `by` names, epoch, layer; log10_error_ratio, log10 of the error's magnitude over that of the same
    trial's topmost layer (0 there; its slope is how fast the error grows on its way down); log10_factor, of
    modulation_factor; gram_defect, singular_value_min, _max and _mean and mean_cosine, plain means, where the
    table has them; trials.

    Args:
        layers: rows of `layers` with trial_id and LAYER_COLUMNS (of which mean_cosine may lack).
        trials: the trials to take, with trial_id and the `by` names.
        by: column names of `trials`.
    """
    axes = list(by)
    rows = layers.reset_index(drop=True)
    rows = rows.assign(log10_error=_log10(rows["error_norm"]), log10_factor=_log10(rows["modulation_factor"]))
    rows = rows.assign(log10_error_ratio=rows["log10_error"] - _top(rows))
    rows = _with_groups(rows, trials, axes)
    keys = [*axes, "epoch", "layer"]
    means = ["log10_error_ratio", "log10_factor", *(name for name in MEANS if name in rows)]
    finite = rows[means].where(np.isfinite(rows[means].astype(np.float64)))
    groups = rows[keys].join(finite).groupby(keys, dropna=False, observed=True)
    return groups[means].mean().assign(trials=groups.size()).reset_index()


def _log10(values: "pd.Series[float]") -> "pd.Series[float]":
    numbers = values.astype(np.float64)
    usable = np.isfinite(numbers) & (numbers > 0)
    return pd.Series(np.log10(numbers.where(usable)), index=values.index)


def _top(rows: pd.DataFrame) -> "pd.Series[float]":
    """log10 of the error at the topmost layer that has one, of the same trial and epoch."""
    known = rows[rows["log10_error"].notna()].sort_values("layer")
    top = known.groupby(["trial_id", "epoch"], observed=True)["log10_error"].last().rename("top")
    return rows[["trial_id", "epoch"]].join(top, on=["trial_id", "epoch"])["top"]


def _with_groups(rows: pd.DataFrame, trials: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """The `axes` of each row's trial beside it; rows of other trials are dropped."""
    groups = trials[["trial_id", *axes]].drop_duplicates("trial_id").set_index("trial_id")
    known = rows[rows["trial_id"].isin(groups.index)]
    places = groups.index.get_indexer(pd.Index(known["trial_id"].astype(object)))
    return known.assign(**{name: groups[name].to_numpy()[places] for name in axes})


def last_epoch(profiles: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """The rows of each group's last recorded epoch."""
    if profiles.empty:
        return profiles
    return profiles[profiles["epoch"] == profiles.groupby(list(by), dropna=False)["epoch"].transform("max")]


def growth_per_layer(profiles: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """How much the error grows from one layer to the one below, on average: 10^-slope of log10 ratio against layer.

    Columns: the `by` names, epoch, growth (1: an isometry; the product over the net is growth^layers), layers,
    gram_defect (mean over layers), singular_value_min and _max (extremes over layers).
    """
    axes = [*by, "epoch"]
    rows = []
    for names, group in profiles.groupby(axes, dropna=False):
        known = group[group["log10_error_ratio"].notna()]
        slope = np.polyfit(known["layer"], known["log10_error_ratio"], 1)[0] if len(known) > 1 else np.nan
        ends = {
            "gram_defect": group["gram_defect"].mean(),
            "singular_value_min": group["singular_value_min"].min(),
            "singular_value_max": group["singular_value_max"].max(),
        }
        rows.append(dict(zip(axes, names, strict=True)) | {"growth": 10**-slope, "layers": len(group)} | ends)
    names_of_all = [*axes, "growth", "layers", "gram_defect", "singular_value_min", "singular_value_max"]
    return pd.DataFrame(rows, columns=names_of_all)
