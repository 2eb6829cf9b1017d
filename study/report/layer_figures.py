"""Matplotlib figures of layers for print: errors and singular values by layer, in the style of `figures`."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.report.figures import GRID_COLOR, NOTE_POINTS, TEXT_POINTS, TITLE_POINTS, WIDTH_INCHES
from study.report.lines import LineStyle, LineStyles

PANEL_INCHES = 2.6
MARKS = 10  # About as many of a line's layers have its marker, so that those of a deep net do not merge.


def error_figure(profiles: pd.DataFrame, styles: LineStyles, title: str) -> Figure:
    """log10 of the error's magnitude over that at the top, against layer; a panel a depth, deepest first.

    Args:
        profiles: of `study.analysis.propagation`, one epoch a group, with depth.
        styles: of the run.
        title: above the figure.
    """
    return _panels(profiles, styles, title, "log10 of error / error at the top", _draw_error)


def singular_value_figure(profiles: pd.DataFrame, styles: LineStyles, title: str) -> Figure:
    """Least to greatest singular value of each layer's filter bank, and their mean; panels as in `error_figure`."""
    figure = _panels(profiles, styles, title, "singular values", _draw_singular_values)
    for axes in figure.axes:
        axes.set_yscale("log")
    return figure


def _panels(
    profiles: pd.DataFrame,
    styles: LineStyles,
    title: str,
    words: str,
    draw: Callable[[Axes, pd.DataFrame, LineStyle], Any],
) -> Figure:
    depths = sorted(profiles["depth"].unique(), reverse=True)
    lines = styles.lines(profiles)
    figure = Figure(figsize=(WIDTH_INCHES, 1 + PANEL_INCHES * len(depths)), layout="constrained", facecolor="white")
    for axes, depth in zip(figure.subplots(len(depths), 1, squeeze=False)[:, 0], depths, strict=True):
        for style, rows in lines:
            draw(axes, rows[rows["depth"] == depth].sort_values("layer"), style)
        axes.set_title(f"depth {depth}", loc="left", fontsize=TEXT_POINTS)
        axes.set_ylabel(words, fontsize=NOTE_POINTS)
        axes.grid(True, color=GRID_COLOR)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[-1].set_xlabel("layer (0: stem; loss at the right)", fontsize=TEXT_POINTS)
    figure.axes[0].legend(fontsize=NOTE_POINTS, frameon=False, ncols=3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE_POINTS, fontweight="bold")
    return figure


def _draw_error(axes: Axes, rows: pd.DataFrame, style: LineStyle) -> None:
    known = rows[rows["log10_error_ratio"].notna()]
    _draw_line(axes, known["layer"], known["log10_error_ratio"], style)


def _draw_singular_values(axes: Axes, rows: pd.DataFrame, style: LineStyle) -> None:
    least = rows["singular_value_min"].clip(lower=1e-6)
    axes.fill_between(rows["layer"], least, rows["singular_value_max"], color=style.color, alpha=0.2, lw=0)
    _draw_line(axes, rows["layer"], rows["singular_value_mean"], style)


def _draw_line(axes: Axes, x: "pd.Series[int]", y: "pd.Series[float]", style: LineStyle) -> None:
    look, every = style.marker.matplotlib + "-", max(len(x) // MARKS, 1)
    axes.plot(x, y, look, color=style.color, lw=1.6, ms=4.5, markevery=every, label=style.label)
