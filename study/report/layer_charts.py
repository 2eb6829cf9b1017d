"""Charts of what happens from layer to layer. Plain plotly data, like `study.report.charts`."""

from typing import Any

import numpy as np
import pandas as pd

from study.report.axes import Layout, log_axis, titled
from study.report.blocks import Chart
from study.report.charts import FRAME_HEIGHT, drawn_lines, escape, faded, layout, left_out, looks
from study.report.lines import LineStyle, LineStyles

MAX_LAYERS, MAX_EPOCHS = 128, 40  # A heat map of more cells shows no more; layers and epochs are thinned evenly.
MAP_HEIGHT = 150
MARKER_SIZE, MARKS = 7, 12  # At most so many of a line's points have its marker; plotly sets them apart line by line.
MIN_VALUE = 1e-6  # A log axis has no place for a singular value of 0.
ENDS = ("singular_value_min", "singular_value_max")
LAYER_AXIS = titled("layer (0: stem; loss at the right)")


def profile_chart(profiles: pd.DataFrame, styles: LineStyles, column: str, y: Layout) -> Chart:
    """A column against layer, line by line."""
    return _line_chart(profiles, styles, column, ("layer", LAYER_AXIS), y)


def singular_value_chart(profiles: pd.DataFrame, styles: LineStyles) -> Chart:
    """From the least to the greatest singular value of each layer's filter bank, with the mean, for each line."""
    y = log_axis("singular values (log scale)", pd.concat([profiles[name] for name in ENDS]).clip(lower=MIN_VALUE))
    traces: list[dict[str, Any]] = []
    for style, rows in drawn_lines(profiles.sort_values("layer"), styles):
        shared = {"type": "scatter", "legendgroup": escape(style.label), "x": rows["layer"].tolist()}
        edge = {**shared, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        mean = {"y": json_numbers(rows["singular_value_mean"]), "hovertemplate": "layer %{x}: mean %{y:.3g}"}
        traces += [
            {**edge, "y": _positive(rows["singular_value_min"])},
            {**edge, "y": _positive(rows["singular_value_max"]), "fill": "tonexty", "fillcolor": faded(style.color)},
            {**shared, **_marked(style), **mean},
        ]
    return {"data": traces, "layout": layout(LAYER_AXIS, y), "note": left_out(profiles, styles)}


def epoch_chart(growth: pd.DataFrame, styles: LineStyles, column: str, y: Layout) -> Chart:
    """A column against epoch, line by line."""
    return _line_chart(growth, styles, column, ("epoch", titled("epoch")), y)


def _line_chart(frame: pd.DataFrame, styles: LineStyles, column: str, axis: tuple[str, Layout], y: Layout) -> Chart:
    """Lines of `column` against the axis; none where the column is null."""
    x, shown = axis
    traces = [
        {
            "type": "scatter",
            **_marked(style),
            "connectgaps": x == "layer",  # residual nets have an error at block outputs only
            "x": rows[x].tolist(),
            "y": json_numbers(rows[column]),
            "hovertemplate": f"{x} %{{x}}: %{{y:.3g}}",
        }
        for style, rows in drawn_lines(frame.sort_values(x), styles)
        if rows[column].notna().any()
    ]
    return {"data": traces, "layout": layout(shown, y), "note": left_out(frame, styles)}


def _marked(style: LineStyle) -> Layout:
    """Looks of a line with many points."""
    look = looks(style, MARKER_SIZE)
    return {**look, "mode": "lines+markers", "marker": {**look["marker"], "maxdisplayed": MARKS}}


def heat_maps(profiles: pd.DataFrame, styles: LineStyles, column: str, words: str) -> Chart:
    """Layer by epoch, one map under the other for each line, all on one colour scale."""
    known = profiles[profiles[column].notna()]  # residual nets have an error at block outputs only
    groups = styles.lines(known)
    traces, axes, notes = [], {}, []
    for position, (style, rows) in enumerate(groups):
        grid = thinned(rows.pivot_table(index="epoch", columns="layer", values=column))
        suffix = "" if position == 0 else str(position + 1)
        top = 1 - position / len(groups)
        traces.append(
            {
                **{"type": "heatmap", "coloraxis": "coloraxis", "name": escape(style.label)},
                **{"x": grid.columns.tolist(), "y": [str(epoch) for epoch in grid.index]},
                "z": [json_numbers(row) for _, row in grid.iterrows()],
                **{"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"},
                "hovertemplate": "layer %{x}, epoch %{y}: %{z:.2f}",
            }
        )
        bottom = 1 - (position + 0.72) / len(groups)
        axes[f"yaxis{suffix}"] = titled("epoch", domain=[bottom, top - 0.06 / len(groups)], type="category")
        axes[f"xaxis{suffix}"] = {"anchor": f"y{suffix}", "automargin": True}
        place = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": top - 0.05 / len(groups)}
        notes.append({**place, "yanchor": "bottom", "text": f"<b>{escape(style.label)}</b>", "showarrow": False})
    bar = {"colorscale": "Viridis", "colorbar": {"title": {"text": words, "side": "right"}, "thickness": 12}}
    height = FRAME_HEIGHT + MAP_HEIGHT * max(len(groups), 1)
    shown = layout({}, {}, coloraxis=bar, annotations=notes, height=height) | axes
    return {"data": traces, "layout": shown}


def thinned(grid: pd.DataFrame) -> pd.DataFrame:
    """A grid of epochs by layers with at most MAX_EPOCHS rows and MAX_LAYERS columns, evenly chosen, ends kept."""
    rows, columns = (evenly(size, most) for size, most in zip(grid.shape, (MAX_EPOCHS, MAX_LAYERS), strict=True))
    return grid.iloc[rows, columns]


def evenly(size: int, most: int) -> list[int]:
    """Choose at most so many places of `size`, evenly, ends kept."""
    if size <= most:
        return list(range(size))
    return [int(index) for index in np.unique(np.linspace(0, size - 1, most).round().astype(int))]


def json_numbers(values: "pd.Series[float]") -> list[float | None]:
    """Four digits each; null where there is none, for JSON knows no NaN."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.astype(np.float64)]


def _positive(values: "pd.Series[float]") -> list[float | None]:
    return json_numbers(values.astype(np.float64).clip(lower=MIN_VALUE))
