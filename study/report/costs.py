"""The section of a report page on what training costs and where it diverges. Tables in, blocks out."""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pandas as pd

from study.analysis.cost import cost_table, divergence_map, expected_best_by_trials, pareto_front
from study.analysis.scores import FAULTS, at_chance, scored
from study.config import CONFIRM, SEARCH
from study.report.axes import Layout, aside, error_axis, log_axis, titled, value_axis
from study.report.blocks import DASH, Block, Section, seconds, table
from study.report.charts import HELPER_COLOR, drawn_lines, escape, hover_of, layout, left_out, looks, point_chart
from study.report.lines import MIN_ERROR, line_names
from study.report.opened_run import OpenedRun
from study.report.part import Part
from study.report.sections import WORDS
from study.report.targets import target_blocks
from study.terminal import plural

MAX_POINTS = 2_000  # Of one scatter: a point with its hover text takes about 150 bytes.
DEPTH_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # from the shallowest on
MAP_DODGE = 0.06  # Lines stand this many octaves of depth apart in the map, so that equal settings stay visible.
COST_NOTE = (
    "All trials of a cell, search and confirmation, also those that failed or were pruned; seconds are medians of the "
    "finished ones, with the middle half in brackets."
)
PHASES_NOTE = " Search trials and confirmations are apart, for they do not train alike."
PARETO_NOTE = "Confirmed cells; those on the front, which no other cell beats at less cost, are listed below."
MAP_NOTE = (
    "Each search trial at its {scale} and learning rate. Crosses diverged or failed; open marks stayed at chance."
)


def cost_section(run: OpenedRun, part: Part, anchor: str) -> Section:
    """Seconds by depth, time to targets, Pareto front, what more trials would bring, where training diverges."""
    axes = part.names
    blocks = [_costs(run, part, axes), *target_blocks(run, part), *_front(part, axes), *_divergence(run, part)]
    return Section(anchor, "Cost, and where training diverges", "", [*blocks, _expected(run, part)])


def _costs(run: OpenedRun, part: Part, axes: list[str]) -> Block:
    note = COST_NOTE
    if run.search_fixed:
        axes, note = [*axes, "phase"], COST_NOTE + PHASES_NOTE
    costs = cost_table(part.trials, by=axes)
    spread = zip(costs["median_seconds"], costs["spread_low"], costs["spread_high"], strict=True)
    words = [
        DASH if pd.isna(middle) else f"{seconds(middle)} [{seconds(low)}, {seconds(high)}]"
        for middle, low, high in spread
    ]
    costs = costs.assign(took=words, memory=costs["peak_memory_bytes"].astype(np.float64) / 2**20)
    columns = {name: name for name in axes} | {
        **{"device": "device", "trials": "trials", "took": "one trial", "hours": "hours in all"},
        **{"images_per_second": "images a second", "memory": "peak memory, MiB"},
    }
    return table("Cost by cell", costs, columns, note=note, folded=len(costs) > 8)


def _front(part: Part, axes: list[str]) -> Iterator[Block]:
    costs = cost_table(part.trials[part.trials["phase"] == CONFIRM], by=axes)
    cells = part.curve.merge(costs[[*axes, "median_seconds"]], on=axes).dropna(subset=["median_seconds"])
    if cells.empty or costs["device"].nunique() != 1:
        return
    front = cells[pareto_front(cells, best="mean", cost="median_seconds")].sort_values("median_seconds")
    cells, front = (rows.assign(error=(1 - rows["mean"]).clip(lower=MIN_ERROR)) for rows in (cells, front))
    x = ("median_seconds", log_axis("seconds of one training (log scale)", cells["median_seconds"]))
    hover = [hover_of(row, [*axes, "mean", "median_seconds"]) for row in cells.to_dict("records")]
    chart = point_chart(cells, part.styles, x, ("error", error_axis(WORDS)), hover)
    line = {"color": HELPER_COLOR, "width": 1, "shape": "hv", "dash": "dot"}
    ends = {"x": front["median_seconds"].tolist(), "y": front["error"].tolist()}
    chart["data"].append(
        {"type": "scatter", "mode": "lines", "name": "front", "line": line, "hoverinfo": "skip", **ends}
    )
    listed = "; ".join(f"{name} {mean:.3f}" for name, mean in zip(line_names(front, axes), front["mean"], strict=True))
    yield Block("Accuracy against cost", f"{PARETO_NOTE} {listed}.", chart)


