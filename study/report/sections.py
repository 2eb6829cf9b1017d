"""The sections of a report page for one data set: what the numbers are and how to read them. Tables in, blocks out."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from study.analysis.comparison import interquartile_means, paired_comparisons
from study.analysis.cost import cost_table, cost_to_target, divergence_map, expected_best_by_trials, pareto_front
from study.analysis.curves import depth_curve
from study.analysis.scores import FAILURES, METRICS, at_chance, scored
from study.analysis.trainability import loss_bands, loss_fits, trainability_limits
from study.report.blocks import DASH, Block, Section, seconds, table
from study.report.charts import (
    COLORS,
    LEAST_ERROR,
    band_chart,
    bar_chart,
    curve_chart,
    depth_axis,
    dot_chart,
    error_axis,
    escape,
    hover_of,
    layout,
    line_names,
    lines,
    log_axis,
    point_chart,
    titled,
)
from study.report.opened_run import OpenedRun, Part
from study.terminal import plural

METRIC = "val_accuracy"
SHORT = 24  # A table of more rows than this is folded.
MOST_POINTS = 2_000  # Of one scatter: a point with its hover text takes about 150 bytes.
MAP_DODGE = 0.06  # Lines stand this many octaves of depth apart in the map, so that equal settings stay visible.
WORDS = METRICS[METRIC][0]
LIMIT_WORDS = {
    "logistic": "logistic fit, profile-likelihood interval",
    "bracket": "the depths separate the outcomes: it lies somewhere between",
    "beyond": "every seed gets there at every depth: it lies beyond",
    "below": "no seed gets there at any depth: it lies below",
    "flat": "no clear change over depth: no limit",
    "rising": "deeper nets get there more often: no limit",
}
SEEDS_ONLY = "Intervals are over seeds: they leave out the draw of the validation images, which all seeds share."
CURVE_NOTE = (
    "Mean over confirmed seeds with its 95 % interval (Student's t below ten seeds, bootstrap from there). A seed that "
    f"diverged or failed counts as chance and is marked. Equal steps halve the error. {SEEDS_ONLY}"
)
LIMIT_NOTE = (
    "The depth at which half of the seeds still reach half of the way from chance to 1, which an adaptive sweep's own "
    "rule may define otherwise. Intervals are over seeds, given each cell's tuned settings."
)
FIT_NOTE = (
    "Least squares of log2(1 - accuracy), over seeds; the model with the lowest AICc is chosen, its weight says how "
    "clearly. A small lack-of-fit P means that the depths miss the line by more than the seeds scatter: read the line "
    "as a summary, not a law. Bands are pointwise, 95 %."
)
PAIR_NOTE = (
    "On equal seeds. The difference has Student's interval (from ten pairs on a bootstrap's), then a bootstrap-t one. "
    "P values of the paired t test, corrected by Holm over the whole table. A verdict needs five pairs, both intervals "
    "to leave out 0 and a corrected P below 0.05. Wins: the share of seeds on which the first is better, with Wilson's "
    "interval."
)
IQM_NOTE = (
    "Mean of the middle half of all seeds, with a bootstrap interval stratified by cell. Over the {points} of {within} "
    "at which every {between} is confirmed, and no other."
)
COST_NOTE = (
    "All trials of a cell, search and confirmation, also those that failed or were pruned; seconds are medians of the "
    "finished ones, with the middle half in brackets."
)
TARGET_NOTE = (
    "Seconds of training until validation accuracy first reaches {target:.3f} ({what}), over confirmed seeds. "
    "Expected: with seeds that never reach it run to their end and another begun."
)
PARETO_NOTE = "Confirmed cells; those on the front, which no other cell beats at less cost, are listed below."
MAP_NOTE = "Each search trial at its depth and learning rate. Crosses diverged or failed; open marks stayed at chance."


def curve_section(part: Part, anchor: str) -> Section:
    """Depth curves (or dots), trainability limits, fits of the loss, and the numbers."""
    curve = depth_curve(part.trials, by=part.axes)
    if curve.empty:
        return Section(anchor, "Accuracy", "No cell is confirmed yet.")
    blocks = [picture(part, curve), _numbers(part, curve)]
    if has_depths(part, curve):
        blocks += [_limits(part), *_fits(part, curve)]
    return Section(anchor, "Accuracy against depth" if has_depths(part, curve) else "Accuracy", CURVE_NOTE, blocks)


def has_depths(part: Part, curve: pd.DataFrame) -> bool:
    """Whether there is a line to draw against depth."""
    return "depth" in part.axes and bool(curve["depth"].nunique() > 1)


def picture(part: Part, curve: pd.DataFrame, title: str = "Depth curves") -> Block:
    """The one picture that answers the question."""
    baseline = (part.linear_baseline or {}).get("validation_accuracy")
    if has_depths(part, curve):
        return Block(title, "", curve_chart(curve, part.lines, WORDS, baseline))
    ranked = curve.sort_values("mean", ascending=False)
    labels = line_names(ranked, part.axes or ["cell"]).tolist()
    return Block("Cells", "Best first.", dot_chart(labels, ranked, ("mean", "low", "high"), WORDS))


def with_test(part: Part, curve: pd.DataFrame) -> pd.DataFrame:
    """A depth curve with what the same seeds reach on the test images: mean_test, low_test, high_test."""
    axes = part.axes or ["cell"]
    test = depth_curve(part.trials, by=axes, metric="test_accuracy")
    return curve.merge(test[[*axes, "mean", "low", "high"]], on=axes, how="left", suffixes=("", "_test"))


def _numbers(part: Part, curve: pd.DataFrame) -> Block:
    axes = part.axes or ["cell"]
    columns = {name: name for name in axes} | {
        **{"mean~low~high": WORDS, "mean_test~low_test~high_test": "test accuracy", "seeds": "seeds"},
        **{"diverged": "diverged or failed", "at_chance": "at chance", "learning_rate": "learning rate"},
        "activation_slope": "activation slope",
    }
    return table("The numbers", with_test(part, curve), columns, folded=len(curve) > SHORT)


def _limits(part: Part) -> Block:
    limits = trainability_limits(part.trials, by=part.lines)
    limits = limits.assign(
        how=limits["method"].map(LIMIT_WORDS), **{name: limits[name].round(0) for name in ("limit", "low", "high")}
    )
    columns = {name: name for name in part.lines}
    columns |= {"limit~low~high": "depth", "how": "how it is known", "trained": "seeds that get there", "seeds": "of"}
    return table("Trainability limit", limits, columns, note=LIMIT_NOTE)


def _fits(part: Part, curve: pd.DataFrame) -> Iterator[Block]:
    fits = loss_fits(part.trials, by=part.lines)
    if fits.empty:
        return
    bands = loss_bands(part.trials, by=part.lines)
    yield Block("Error against depth, fitted", FIT_NOTE, band_chart(bands, curve, part.lines, WORDS))
    chosen = fits[fits["chosen"]]
    columns = {name: name for name in part.lines} | {
        **{"model": "model", "weight": "its Akaike weight", "exponent~exponent_low~exponent_high": "exponent"},
        **{"lack_of_fit": "lack of fit, P", "depths": "depths", "seeds": "seeds"},
    }
    yield table("Chosen models", chosen, columns, folded=True)


def comparison_section(part: Part, anchor: str) -> Section:
    """Recipes, or the values of another axis, against each other on equal seeds."""
    between = part.contrast
    if between is None:
        return Section(anchor, "Comparisons", "Nothing to compare: only depths differ, if anything.")
    within = [name for name in part.axes if name != between]
    pairs = paired_comparisons(part.trials, between=between, within=within)
    if pairs.empty:
        return Section(anchor, "Comparisons", "No two cells are confirmed on equal seeds yet.")
    pairs = pairs.sort_values(within, ascending=False, kind="stable")
    deepest = pairs[(pairs[within] == pairs[within].iloc[0]).all(axis=1)] if within else pairs
    labels = [f"{a} - {b}" for a, b in zip(deepest["a"], deepest["b"], strict=True)]
    place = ", ".join(f"{name} {deepest[name].iloc[0]}" for name in within)
    chart = dot_chart(labels, deepest, ("difference", "low", "high"), "difference", zero=True)
    columns = {name: name for name in within} | {
        **{
            "a": "higher mean",
            "b": "against",
            "difference~low~high": "difference",
            "bootstrap_low~bootstrap_high": "bootstrap-t",
            "beats~beats_low~beats_high": "wins",
        },
        **{"holm": "P, corrected", "pairs": "pairs", "verdict": "verdict"},
    }
    blocks = [
        Block(f"Differences at {place}" if place else "Differences", "", chart),
        table("Every pair", pairs, columns, folded=len(pairs) > SHORT),
        _middle_means(part, between, within),
    ]
    return Section(anchor, "Comparisons", PAIR_NOTE, blocks)


def _middle_means(part: Part, between: str, within: list[str]) -> Block:
    means = interquartile_means(part.trials, by=[between], strata=within).sort_values("mean", ascending=False)
    title, settings = "Interquartile means", ", ".join(within)
    if means.empty:
        return Block(title, f"Not shown: at no {settings} is every {between} confirmed.")
    note = IQM_NOTE.format(points=plural(int(means["points"].iloc[0]), "point"), within=settings, between=between)
    columns = {between: between, "mean~low~high": WORDS, "seeds": "seeds"}
    return table(title, means, columns, note=note if within else IQM_NOTE.partition(" Over the")[0])


def cost_section(run: OpenedRun, part: Part, anchor: str) -> Section:
    """Seconds by depth, seconds to the target, Pareto front, what more trials would bring, where training diverges."""
    axes = part.axes or ["cell"]
    blocks = [_costs(part, axes), *_target(run, part, axes), *_front(part, axes), *_divergence(run, part)]
    return Section(anchor, "Cost, and where training diverges", "", [*blocks, _expected(run, part)])


def _costs(part: Part, axes: list[str]) -> Block:
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
    return table("Cost by cell", costs, columns, note=COST_NOTE, folded=len(costs) > 8)


def _target(run: OpenedRun, part: Part, axes: list[str]) -> Iterator[Block]:
    target = (part.linear_baseline or {}).get("validation_accuracy")
    confirmed = part.trials[part.trials["phase"] == "confirm"]
    if target is None or confirmed.empty:
        return
    epochs = run.epochs(confirmed["trial_id"].tolist(), ("epoch", "seconds", "val_accuracy"))
    costs = cost_to_target(part.trials, epochs, target, by=axes)
    words = {name: [seconds(value) for value in costs[name]] for name in ("median_seconds", "expected_seconds")}
    columns = {name: name for name in axes} | {
        **{"device": "device", "reached": "seeds that reach it", "seeds": "of"},
        **{"median_seconds": "seconds, median", "expected_seconds": "seconds, expected"},
    }
    note = TARGET_NOTE.format(target=target, what="the linear baseline")
    yield table("Cost to reach the linear baseline", costs.assign(**words), columns, note=note, folded=True)


def _front(part: Part, axes: list[str]) -> Iterator[Block]:
    curve = depth_curve(part.trials, by=axes)
    costs = cost_table(part.trials, by=axes)
    cells = curve.merge(costs[[*axes, "median_seconds"]], on=axes).dropna(subset=["median_seconds"])
    if cells.empty or costs["device"].nunique() != 1:
        return
    front = cells[pareto_front(cells, best="mean", cost="median_seconds")].sort_values("median_seconds")
    cells, front = (rows.assign(error=(1 - rows["mean"]).clip(lower=LEAST_ERROR)) for rows in (cells, front))
    x = ("median_seconds", log_axis("seconds of one training (log scale)", cells["median_seconds"]))
    hover = [hover_of(row, [*axes, "mean", "median_seconds"]) for row in cells.to_dict("records")]
    chart = point_chart(cells, part.lines, x, ("error", error_axis(WORDS)), hover)
    line = {"color": COLORS[0], "width": 1, "shape": "hv", "dash": "dot"}
    ends = {"x": front["median_seconds"].tolist(), "y": front["error"].tolist()}
    chart["data"].append(
        {"type": "scatter", "mode": "lines", "name": "front", "line": line, "hoverinfo": "skip", **ends}
    )
    listed = "; ".join(f"{name} {mean:.3f}" for name, mean in zip(line_names(front, axes), front["mean"], strict=True))
    yield Block("Accuracy against cost", f"{PARETO_NOTE} {listed}.", chart)


def _divergence(run: OpenedRun, part: Part) -> Iterator[Block]:
    trials = part.trials.assign(chance=scored(part.trials, [])["chance"])
    searched = trials[(trials["phase"] == "search") & (trials["learning_rate"] > 0)]
    if "learning_rate" not in run.knobs or searched.empty:
        return
    counts = divergence_map(part.trials, "learning_rate", by=["depth"])
    note = MAP_NOTE
    if len(searched) > MOST_POINTS:
        note += f" {MOST_POINTS:,} of {len(searched):,} trials, drawn at random."
        searched = searched.sample(MOST_POINTS, random_state=0)
    names = ["cell", "learning_rate", "status", "val_accuracy"]
    hover = [hover_of(row, names) for row in searched.to_dict("records")]
    x = ("learning_rate", log_axis("learning rate (log scale)", searched["learning_rate"]))
    chart = point_chart(searched, part.lines, x, ("depth", depth_axis(searched["depth"].tolist())), hover)
    for position, (trace, (_, rows, _, _)) in enumerate(zip(chart["data"], lines(searched, part.lines), strict=True)):
        trace["y"] = (rows["depth"] * 2 ** (MAP_DODGE * (position - len(chart["data"]) / 2))).tolist()
        failed = rows["status"].isin(FAILURES)
        untrained = at_chance(rows["val_accuracy"].astype(np.float64), rows["chance"])
        trace["marker"]["symbol"] = np.select([failed, untrained], ["x-thin-open", "circle-open"], "circle").tolist()
    yield Block("Where training diverges", note, chart)
    if counts["diverged"].any():
        columns = {"depth": "depth", "low": "learning rate from", "high": "to", "share": "share that diverged"}
        few = counts[counts["diverged"] > 0]
        yield table("Bins with divergence", few, columns | {"trials": "trials"}, folded=True)


def _expected(run: OpenedRun, part: Part) -> Block:
    title = "Expected best accuracy against the number of search trials"
    axes = part.axes or ["cell"]
    if not run.knobs:
        return Block(title, "The run searches nothing.")
    try:
        curves = expected_best_by_trials(part.trials, run.sampler, by=axes)
    except ValueError as refusal:
        return Block(title, f"Not shown: {refusal}.")
    traces = [
        {"type": "scatter", "mode": "lines", "name": escape(label), "line": {"color": color}}
        | {"x": rows["trials"].tolist(), "y": rows["val_accuracy"].tolist()}
        for label, rows, color, _ in lines(curves, axes)
    ]
    note = f"The unbiased estimator, over {plural(curves[axes].drop_duplicates().shape[0], 'cell')}."
    return Block(title, note, {"data": traces, "layout": layout(titled("search trials"), titled(f"best {WORDS}"))})


def importance_chart(found: pd.DataFrame) -> Block:
    """One scope of `study.analysis.importance.importances`."""
    names = found["method"].map({"fanova": "fANOVA: the whole space", "ped_anova": "PED-ANOVA: the best tenth"})
    chart = bar_chart(
        found.assign(method=names),
        group="method",
        label="field",
        value="importance",
        ends=("low", "high"),
        x="importance",
    )
    scope, trials = found["scope"].iloc[0], int(found["trials"].iloc[0])
    return Block(f"Importance, {scope}", f"Over {plural(trials, 'trial')}; 90 % bootstrap intervals.", chart)
