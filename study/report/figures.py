"""Pictures of the tables that `study.analysis` makes. Matplotlib figure objects only: no pyplot, no global state."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.analysis.curves import Baselines, axes_of, baseline_accuracy
from study.analysis.scores import METRICS, cell_name
from study.report.lines import ERROR_TICKS, MIN_ERROR, LineStyle, LineStyles

HELPER_COLOR = "#6B6B6B"  # Notes, chance and baseline: a grey that still reads well on white.
GRID_COLOR = "#E8E8E8"

WIDTH_INCHES, DOTS_PER_INCH = 8.0, 150  # 1,200 pixels: sharp in a README column of about 830.
CURVE_INCHES, FRAME_INCHES, LABEL_INCHES = 4.2, 1.2, 0.2
DOT_ROW_INCHES, DOT_FRAME_INCHES = 0.3, 1.6
TITLE_POINTS, TEXT_POINTS, NOTE_POINTS = 12.0, 10.0, 9.0
LABEL_PLACE = 1.03  # Where the labels to the right begin, in widths of the axes.
TITLE_CHARACTERS, NOTE_CHARACTERS = 76, 112  # What fits on one line of the figure's width.
DODGE_SHARE = 0.012  # Lines stand this share of the axis apart at one depth, so that their intervals stay visible,
DODGE_LIMIT = 0.5  # unless all of them would take more than this share of the way to the next depth.
TICK_SHARE = 0.04  # Two depths nearer than this share of the axis cannot both be printed under it.
AIR_SHARE = 0.8  # The top tick is the first with an error of at most this share of the best mean's,
TOP_SHARE = 0.93  # and the axis ends at this share of its error, so that a mark on the tick is not cut.
FORMATS = (".png", ".svg")


@dataclass(frozen=True)
class _Line:
    """One line of the depth figure: its looks, its cells in order of depth, and their places on the log2 axis."""

    style: LineStyle
    cells: pd.DataFrame
    octaves: npt.NDArray[np.float64]

    @property
    def drawn(self) -> pd.DataFrame:
        """Mean, low and high as drawn: what is nearer to 1 than MIN_ERROR stands at the highest tick."""
        return self.cells[["mean", "low", "high"]].clip(upper=1.0 - MIN_ERROR)


def depth_curve_figure(
    curve: pd.DataFrame, baselines: Baselines, title: str, styles: LineStyles | None = None
) -> Figure:
    """Draw a depth curve of `study.analysis.depth_curve`: accuracy with 95 % intervals, chance and the baselines.

    With two depths or more: accuracy against depth on a log2 scale, one line for each combination of the other axes,
    and below it how many seeds diverged, if any did. Else one dot a cell, the highest mean on top. An
    activation slope is printed where it is not 0. `styles` are those of the run, where the curve may lack some of its
    lines.
    """
    styles = styles or LineStyles.of(curve, [name for name in axes_of(curve) if name != "depth"])
    if "depth" in axes_of(curve) and curve["depth"].nunique() > 1:
        return _line_figure(curve, baselines, title, styles)
    return _dot_figure(curve, baselines, title, styles)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write the figure as PNG or SVG by the path's suffix; equal figures give equal files.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"figure path {str(path)!r}: the suffix must be one of {', '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    undated: dict[str, Any] = {"Date" if path.suffix == ".svg" else "Software": None}
    with mpl.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=undated)
    return path


def _line_figure(curve: pd.DataFrame, baselines: Baselines, title: str, styles: LineStyles) -> Figure:
    lines = list(_lines(curve, styles))
    failing = [line for line in lines if line.cells["diverged"].any()]
    chances, baseline = _chances(curve), _baselines(curve, baselines)
    labels = len(lines) + len(chances) + len(baseline)
    heights = [max(CURVE_INCHES, LABEL_INCHES * labels + FRAME_INCHES)]
    if failing:
        heights.append(LABEL_INCHES * len(failing) + LABEL_INCHES)
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained", facecolor="white")
    panels = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for line in lines:
        _draw_line(panels[0], line)
    _frame_curve(panels[0], curve)
    _frame(figure, panels[0], title, _note(curve))
    _scale_accuracy(panels[0], max([curve["mean"].max(), *baseline.values()]))
    _draw_levels(panels[0].axhline, chances, ":")
    _draw_levels(panels[0].axhline, baseline, "--")
    _label_ends(panels[0], lines, chances | baseline, LABEL_INCHES / (heights[0] - FRAME_INCHES))
    if failing:
        _draw_failures(panels[1], failing)
    return figure


def _lines(curve: pd.DataFrame, styles: LineStyles) -> Iterator[_Line]:
    groups = styles.lines(curve)
    octaves = np.log2(np.sort(curve["depth"].unique()))
    dodge = min(DODGE_SHARE * np.ptp(octaves), DODGE_LIMIT * np.diff(octaves).min() / len(groups))
    for position, (style, rows) in enumerate(groups):
        cells, aside = rows.sort_values("depth"), dodge * (position - (len(groups) - 1) / 2)
        yield _Line(style, cells, np.log2(cells["depth"].to_numpy()) + aside)


def _slopes(cells: pd.DataFrame) -> str:
    """The activation slopes of the cells, where they are not all zero."""
    slopes = cells["activation_slope"].dropna().astype(float)
    if slopes.empty or slopes.max() == 0:
        return ""
    return f", slope {slopes.min():g}" + (f" to {slopes.max():g}" if slopes.min() < slopes.max() else "")


def _draw_line(axes: Axes, line: _Line) -> None:
    drawn, style = line.drawn, line.style
    axes.vlines(line.octaves, drawn["low"], drawn["high"], color=style.color, lw=1.6, alpha=0.55)
    look = style.marker.matplotlib + "-"
    axes.plot(line.octaves, drawn["mean"], look, color=style.color, lw=1.8, ms=5.5, label=style.label)
    failed = (line.cells["diverged"] > 0).to_numpy()
    _draw_crosses(axes, line.octaves[failed], drawn["mean"][failed])


def _draw_crosses(axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
    axes.plot(x, y, "x", color="black", ms=9.0, mew=1.6, label="_diverged", zorder=4)


def _frame_curve(axes: Axes, curve: pd.DataFrame) -> None:
    depths = np.sort(curve["depth"].unique())
    octaves = np.log2(depths)
    printed = [len(depths) - 1]
    for index in reversed(range(len(depths))):
        printed += [index] if octaves[printed[-1]] - octaves[index] > TICK_SHARE * np.ptp(octaves) else []
    axes.set_xticks(octaves[printed], [str(depth) for depth in depths[printed]])
    axes.set_xticks(octaves, minor=True)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("depth: convolutions and the classifier (log scale)", fontsize=TEXT_POINTS)
    axes.set_ylabel(f"{_metric_words(curve)} (log of the error)", fontsize=TEXT_POINTS)
    axes.yaxis.grid(True, color=GRID_COLOR)


def _frame(figure: Figure, axes: Axes, title: str, note: str) -> None:
    """Title above, note below, and the quiet parts that both kinds of figure share."""
    heading, footing = textwrap.fill(title, TITLE_CHARACTERS), textwrap.fill(note, NOTE_CHARACTERS)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=TITLE_POINTS, fontweight="bold")
    figure.supxlabel(footing, x=0.01, ha="left", fontsize=NOTE_POINTS, color=HELPER_COLOR)
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _note(curve: pd.DataFrame) -> str:
    if curve.empty:
        return "Nothing is confirmed yet."
    least, most = int(curve["seeds"].min()), int(curve["seeds"].max())
    seeds = f"{least} to {most} seeds" if least < most else f"{most} seeds"
    shown = f"Mean and 95 % interval over {seeds}" if most > 1 else "One seed each, so no intervals"
    failures = "; a seed that diverged (\N{MULTIPLICATION SIGN}) counts as chance"
    return f"{shown}{failures if curve['diverged'].any() else ''}."


def _metric_words(curve: pd.DataFrame) -> str:
    return METRICS[curve["metric"].iloc[0]].words if len(curve) else "accuracy"


def _chances(curve: pd.DataFrame) -> dict[str, float]:
    """Chance levels by label: one for each number of classes."""
    return {f"chance {chance:.3f}": float(chance) for chance in curve["chance"].dropna().unique()}


def _baselines(curve: pd.DataFrame, baselines: Baselines) -> dict[str, float]:
    if curve.empty:
        return {}
    levels = {words: baseline_accuracy(baseline, curve["metric"].iloc[0]) for words, baseline in baselines.items()}
    return {f"{words} {level:.3f}": level for words, level in levels.items()}


def _draw_levels(draw: Callable[..., Any], levels: Mapping[str, float], style: str) -> None:
    """Draw levels with `axhline` or `axvline`, behind the data."""
    for label, level in levels.items():
        draw(level, color=HELPER_COLOR, lw=1.3, ls=style, zorder=1, label=label)


def _scale_accuracy(axes: Axes, best: float) -> None:
    """Scale the vertical axis by halvings of the error, from accuracy 0 to a tick above `best`."""
    axes.set_yscale("function", functions=(_halvings, lambda halvings: 1.0 - 2.0**-halvings))
    least = next((error for error in ERROR_TICKS if error <= AIR_SHARE * (1.0 - best)), MIN_ERROR)
    ticks = [1.0 - error for error in ERROR_TICKS if error >= least]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.0, 1.0 - TOP_SHARE * least)


def _halvings(accuracy: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How often an error of 1 is halved to reach this accuracy, up to the end of the tallest axis."""
    return -np.log2(np.maximum(1.0 - np.asarray(accuracy, dtype=np.float64), TOP_SHARE * MIN_ERROR))


