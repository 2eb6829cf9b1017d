"""The page's section on isometry, and the layer heat maps of single trials in few bytes."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from study.analysis.propagation import LAYER_COLUMNS, growth_per_layer, last_epoch, layer_profiles
from study.config import CONFIRM
from study.report.axes import log_axis, titled
from study.report.blocks import Block, Section, table
from study.report.layer_charts import epoch_chart, heat_maps, profile_chart, singular_value_chart, thinned
from study.report.lines import LineStyles, line_names
from study.report.opened_run import OpenedRun, most_wanted
from study.report.part import Part

MAP_BYTES = 800_000  # All heat maps of the page together: with plotly's 5 MB and the trials it stays under 8 MB.
MAPPED = {
    "error_ratio": "error over that of the top layer (log10)",
    "factor": "modulation factor (log10)",
    "singular_value_max": "greatest singular value (log10)",
}
MIN_MAP_BYTES = 1_000  # No trial's maps take less: more trials than MAP_BYTES allows need not be read.
MAP_COLUMNS = ("error_norm", "modulation_factor", "singular_value_max")
NO_VALUE = 255  # The byte of a cell that has none; values take 0 to 254.

INTRO = (
    "Means over the confirmed seeds of each cell. The error is the gradient of the loss at a convolution's output, "
    "before modulation; an isometry keeps its magnitude from layer to layer. Magnitudes are geometric means, relative "
    "to the topmost layer."
)
ERROR_NOTE = (
    "How far the error has grown (above 0) or faded (below) on its way down from the loss, in powers of ten, at the "
    "last recorded epoch: what Figure 3 of Xie et al. 2017 plots. A straight level line is an isometry."
)
SINGULAR_NOTE = (
    "From the least to the greatest singular value of each filter bank, and their mean, at the last recorded epoch. "
    "Orthonormal filters have all of them at 1."
)
COSINE_NOTE = "Mean modulus of the cosine between two filters of a bank: what Figure 2 of Xie et al. 2017 plots."


def layer_section(run: OpenedRun, part: Part, anchor: str) -> Section:
    """Error norms, singular values, modulation factors and Gram defects, deepest nets first."""
    confirmed = part.trials[(part.trials["phase"] == CONFIRM)]
    layers = run.layers(confirmed["trial_id"].tolist(), LAYER_COLUMNS)
    axes = list(dict.fromkeys([*part.axes, "depth"]))
    profiles = layer_profiles(layers, confirmed, by=axes)
    blocks = _blocks(profiles, part.styles) if len(profiles) else []
    return Section(anchor, "Isometry", INTRO if blocks else "No layer was recorded for a confirmed trial yet.", blocks)


def _blocks(profiles: pd.DataFrame, styles: LineStyles) -> list[Block]:
    depths = sorted(profiles["depth"].unique(), reverse=True)
    blocks = [_growth_block(profiles, styles.names)]
    for position, depth in enumerate(depths):
        blocks += _blocks_of_depth(profiles[profiles["depth"] == depth], styles, int(depth), folded=position > 0)
    return blocks


def _growth_block(profiles: pd.DataFrame, lines: Sequence[str]) -> Block:
    by = ["depth", *lines]
    growth = last_epoch(growth_per_layer(profiles, by=by), by=by)
    growth = growth.assign(line=line_names(growth, lines), whole=np.log10(growth["growth"]) * growth["layers"])
    columns = {
        **{"depth": "depth", "line": "recipe" if list(lines) == ["recipe"] else "cell", "growth": "growth a layer"},
        **{"whole": "over the net, log10", "gram_defect": "Gram defect, mean over layers"},
        **{"singular_value_min": "least singular value", "singular_value_max": "greatest singular value"},
    }
    note = "Growth: the factor by which the error's magnitude grows from one layer to the one below, at the last epoch."
    return table("Growth of the error", growth.sort_values(by, ascending=False), columns, note=note)


def _blocks_of_depth(profiles: pd.DataFrame, styles: LineStyles, depth: int, *, folded: bool) -> list[Block]:
    last = last_epoch(profiles, by=["depth", *styles.names])
    growth = growth_per_layer(profiles, by=styles.names or ["depth"])
    charts = {
        "error by layer": (
            profile_chart(last, styles, "log10_error_ratio", titled("log10 of error / error at the top")),
            ERROR_NOTE,
        ),
        "singular values": (singular_value_chart(last, styles), SINGULAR_NOTE),
        "modulation factors": (
            profile_chart(last, styles, "log10_factor", titled("log10 of the factor")),
            "What modulation multiplied each layer's error by, all in all; 0 is untouched.",
        ),
        "Gram defect": (
            epoch_chart(growth, styles, "gram_defect", log_axis("distance from orthonormality", growth["gram_defect"])),
            "Mean over layers, by epoch (log scale).",
        ),
        "error by layer and epoch": (
            heat_maps(profiles, styles, "log10_error_ratio", "log10"),
            "log10 of the error over that of the top layer.",
        ),
    }
    if "mean_cosine" in profiles:
        chart = profile_chart(last, styles, "mean_cosine", titled("mean |cosine|"))
        charts["cosines between filters"] = (chart, COSINE_NOTE)
    return [
        Block(f"Depth {depth}: {title}", note, chart, group=f"Depth {depth}" if folded else "")
        for title, (chart, note) in charts.items()
        if chart["data"]
    ]


def trial_maps(run: OpenedRun, trials: pd.DataFrame) -> dict[str, Any]:
    """Heat maps of single trials for the page, confirmed trials first, until MAP_BYTES are spent.

    Returns:
        trial_id -> {"epochs", "layers", "maps": {name -> {"low", "high", "cells"}}}; cells are base64 of one byte a
        cell, epoch by epoch, 0 to 254 between low and high.
    """
    chosen = most_wanted(trials)["trial_id"].head(MAP_BYTES // MIN_MAP_BYTES).tolist()
    layers = run.layers(chosen, ("epoch", "layer", *MAP_COLUMNS))
    by_trial = dict(list(layers.groupby("trial_id", observed=True)))
    packed, spent = {}, 0
    for trial_id in chosen:
        if trial_id in by_trial and spent < MAP_BYTES:
            packed[trial_id] = _packed(by_trial[trial_id])
            spent += len(json.dumps(packed[trial_id]))
    return packed


def _packed(layers: pd.DataFrame) -> dict[str, Any]:
    epochs, rows = np.unique(layers["epoch"], return_inverse=True)
    numbers, columns = np.unique(layers["layer"], return_inverse=True)
    grids = np.full((len(MAP_COLUMNS), len(epochs), len(numbers)), np.nan)
    grids[:, rows, columns] = layers[list(MAP_COLUMNS)].to_numpy(dtype=np.float64).T
    kept = thinned(pd.DataFrame(index=epochs, columns=numbers))
    error, factor, singular = grids[:, np.isin(epochs, kept.index)][:, :, np.isin(numbers, kept.columns)]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = (np.log10(error / _top(error)), np.log10(factor), np.log10(singular))
    maps = {name: _bytes(grid) for name, grid in zip(MAPPED, logs, strict=True)}
    shown = {name: one for name, one in maps.items() if one is not None}
    return {"epochs": kept.index.tolist(), "layers": kept.columns.tolist(), "maps": shown}


def _top(error: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each epoch's error at its topmost layer that has one, (epochs, 1); NaN where none has."""
    known = error > 0
    last = error.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    top = error[np.arange(len(error)), last]
    return np.where(known.any(axis=1), top, np.nan)[:, None]


def _bytes(grid: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    """A grid in one byte a cell, or None where nothing in it is finite."""
    known = np.isfinite(grid)
    if not known.any():
        return None
    low, high = float(grid[known].min()), float(grid[known].max())
    scaled = np.round((np.where(known, grid, low) - low) / max(high - low, 1e-12) * (NO_VALUE - 1))
    cells = np.where(known, scaled, NO_VALUE).astype(np.uint8)
    return {"low": round(low, 4), "high": round(high, 4), "cells": base64.b64encode(cells.tobytes()).decode()}
