"""Matplotlib figures of layers for print: errors and singular values by layer, in the style of `figures`."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.analysis.scores import cell_name
from study.report.figures import (
    GRID_COLOR,
    NOTE_POINTS,
    PALETTE,
    REFERENCE_COLORS,
    TEXT_POINTS,
    TITLE_POINTS,
    WIDTH_INCHES,
)

PANEL_INCHES = 2.6


def error_figure(profiles: pd.DataFrame, lines: Sequence[str], title: str) -> Figure:
    """log10 of the error's magnitude over that at the top, against layer; a panel a depth, deepest first.

    Args:
        profiles: of `study.analysis.propagation`, one epoch a group, with depth.
        lines: names whose combinations are lines.
        title: above the figure.
    """
    return _panels(profiles, lines, title, "log10 of error / error at the top", _draw_error)


def singular_value_figure(profiles: pd.DataFrame, lines: Sequence[str], title: str) -> Figure:
    """Least to greatest singular value of each layer's filter bank, and their mean; panels as in `error_figure`."""
    figure = _panels(profiles, lines, title, "singular values", _draw_singular_values)
    for axes in figure.axes:
        axes.set_yscale("log")
    return figure


def _panels(
    profiles: pd.DataFrame,
    lines: Sequence[str],
    title: str,
    words: str,
    draw: Callable[[Axes, pd.DataFrame, str, str], Any],
) -> Figure:
    depths = sorted(profiles["depth"].unique(), reverse=True)
    names = profiles[list(lines)].drop_duplicates().sort_values(list(lines)) if lines else profiles[[]].head(1)
    figure = Figure(figsize=(WIDTH_INCHES, 1 + PANEL_INCHES * len(depths)), layout="constrained", facecolor="white")
    for axes, depth in zip(figure.subplots(len(depths), 1, squeeze=False)[:, 0], depths, strict=True):
        rows = profiles[profiles["depth"] == depth]
        for place, (_, name) in enumerate(names.iterrows()):
            label = cell_name(name, lines) or "mean"
            chosen = rows[(rows[list(lines)] == name).all(axis=1)].sort_values("layer") if lines else rows
            draw(axes, chosen, label, _color(label, place))
        axes.set_title(f"depth {depth}", loc="left", fontsize=TEXT_POINTS)
        axes.set_ylabel(words, fontsize=NOTE_POINTS)
        axes.grid(True, color=GRID_COLOR)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[-1].set_xlabel("layer (0: stem; loss at the right)", fontsize=TEXT_POINTS)
    figure.axes[0].legend(fontsize=NOTE_POINTS, frameon=False, ncols=3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE_POINTS, fontweight="bold")
    return figure


def _color(label: str, place: int) -> str:
    return REFERENCE_COLORS[0] if "residual" in label else PALETTE[place % len(PALETTE)]


def _draw_error(axes: Axes, rows: pd.DataFrame, label: str, color: str) -> None:
    known = rows[rows["log10_error_ratio"].notna()]
    axes.plot(known["layer"], known["log10_error_ratio"], color=color, lw=1.6, label=label)


def _draw_singular_values(axes: Axes, rows: pd.DataFrame, label: str, color: str) -> None:
    least = rows["singular_value_min"].clip(lower=1e-6)
    axes.fill_between(rows["layer"], least, rows["singular_value_max"], color=color, alpha=0.2, lw=0)
    axes.plot(rows["layer"], rows["singular_value_mean"], color=color, lw=1.6, label=label)