def _divergence(run: OpenedRun, part: Part) -> Iterator[Block]:
    trials = part.trials.assign(chance=scored(part.trials, [])["chance"])
    searched = trials[(trials["phase"] == SEARCH) & (trials["learning_rate"] > 0)]
    if "learning_rate" not in run.knobs or searched.empty:
        return
    scales = part.scales_of(searched)
    if scales:
        yield _map(part, searched, scales[0])
    counts = divergence_map(part.trials, "learning_rate", by=["depth"])
    if counts["diverged"].any():
        columns = {"depth": "depth", "low": "learning rate from", "high": "to", "share": "share that diverged"}
        few = counts[counts["diverged"] > 0]
        yield table("Bins with divergence", few, columns | {"trials": "trials"}, folded=True)


def _map(part: Part, searched: pd.DataFrame, scale: str) -> Block:
    """Search trials along learning rate and a numeric axis."""
    note = MAP_NOTE.format(scale=scale.replace("_", " "))
    if len(searched) > MAX_POINTS:
        note += f" {MAX_POINTS:,} of {len(searched):,} trials, drawn at random."
        searched = searched.sample(MAX_POINTS, random_state=0)
    names = ["cell", "learning_rate", "status", "val_accuracy"]
    hover = [hover_of(row, names) for row in searched.to_dict("records")]
    x = ("learning_rate", log_axis("learning rate (log scale)", searched["learning_rate"]))
    styles, values = part.styles_by(scale), searched[scale]
    chart = point_chart(searched, styles, x, (scale, value_axis(scale, values)), hover)
    for position, (trace, (style, rows)) in enumerate(zip(chart["data"], drawn_lines(searched, styles), strict=True)):
        shift = MAP_DODGE * (position - len(chart["data"]) / 2)
        trace["y"] = aside(scale, rows[scale], shift, values).tolist()
        failed = rows["status"].isin(["diverged", *FAULTS])
        untrained = at_chance(rows["val_accuracy"].astype(np.float64), rows["chance"])
        symbol = style.marker.plotly
        trace["marker"]["symbol"] = np.select([failed, untrained], ["x-thin-open", f"{symbol}-open"], symbol).tolist()
    return Block("Where training diverges", note, chart)


def _expected(run: OpenedRun, part: Part) -> Block:
    title = "Expected best accuracy against the number of search trials"
    axes = part.names
    if not run.knobs:
        return Block(title, "The run searches nothing.")
    try:
        curves = expected_best_by_trials(part.trials, run.sampler, by=axes)
    except ValueError as refusal:
        return Block(title, f"Not shown: {refusal}.")
    traces = list(_expected_traces(part, curves, axes))
    note = f"The unbiased estimator, over {plural(curves[axes].drop_duplicates().shape[0], 'cell')}."
    shown = layout(titled("search trials"), titled(f"best {WORDS}"))
    return Block(title, note, {"data": traces, "layout": shown, "note": left_out(curves, part.styles)})


def _expected_traces(part: Part, curves: pd.DataFrame, axes: list[str]) -> Iterator[Layout]:
    """A curve for each cell: with the looks of its line, and dashed by its depth."""
    dashes = dict(zip(sorted(part.trials["depth"].unique()), cycle(DEPTH_DASHES), strict=False))
    for style, cells in drawn_lines(curves, part.styles):
        for label, rows in cells.groupby(line_names(cells, axes), sort=False):
            look, values = looks(style), {"x": rows["trials"].tolist(), "y": rows["val_accuracy"].tolist()}
            dash = dashes[rows["depth"].iloc[0]] if "depth" in axes else DEPTH_DASHES[0]
            shown = {"type": "scatter", "mode": "lines+markers", **look, "name": escape(label), **values}
            yield {**shown, "line": {**look["line"], "dash": dash}}
