"""Charts of a report page as plotly figures in plain data. Knows nothing of pages, files or plotly itself.

Colours of text, grid and paper come from the page's style sheet, so that one chart serves light, dark and print; only
traces carry colours, chosen to stand out on both. Names from data are escaped here, for plotly reads a little HTML.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from study.report.axes import Layout, aside, depth_axis, error_axis, titled, value_axis
from study.report.blocks import Chart, interval, number
from study.report.lines import COLORS, MARKERS, MIN_ERROR, LineStyle, LineStyles

HELPER_COLOR = "#8a8a8a"
MAX_LINES = 16  # More lines than this are a tangle: the first ones are drawn, all references among them.
HEIGHT, ROW_HEIGHT, FRAME_HEIGHT = 400, 26, 110
LABEL_STANDOFF = 6  # pixels between labels and bars
DODGE_OCTAVES = 0.025
MARGIN_OCTAVES = 0.085  # Levels are drawn this much beyond the outermost values.
BASELINE_DASHES = ("dash", "dashdot")  # of the linear one and the nearest neighbour


def escape(text: Any) -> str:
    """Text that plotly shows as it is."""
    return html.escape(str(text), quote=False)


def layout(x: Layout, y: Layout, **more: Any) -> Layout:
    """What all charts share, with these axes."""
    clear = "rgba(0,0,0,0)"
    grid = {"automargin": True, "zeroline": False, "gridcolor": "#ddd"}
    return {
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "height": HEIGHT,
        "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#777"},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
        "xaxis": {**grid, **x},
        "yaxis": {**grid, **y},
        **more,
    }


def drawn_lines(frame: pd.DataFrame, styles: LineStyles) -> list[tuple[LineStyle, pd.DataFrame]]:
    """The style and the rows of each line that a chart has room for."""
    return styles.lines(frame)[:MAX_LINES]


def left_out(frame: pd.DataFrame, styles: LineStyles) -> str:
    """Which lines a chart has no room for; nothing where it draws them all."""
    labels = [style.label for style, _ in styles.lines(frame)]
    absent = ", ".join(labels[MAX_LINES:])
    return f"{MAX_LINES} of {len(labels)} lines are drawn; left out: {absent}." if absent else ""


def looks(style: LineStyle, size: int = 8) -> Layout:
    """Name, marker and stroke of a line's trace."""
    marker = {"color": style.color, "symbol": style.marker.plotly, "size": size}
    return {"name": escape(style.label), "marker": marker, "line": {"color": style.color, "width": 2}}


def curve_chart(
    curve: pd.DataFrame, styles: LineStyles, words: str, baselines: Mapping[str, float], scale: str = "depth"
) -> Chart:
    """Accuracy against depth or another numeric axis, line by line, with intervals; crosses where seeds diverged."""
    traces, failed, drawn, values = [], [], drawn_lines(curve, styles), curve[scale]
    for position, (style, rows) in enumerate(drawn):
        shift = DODGE_OCTAVES * (position - (len(drawn) - 1) / 2)
        placed = rows.sort_values(scale).assign(place=aside(scale, rows[scale], shift, values))
        traces.append(_curve(style, placed, scale))
        failed.append(placed[placed["diverged"] > 0])
    traces += [_crosses(pd.concat(failed))] if (curve["diverged"] > 0).any() else []
    outermost = pd.Series([values.min(), values.max()])
    ends = [float(aside(scale, outermost, sign * MARGIN_OCTAVES, values)[end]) for end, sign in ((0, -1), (1, 1))]
    traces += [_level(ends, level, dash, name) for level, dash, name in _levels(curve, baselines)]
    shown = layout(value_axis(scale, values), error_axis(words))
    return {"data": traces, "layout": shown, "note": left_out(curve, styles)}


def _curve(style: LineStyle, rows: pd.DataFrame, scale: str) -> dict[str, Any]:
    error = (1 - rows["mean"]).clip(lower=MIN_ERROR)
    hover = [
        f"{escape(style.label)}, {scale.replace('_', ' ')} {value:g}<br>{interval(mean, low, high)}<br>{seeds} seeds, "
        f"{diverged} diverged"
        for value, mean, low, high, seeds, diverged in rows[
            [scale, "mean", "low", "high", "seeds", "diverged"]
        ].itertuples(index=False)
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        **looks(style),
        "x": rows["place"].tolist(),
        "y": error.tolist(),
        "error_y": {
            "type": "data",
            "array": (1 - rows["low"] - error).clip(lower=0).fillna(0).tolist(),
            "arrayminus": (error - (1 - rows["high"]).clip(lower=MIN_ERROR)).clip(lower=0).fillna(0).tolist(),
            "thickness": 1.2,
            "width": 3,
        },
        "text": hover,
        "hoverinfo": "text",
    }


def _crosses(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "some seeds diverged",
        "x": rows["place"].tolist(),
        "y": (1 - rows["mean"]).clip(lower=MIN_ERROR).tolist(),
        "marker": {"symbol": "x-thin", "size": 13, "line": {"width": 2, "color": "#d03c3c"}},
        "hoverinfo": "skip",
    }


def _levels(curve: pd.DataFrame, baselines: Mapping[str, float]) -> list[tuple[float, str, str]]:
    chances = [(float(chance), "dot", "chance") for chance in curve["chance"].dropna().unique()]
    dashed = zip(baselines.items(), BASELINE_DASHES, strict=False)
    return chances + [(level, dash, words) for (words, level), dash in dashed]


