"""Charts of what happens from layer to layer. Plain plotly data, like `study.report.charts`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.report.blocks import Chart
from study.report.charts import FRAME_HEIGHT, Layout, escape, faded, layout, line_names, lines, log_axis, titled

MAX_LAYERS, MAX_EPOCHS = 128, 40  # A heat map of more cells shows no more; layers and epochs are thinned evenly.
MAP_HEIGHT = 150
MIN_VALUE = 1e-6  # A log axis has no place for a singular value of 0.
ENDS = ("singular_value_min", "singular_value_max")
LAYER_AXIS = titled("layer (0: stem; loss at the right)")


def profile_chart(profiles: pd.DataFrame, names: Sequence[str], column: str, y: Layout) -> Chart:
    """A column against layer, a line for each combination of `names`."""
    looks = {"mode": "lines", "connectgaps": True}  # residual nets have an error at block outputs only
    return {"data": _line_traces(profiles, names, "layer", column, looks), "layout": layout(LAYER_AXIS, y)}


def singular_value_chart(profiles: pd.DataFrame, names: Sequence[str]) -> Chart:
    """From the least to the greatest singular value of each layer's filter bank, with the mean, for each line."""
    y = log_axis("singular values (log scale)", pd.concat([profiles[name] for name in ENDS]).clip(lower=MIN_VALUE))
    traces: list[dict[str, Any]] = []
    for label, rows, color, _ in lines(profiles.sort_values("layer"), names):
        x, shared = rows["layer"].tolist(), {"type": "scatter", "mode": "lines", "legendgroup": escape(label)}
        edge = {**shared, "x": x, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        mean = {"x": x, "y": _numbers(rows["singular_value_mean"]), "line": {"color": color, "width": 2}}
        traces += [
            {**edge, "y": _positive(rows["singular_value_min"])},
            {**edge, "y": _positive(rows["singular_value_max"]), "fill": "tonexty", "fillcolor": faded(color)},
            {**shared, **mean, "name": escape(label), "hovertemplate": "layer %{x}: mean %{y:.3g}"},
        ]
    return {"data": traces, "layout": layout(LAYER_AXIS, y)}


def epoch_chart(growth: pd.DataFrame, names: Sequence[str], column: str, y: Layout) -> Chart:
    """A column against epoch, a line for each combination of `names`."""
    looks = {"mode": "lines+markers"}
    return {"data": _line_traces(growth, names, "epoch", column, looks), "layout": layout(titled("epoch"), y)}


def _line_traces(frame: pd.DataFrame, names: Sequence[str], x: str, column: str, looks: Layout) -> list[Layout]:
    """Lines of `column` against `x`; none where the column is null."""
    return [
        {
            "type": "scatter",
            **looks,
            "name": escape(label),
            "x": rows[x].tolist(),
            "y": _numbers(rows[column]),
            "line": {"color": color, "width": 2},
            "marker": {"symbol": symbol, "size": 7},
            "hovertemplate": f"{x} %{{x}}: %{{y:.3g}}",
        }
        for label, rows, color, symbol in lines(frame.sort_values(x), names)
        if rows[column].notna().any()
    ]


def heat_maps(profiles: pd.DataFrame, names: Sequence[str], column: str, words: str) -> Chart:
    """Layer by epoch, one map under the other for each combination of `names`, all on one colour scale."""
    known = profiles[profiles[column].notna()]  # residual nets have an error at block outputs only
    groups = list(known.groupby(line_names(known, names).to_numpy(), sort=True))
    traces, axes, notes = [], {}, []
    for position, (label, rows) in enumerate(groups):
        grid = thinned(rows.pivot_table(index="epoch", columns="layer", values=column))
        suffix = "" if position == 0 else str(position + 1)
        top = 1 - position / len(groups)
        traces.append(
            {
                **{"type": "heatmap", "coloraxis": "coloraxis", "name": escape(label)},
                **{"x": grid.columns.tolist(), "y": [str(epoch) for epoch in grid.index]},
                "z": [_numbers(row) for _, row in grid.iterrows()],
                **{"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"},
                "hovertemplate": "layer %{x}, epoch %{y}: %{z:.2f}",
            }
        )
        bottom = 1 - (position + 0.72) / len(groups)
        axes[f"yaxis{suffix}"] = titled("epoch", domain=[bottom, top - 0.06 / len(groups)], type="category")
        axes[f"xaxis{suffix}"] = {"anchor": f"y{suffix}", "automargin": True}
        place = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": top - 0.05 / len(groups)}
        notes.append({**place, "yanchor": "bottom", "text": f"<b>{escape(label)}</b>", "showarrow": False})
    bar = {"colorscale": "Viridis", "colorbar": {"title": {"text": words, "side": "right"}, "thickness": 12}}
    height = FRAME_HEIGHT + MAP_HEIGHT * max(len(groups), 1)
    shown = layout({}, {}, coloraxis=bar, annotations=notes, height=height) | axes
    return {"data": traces, "layout": shown}


def thinned(grid: pd.DataFrame) -> pd.DataFrame:
    """A grid of epochs by layers with at most MAX_EPOCHS rows and MAX_LAYERS columns, evenly chosen, ends kept."""
    rows, columns = (_evenly(size, most) for size, most in zip(grid.shape, (MAX_EPOCHS, MAX_LAYERS), strict=True))
    return grid.iloc[rows, columns]


def _evenly(size: int, most: int) -> list[int]:
    if size <= most:
        return list(range(size))
    return [int(index) for index in np.unique(np.linspace(0, size - 1, most).round().astype(int))]


def _numbers(values: "pd.Series[float]") -> list[float | None]:
    """Four digits each; null where there is none, for JSON knows no NaN."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.astype(np.float64)]


def _positive(values: "pd.Series[float]") -> list[float | None]:
    return _numbers(values.astype(np.float64).clip(lower=MIN_VALUE))
