"""Axes of the page's charts as plain data: their titles, scales and ticks. Draws nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.report.lines import ERROR_TICKS

FEW_DECADES = 3.0
LOG_FROM = 4.0  # Values that differ by this factor or more are drawn on a log scale.
OCTAVES = 4.0  # A plain axis is as long as about so many octaves.
TITLE_STANDOFF = 14  # pixels between an axis' title and its labels

Layout = dict[str, Any]


def titled(text: str, **more: Any) -> Layout:
    """An axis with its title, clear of the tick labels."""
    return {"title": {"text": text, "standoff": TITLE_STANDOFF}, **more}


def log_axis(text: str, values: "pd.Series[Any]") -> Layout:
    """A log axis with few, plain ticks: 1, 2 and 5 of each decade, or the decades alone where there are many."""
    known = values[values > 0].astype(float)
    low, high = np.log10([known.min(), known.max()]) if len(known) else (0.0, 1.0)
    steps = (1, 2, 5) if high - low < FEW_DECADES else (1,)
    ticks = [step * 10.0**decade for decade in range(int(np.floor(low)), int(np.ceil(high)) + 1) for step in steps]
    return titled(text, type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


def depth_axis(depths: Sequence[int]) -> Layout:
    """Depth on a log scale, with a tick at each depth that there is."""
    ticks = sorted({int(depth) for depth in depths})
    return titled("depth (log scale)", type="log", tickvals=ticks, ticktext=[str(tick) for tick in ticks])


def is_log(scale: str, values: "pd.Series[Any]") -> bool:
    """Whether an axis' values are drawn on a log scale: depths are, and others that differ by a factor."""
    return scale == "depth" or bool(values.min() > 0 and values.max() >= LOG_FROM * values.min())


def value_axis(scale: str, values: "pd.Series[Any]") -> Layout:
    """The axis of a compared name, with a tick at each value that there is."""
    if scale == "depth":
        return depth_axis(values.tolist())
    ticks = sorted(values.unique().tolist())
    words, shown = scale.replace("_", " "), {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return titled(f"{words} (log scale)", type="log", **shown) if is_log(scale, values) else titled(words, **shown)


def aside(scale: str, values: "pd.Series[Any]", octaves: float, all_values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values moved along their axis by part of an octave, or as much of a plain axis, so that lines stand apart."""
    whole = float(all_values.max() - all_values.min())
    moved: pd.Series[Any] = values * 2**octaves if is_log(scale, all_values) else values + octaves * whole / OCTAVES
    return moved


def error_axis(words: str) -> Layout:
    """Accuracy on the log scale of the error, best on top; the data are errors, the ticks read as accuracies."""
    ticks = {"tickvals": ERROR_TICKS, "ticktext": [f"{1 - tick:g}" for tick in ERROR_TICKS]}
    return titled(f"{words} (log of the error)", type="log", autorange="reversed", **ticks)