def _label_ends(axes: Axes, lines: list[_Line], levels: dict[str, float], gap: float) -> None:
    """Write each label to the right, `gap` axes heights from the next or more, with a thread to what it names."""
    right, top = axes.get_xlim()[1], _halvings(axes.get_ylim()[1])
    ends = [(right, level, label, HELPER_COLOR) for label, level in levels.items()]
    for line in lines:
        label = f"{line.style.label} {line.cells['mean'].iloc[-1]:.3f}{_slopes(line.cells)}"
        ends.append((line.octaves[-1], line.drawn["mean"].iloc[-1], label, line.style.color))
    ends.sort(key=lambda end: end[1])
    heights = _spread([float(_halvings(end[1]) / top) for end in ends], gap)
    for (x, y, label, color), height in zip(ends, heights, strict=True):
        thread = {"arrowstyle": "-", "color": color, "lw": 0.7, "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)}
        style: dict[str, Any] = {"textcoords": "axes fraction", "va": "center", "color": color, "arrowprops": thread}
        axes.annotate(label, (x, y), (LABEL_PLACE, height), **style)
    axes.set_xlim(right=right)


def _spread(values: list[float], gap: float) -> list[float]:
    """Move ascending values apart until neighbours are `gap` apart and none is above 1; fixed where there is room."""
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + gap) if places else value)
    ceiling = 1.0
    for index in reversed(range(len(places))):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - gap
    return places


