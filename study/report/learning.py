"""The page's section on learning curves, and the curves of single trials in few bytes. Tables in, blocks out.

A trace names its curve and measure in place of numbers: all charts and the views of single trials share one copy, and
the page's script draws it against epochs or steps, as the reader chooses.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from study.analysis.learning import MEASURES, mean_curves
from study.config import CONFIRM
from study.report.axes import Layout, titled
from study.report.blocks import Block, Chart, Section
from study.report.charts import drawn_lines, layout, left_out, looks
from study.report.layer_charts import evenly, json_numbers
from study.report.lines import COLORS
from study.report.opened_run import OpenedRun, most_wanted
from study.report.part import Part
from study.terminal import plural

MAX_TRIALS = 200  # whose curves are in the page: a trial's take about 1.5 kB
MAX_POINTS = 40  # Of a curve; of more epochs as many are kept, evenly chosen.
MAX_TRACES = 16  # trials in one cell's chart
HEIGHT = 520
AXES = ("epoch", "step")
PANELS = {"loss": ("y", [0.54, 1.0]), "accuracy": ("y2", [0.0, 0.46])}
SIDES = {"train": ("training", COLORS[1]), "val": ("validation", COLORS[0])}
NO_CURVE = "No epoch of a trial that this page keeps was recorded yet."
NOTE = (
    "Loss (log scale) and accuracy. A mean is over the confirmed seeds that got to the epoch: one that diverged ends "
    f"early. Of more than {MAX_POINTS} epochs, {MAX_POINTS} are drawn; study.curves(run) has them all."
)
CELL_NOTE = "Thin: each confirmed seed, or each search trial while none is confirmed. Thick: the mean."


def kept_curves(run: OpenedRun) -> pd.DataFrame:
    """Learning curves of the trials that the page keeps: confirmed ones first, then the most accurate."""
    return run.learning_curves(most_wanted(run.trials).head(MAX_TRIALS))


def packed_curves(curves: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """trial_id, and cell for the mean over its confirmed seeds -> AXES and MEASURES as lists."""
    means = mean_curves(curves[curves["phase"] == CONFIRM])
    by_name = [*curves.groupby("trial_id", sort=False), *means.groupby("cell", sort=False)]
    return {str(name): _packed(rows) for name, rows in by_name}


def _packed(rows: pd.DataFrame) -> dict[str, Any]:
    kept = rows.iloc[evenly(len(rows), MAX_POINTS)]
    places = {name: kept[name].astype("float64").fillna(0).astype(int).tolist() for name in AXES}
    return places | {name: json_numbers(kept[name]) for name in MEASURES}


def learning_section(part: Part, curves: pd.DataFrame, anchor: str) -> Section:
    """The means of all cells, depth by depth, and each cell with its trials."""
    trials = part.trials[part.trials["trial_id"].isin(curves["trial_id"])]
    if trials.empty:
        return Section(anchor, "Learning curves", NO_CURVE)
    absent = len(part.trials) - len(trials)
    left = f" {plural(absent, 'trial')} left out: without an epoch, or not of the {MAX_TRIALS} best." if absent else ""
    cells = {str(cell): _of_cell(str(cell), rows) for cell, rows in most_wanted(trials).groupby("cell", sort=False)}
    blocks = [
        Block("Means on the validation images", "", charts=dict(_means(part, trials))),
        Block("A cell and its seeds", CELL_NOTE + left, charts=cells),
    ]
    return Section(anchor, "Learning curves", NOTE, [block for block in blocks if block.charts])


def _means(part: Part, trials: pd.DataFrame) -> Iterator[tuple[str, Chart]]:
    """One chart for each depth, the deepest first."""
    confirmed = trials[trials["phase"] == CONFIRM].drop_duplicates("cell")
    for depth, cells in sorted(confirmed.groupby("depth"), reverse=True):
        traces = [
            _trace(str(cell), name, looks(style) | {"showlegend": name == MEASURES[-1]})
            for style, rows in drawn_lines(cells, part.styles)
            for cell in rows["cell"]
            for name in MEASURES
            if name.startswith("val")
        ]
        yield f"depth {depth}", _panels(traces) | {"note": left_out(cells, part.styles)}


def _of_cell(cell: str, trials: pd.DataFrame) -> Chart:
    """Its confirmed trials thin and their mean thick; search trials alone while none is confirmed."""
    confirmed = trials[trials["phase"] == CONFIRM]
    shown = confirmed if len(confirmed) else trials
    traces = [
        _trace(trial_id, name, _look(name, 1) | {"opacity": 0.5, "showlegend": False})
        for trial_id in shown["trial_id"].head(MAX_TRACES)
        for name in MEASURES
    ]
    traces += [_trace(cell, name, _look(name, 3)) for name in MEASURES if len(confirmed)]
    note = f"The first {MAX_TRACES} of {len(shown)} trials are drawn." if len(shown) > MAX_TRACES else ""
    return _panels(traces) | {"note": note}


def trial_chart() -> Chart:
    """The view of one trial, whose traces name no curve yet."""
    return _panels([_trace("", name, _look(name, 2)) for name in MEASURES])


def _look(measure: str, width: float) -> Layout:
    words, color = SIDES[measure.partition("_")[0]]
    return {"name": words, "line": {"color": color, "width": width}, "showlegend": measure.endswith("accuracy")}


def _trace(curve: str, measure: str, look: Layout) -> Layout:
    axis, _ = PANELS[measure.partition("_")[2]]
    known = {key: value for key, value in look.items() if key != "marker"}
    return {"curve": curve, "measure": measure, "yaxis": axis, **known}


def _panels(traces: list[Layout]) -> Chart:
    """Loss above accuracy, on one horizontal axis that the page's script names."""
    axes = [titled(name, domain=domain) for name, (_, domain) in PANELS.items()]
    loss, accuracy = axes[0] | {"type": "log", "exponentformat": "power"}, axes[1]
    shared = {"height": HEIGHT, "yaxis2": layout({}, accuracy)["yaxis"]}
    return {"data": traces, "layout": layout(titled(AXES[-1], anchor="y2"), loss, **shared)}
