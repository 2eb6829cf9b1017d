"""The page's section on what mattered: importances, isolation curves, edges of boxes, moving optima."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from study.analysis.importance import importances
from study.analysis.tuning import Spaces, best_settings, box_edges, isolation_curves, known_point_wins
from study.report.axes import log_axis, titled, value_axis
from study.report.blocks import Block, Section, number, table
from study.report.charts import dot_chart, drawn_lines, hover_of, point_chart
from study.report.importances import importance_blocks
from study.report.opened_run import OpenedRun
from study.report.part import Part
from study.terminal import plural

WIDE = 10.0  # Values that differ by more than this factor are read on a log scale.
INTRO = (
    "From search trials: single seeds, the best of many. fANOVA splits the variance over the whole space; PED-ANOVA "
    "asks what sets the best tenth apart. They answer different questions and can disagree: both are shown."
)
ISOLATION_NOTE = (
    "For each value, the best search trial whatever the rest was. It shows what a value can reach, not what it does on "
    "average, and the best of more trials is higher by luck alone."
)
EDGE_NOTE = "A best point in the outer twentieth of its box, on the search's own scale: the optimum may lie beyond."
MOVE_NOTE = (
    "The best value of each cell (mark), and the range over all trials within 0.01 of its accuracy (bar): where bars "
    "overlap, the move is not shown."
)


def tuning_section(run: OpenedRun, part: Part, anchor: str) -> Section:
    """Importances against noise, isolation curves, edges, and how the best settings move along each numeric axis."""
    if not run.knobs:
        return Section(anchor, "What mattered", "The run searches nothing.")
    spaces = {cell: space for cell, space in run.spaces.items() if cell in set(part.trials["cell"])}
    found = importances(part.trials, spaces, axes=part.axes)
    blocks = [*importance_blocks(found, run.sampler), *_isolation(part, run.knobs), _edges(part, spaces)]
    blocks += [_moves(part, knob, spaces, scale) for scale in part.scales_of(part.trials) for knob in run.knobs]
    shown = [block for block in blocks if block.chart or block.rows or block.note]
    return Section(anchor, "What mattered", f"{INTRO} {_known_point(part)}".strip(), shown)


def _known_point(part: Part) -> str:
    """What the search added to the recipes; nothing where no cell has more than one finished trial."""
    won, cells = known_point_wins(part.trials)
    return f"The recipe's own point won the search in {won} of {plural(cells, 'cell')}." if cells else ""


def _isolation(part: Part, knobs: list[str]) -> Iterator[Block]:
    several = [name for name in part.axes if part.trials[name].nunique(dropna=False) > 1]
    curves = isolation_curves(part.trials, axes=several, knobs=knobs)
    if curves.empty:
        return
    labels = [f"{axis}={value}" for axis, value in zip(curves["axis"], curves["value"], strict=True)]
    points = curves.assign(low=np.nan, high=np.nan)
    chart = dot_chart(labels, points, ("val_accuracy", "low", "high"), "best accuracy")
    hover = ["axis", "value", "val_accuracy", "trials", *knobs]
    chart["data"][0]["text"] = [hover_of(row, hover) for row in curves.to_dict("records")]
    yield Block("Isolation curves", ISOLATION_NOTE, chart)
    columns = {"axis": "axis", "value": "value", "val_accuracy": "best accuracy", "trials": "of trials"}
    settings = {knob: knob.replace("_", " ") for knob in knobs}
    yield table("Best settings for each value", curves, columns | settings | {"trial_id": "trial"}, folded=True)


def _edges(part: Part, spaces: Spaces) -> Block:
    edges = box_edges(part.trials, spaces)
    if edges.empty:
        return Block("Edges of boxes", "No best point lies on the edge of its box.")
    box = [f"{number(low)} to {number(high)}" for low, high in zip(edges["low"], edges["high"], strict=True)]
    following = [f"{number(a)} to {number(b)}" for a, b in zip(edges["next_low"], edges["next_high"], strict=True)]
    columns = {
        **{"cell": "cell", "field": "field", "value": "best value", "side": "edge"},
        **{"box": "its box", "following": "range to try next", "trials": "trials"},
    }
    rows = edges.assign(box=box, following=following, side=edges["side"].map({"low": "lower", "high": "upper"}))
    return table("Edges of boxes", rows, columns, note=EDGE_NOTE)


def _moves(part: Part, knob: str, spaces: Spaces, scale: str) -> Block:
    searched = [cell for cell, space in spaces.items() if knob in space]
    trials = part.trials[part.trials["cell"].isin(searched)]
    by, styles, words = [scale, *part.lines_by(scale)], part.styles_by(scale), knob.replace("_", " ")
    settings, title = best_settings(trials, by=by, knob=knob), f"Best {words} by {scale.replace('_', ' ')}"
    if settings.empty:
        return Block(title, "No finished trial searched it.")
    if pd.api.types.is_bool_dtype(settings["best"]) or not pd.api.types.is_numeric_dtype(settings["best"]):
        columns = {name: name for name in by} | {"best": words, "val_accuracy": "best accuracy"}
        return table(title, settings, columns | {"trials": "of trials"}, folded=True)
    hover = [hover_of(row, [*by, "best", "val_accuracy", "trials"]) for row in settings.to_dict("records")]
    values = pd.concat([settings["least"], settings["most"]])
    wide = values.min() > 0 and values.max() > WIDE * values.min()
    y = ("best", log_axis(words, values) if wide else titled(words))
    chart = point_chart(settings, styles, (scale, value_axis(scale, settings[scale])), y, hover)
    for trace, (_, rows) in zip(chart["data"], drawn_lines(settings, styles), strict=True):
        spread = {
            "array": (rows["most"] - rows["best"]).tolist(),
            "arrayminus": (rows["best"] - rows["least"]).tolist(),
        }
        trace |= {
            "mode": "lines+markers",
            "line": {**trace["line"], "width": 1},
            "error_y": {"type": "data", "thickness": 1.2, **spread},
        }
    return Block(title, MOVE_NOTE, chart)