def _draw_failures(axes: Axes, lines: list[_Line]) -> None:
    """A table under the depths: how many seeds of each line diverged, in the line's colour."""
    for row, line in enumerate(lines):
        style: dict[str, Any] = {"va": "center", "fontsize": NOTE_POINTS, "color": line.style.color}
        for depth, failed, seeds in line.cells[["depth", "diverged", "seeds"]].itertuples(index=False):
            axes.text(np.log2(depth), row, f"{failed}/{seeds}" if failed else "0", ha="center", **style)
        axes.text(LABEL_PLACE, row, line.style.label, transform=axes.get_yaxis_transform(), **style)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(length=0, which="both", labelbottom=False)
    axes.set_title("Seeds that diverged", loc="left", fontsize=NOTE_POINTS, color=HELPER_COLOR, pad=3)
    axes.spines[:].set_visible(False)


def _dot_figure(curve: pd.DataFrame, baselines: Baselines, title: str, styles: LineStyles) -> Figure:
    cells = curve.sort_values("mean", kind="stable")
    height = DOT_FRAME_INCHES + DOT_ROW_INCHES * max(len(cells), 1)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained", facecolor="white")
    axes = figure.subplots()
    _draw_dots(axes, cells, styles.of_rows(cells))
    baseline = _baselines(curve, baselines)
    _draw_levels(axes.axvline, baseline, "--")
    left, right = axes.get_xlim()
    chances = {label: level for label, level in _chances(curve).items() if left < level < right}
    _draw_levels(axes.axvline, chances, ":")
    axes.set_ylim(-0.6, max(len(cells), 1) - 0.4)
    axes.set_xlabel(_metric_words(curve), fontsize=TEXT_POINTS)
    axes.xaxis.grid(True, color=GRID_COLOR)
    lines = [f"{style}: {', '.join(of)}." for style, of in (("Dashed", baseline), ("Dotted", chances)) if of]
    _frame(figure, axes, title, " ".join([_note(curve), *_name_dots(axes, cells), *lines]))
    return figure


def _name_dots(axes: Axes, cells: pd.DataFrame) -> list[str]:
    """Name each row by what varies between the cells; what they all share, as a sentence for the note."""
    names = axes_of(cells)
    varying = [name for name in names if cells[name].nunique(dropna=False) > 1] or names
    axes.set_yticks(range(len(cells)), [cell_name(cell, varying) for _, cell in cells.iterrows()])
    shared = [name for name in names if name not in varying]
    return [f"All cells: {cell_name(cells.iloc[0], shared)}."] if shared else []


def _draw_dots(axes: Axes, cells: pd.DataFrame, styles: list[LineStyle]) -> None:
    rows = np.arange(len(cells))
    axes.hlines(rows, cells["low"], cells["high"], color=[style.color for style in styles], lw=1.8, alpha=0.55)
    failed = (cells["diverged"] > 0).to_numpy()
    _draw_crosses(axes, cells["mean"][failed], rows[failed])
    for row, ((_, cell), style) in enumerate(zip(cells.iterrows(), styles, strict=True)):
        axes.plot(cell["mean"], row, style.marker.matplotlib, color=style.color, ms=6.0, label=style.label)
        failures = f", {cell['diverged']}/{cell['seeds']} diverged" if cell["diverged"] else ""
        text = f"{cell['mean']:.3f}{_slopes(cells.iloc[[row]])}{failures}"
        axes.text(LABEL_PLACE, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=NOTE_POINTS)
