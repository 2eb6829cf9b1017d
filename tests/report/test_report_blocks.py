"""How numbers are written, and what charts are made of."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from study.report.axes import log_axis
from study.report.blocks import MAX_ROWS, interval, number, seconds, table
from study.report.charts import bar_chart, curve_chart, dot_chart, escape
from study.report.layer_charts import MAX_EPOCHS, MAX_LAYERS, heat_maps, thinned
from study.report.lines import LineStyles


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.98149, "0.981"), (1e-17, "0.000"), (0.00012, "0.00012"), (209_364.2, "209,364"), (3.87e8, "3.87e+08")),
        *((2.414, "2.41"), (None, "\N{EN DASH}"), (math.nan, "\N{EN DASH}"), (pd.NA, "\N{EN DASH}"), (True, "True")),
        *((12, "12"), ("a", "a")),
    ],
)
def test_numbers(value: object, text: str) -> None:
    assert number(value) == text


def test_intervals_durations_and_counts() -> None:
    assert interval(0.98, 0.97, 0.9904) == "0.980 [0.970, 0.990]"
    assert interval(math.nan, 44.0, math.nan) == "[44, …]"
    assert interval(0.5, math.nan, math.nan) == "0.500"
    assert [seconds(value) for value in (3.0, 240.0, 7_300.0, 2e5, math.nan)] == [
        *("3.0 s", "4.0 min", "2.0 h", "2.3 d", "\N{EN DASH}")
    ]


def test_a_table_is_cut_and_says_so() -> None:
    frame = pd.DataFrame({"a": range(MAX_ROWS + 5), "m": 0.5, "l": 0.4, "h": 0.6})
    block = table("t", frame, {"a": "A", "m~l~h": "M"})
    assert len(block.rows) == MAX_ROWS
    assert block.rows[0] == ["0", "0.500 [0.400, 0.600]"]
    assert f"first {MAX_ROWS} of {MAX_ROWS + 5}" in block.note


CURVE = pd.DataFrame(
    {"depth": [8, 44, 8, 44], "recipe": ["<b>a", "<b>a", "residual", "residual"], "mean": [0.9, 1.0, 0.8, 0.1]}
    | {"low": [0.8, np.nan, 0.7, 0.1], "high": [1.0, np.nan, 0.9, 0.1], "seeds": 3, "diverged": [0, 0, 0, 3]}
    | {"chance": 0.1, "architecture": ["plain"] * 2 + ["residual"] * 2}
)


def test_a_curve_has_lines_crosses_and_levels_and_plotly_reads_no_html_from_data() -> None:
    styles = LineStyles.of(CURVE, ["recipe"])
    chart = curve_chart(CURVE, styles, "accuracy", {"linear baseline": 0.85, "nearest neighbour": 0.9})
    names = [trace["name"] for trace in chart["data"]]
    assert names == [
        "residual",
        "&lt;b&gt;a",
        "some seeds diverged",
        "chance 0.100",
        "linear baseline 0.850",
        "nearest neighbour 0.900",
    ]
    assert chart["data"][1]["y"] == pytest.approx([0.1, 0.001])
    assert chart["data"][1]["error_y"]["array"] == pytest.approx([0.1, 0.0])
    json.dumps(chart, allow_nan=False)
    assert escape("<a>&") == "&lt;a&gt;&amp;"


def test_dots_and_bars_carry_their_intervals() -> None:
    rows = CURVE[["mean", "low", "high"]]
    dots = dot_chart(list("abcd"), rows, ("mean", "low", "high"), "x", zero=True)
    assert dots["data"][0]["error_x"]["array"] == pytest.approx([0.1, 0, 0.1, 0])
    assert dots["layout"]["yaxis"]["ticktext"] == list("abcd")
    bars = pd.DataFrame({"m": ["f", "p"], "field": ["x", "x"], "v": [0.4, 0.6], "l": [0.3, 0.5], "h": [0.5, 0.9]})
    chart = bar_chart(bars, group="m", label="field", value="v", ends=("l", "h"), x="x")
    assert [trace["name"] for trace in chart["data"]] == ["f", "p"]
    assert log_axis("x", pd.Series([0.01, 0.1]))["ticktext"][:4] == ["0.01", "0.02", "0.05", "0.1"]


def test_heat_maps_are_thinned_evenly_and_keep_their_ends() -> None:
    grid = pd.DataFrame(np.arange(200 * 999).reshape(200, 999))
    small = thinned(grid)
    assert small.shape == (MAX_EPOCHS, MAX_LAYERS)
    assert (small.index[0], small.index[-1], small.columns[-1]) == (0, 199, 998)
    columns = {"epoch": [1, 1, 1, 2, 2, 2], "layer": [0, 1, 2] * 2, "value": [0.0, np.nan, np.nan, 1, 2, np.nan]}
    profiles = pd.DataFrame(columns).assign(recipe="r", architecture="plain")
    chart = heat_maps(profiles, LineStyles.of(profiles, ["recipe"]), "value", "log10")
    assert chart["data"][0]["z"] == [[0.0, None], [1.0, 2.0]]
    assert chart["data"][0]["x"] == [0, 1]