def _level(ends: list[float], level: float, dash: str, name: str) -> dict[str, Any]:
    """A level as a trace of its own, so that the legend names it and nothing is written over the data."""
    line = {"color": HELPER_COLOR, "width": 1.3, "dash": dash}
    text = f"{name} {level:.3f}"
    shown = {"type": "scatter", "mode": "lines", "name": text, "text": text, "hoverinfo": "text"}
    return {**shown, "x": ends, "y": [max(1 - level, MIN_ERROR)] * 2, "line": line}


def band_chart(bands: pd.DataFrame, curve: pd.DataFrame, styles: LineStyles, words: str) -> Chart:
    """Fits of error against depth with their bands, and the means they were fitted to."""
    traces: list[dict[str, Any]] = []
    means = dict(styles.lines(curve))
    for style, rows in drawn_lines(bands, styles):
        x, own, look = rows["depth"].tolist(), means[style], looks(style, 7)
        edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        clip = {side: rows[side].clip(lower=MIN_ERROR).tolist() for side in ("low", "high", "error")}
        group = {"legendgroup": look["name"]}
        traces += [
            {**edge, **group, "x": x, "y": clip["low"]},
            {**edge, **group, "x": x, "y": clip["high"], "fill": "tonexty", "fillcolor": faded(style.color)},
            {
                **{"type": "scatter", "mode": "lines", "name": f"{look['name']}: {rows['model'].iloc[0]}", **group},
                **{"x": x, "y": clip["error"], "line": look["line"], "hoverinfo": "name"},
            },
            {
                **{"type": "scatter", "mode": "markers", "showlegend": False, "hoverinfo": "y", **group},
                **{"x": own["depth"].tolist(), "y": (1 - own["mean"]).clip(lower=MIN_ERROR).tolist()},
                "marker": look["marker"],
            },
        ]
    shown = layout(depth_axis(curve["depth"].tolist()), error_axis(words))
    return {"data": traces, "layout": shown, "note": left_out(bands, styles)}


def faded(color: str) -> str:
    """A hex colour as one that lets the grid through."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def dot_chart(
    labels: Sequence[str],
    rows: pd.DataFrame,
    columns: tuple[str, str, str],
    x: str,
    *,
    zero: bool = False,
    styles: Sequence[LineStyle] = (),
) -> Chart:
    """One dot a row with its interval, the first on top; `columns` are those of mean, low and high.

    Dots of cells have the `styles` of their lines, all others one look.
    """
    mean, low, high = (rows[name].astype(float) for name in columns)
    names = [escape(label) for label in labels]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": mean.tolist(),
        "y": list(range(len(names))),
        "error_x": {
            "type": "data",
            "array": (high - mean).fillna(0).tolist(),
            "arrayminus": (mean - low).fillna(0).tolist(),
            "thickness": 1.4,
            "color": HELPER_COLOR,
        },
        "marker": {
            "color": [style.color for style in styles] or COLORS[0],
            "symbol": [style.marker.plotly for style in styles] or MARKERS[0].plotly,
            "size": 8,
        },
        "text": [
            f"{name}<br>{interval(*ends)}" for name, ends in zip(names, zip(mean, low, high, strict=True), strict=True)
        ],
        "hoverinfo": "text",
    }
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.4, -0.6]}
    height = FRAME_HEIGHT + ROW_HEIGHT * max(len(names), 1)
    line = {"color": HELPER_COLOR, "width": 1.3, "dash": "dot"}
    place = {"type": "line", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1}
    zero_line = [{**place, "line": line}] if zero else []
    return {"data": [trace], "layout": layout(titled(x), ticks, height=height, shapes=zero_line)}


def bar_chart(table: pd.DataFrame, *, group: str, label: str, value: str, ends: tuple[str, str], x: str) -> Chart:
    """Horizontal bars, a colour for each `group`, with intervals."""
    traces = []
    for position, (name, rows) in enumerate(table.groupby(group, sort=True)):
        spread = {
            "array": (rows[ends[1]] - rows[value]).tolist(),
            "arrayminus": (rows[value] - rows[ends[0]]).tolist(),
        }
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": escape(name),
                "x": rows[value].tolist(),
                "y": [escape(text) for text in rows[label]],
                "error_x": {"type": "data", "thickness": 1.2, "color": HELPER_COLOR, **spread},
                "marker": {"color": COLORS[position % len(COLORS)]},
                "hovertemplate": "%{y}: %{x:.2f}",
            }
        )
    height = FRAME_HEIGHT + 2 * ROW_HEIGHT * max(table[label].nunique(), 1)
    labels = {"autorange": "reversed", "ticklabelstandoff": LABEL_STANDOFF}
    return {"data": traces, "layout": layout(titled(x), labels, height=height, barmode="group")}


def point_chart(
    rows: pd.DataFrame, styles: LineStyles, x: tuple[str, Layout], y: tuple[str, Layout], text: list[str]
) -> Chart:
    """A scatter, in which each line has its colour and marker; `x` and `y`: a column and its axis."""
    rows = rows.assign(hover=text)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            **looks(style),
            "x": part[x[0]].tolist(),
            "y": part[y[0]].tolist(),
            "text": part["hover"].tolist(),
            "hoverinfo": "text",
            "opacity": 0.85,
        }
        for style, part in drawn_lines(rows, styles)
    ]
    return {"data": traces, "layout": layout(x[1], y[1]), "note": left_out(rows, styles)}


def hover_of(row: dict[Any, Any], names: Sequence[str]) -> str:
    """`name: value` of each, a line each."""
    return "<br>".join(f"{escape(name)}: {escape(number(row[name]))}" for name in names)
