"""The page's section that sets a run beside another one. Tables in, blocks out."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from study.analysis.comparison import paired_comparisons
from study.analysis.scores import comparable
from study.config import CONFIRM, HOUSEKEEPING, TrialConfig
from study.report.blocks import Block, Section, distinct, number, table
from study.report.charts import dot_chart
from study.report.lines import line_names
from study.report.opened_run import BASELINES, OpenedRun
from study.report.part import Part
from study.terminal import plural

MAX_DIFFERENCES = 60
NOTE = (
    "Cells that are equal in {settings}, paired by seed where both runs confirmed the same seeds; P values corrected "
    "by Holm over all cells. Positive: this run is better. A verdict needs what it needs under Comparisons. What else "
    "the cells differ in is listed below."
)
OTHERWISE_NOTE = (
    "Settings of the confirmed trials that are not the same in both runs, in how many of the compared cells: the "
    "differences may come from these."
)


def compare_section(run: OpenedRun, other: OpenedRun) -> Section:
    """Answers of both, differences cell by cell, and what they declare differently."""
    title = f"Beside {other.name}"
    blocks = [_declared(run, other)]
    theirs = {part.dataset: part for part in other.parts}
    for part in run.parts:
        if part.dataset in theirs:
            blocks += _differences(run, other, part, theirs[part.dataset])
    return Section("compare", title, "" if len(blocks) > 1 else "The two runs share no data set.", blocks)


def _differences(run: OpenedRun, other: OpenedRun, mine: Part, theirs: Part) -> list[Block]:
    blocks = [Block(f"{other.name} on {theirs.dataset}", theirs.answer)]
    axes = list(dict.fromkeys([*mine.axes, *theirs.axes]))  # what one of them does not compare, its config has fixed
    settings = ", ".join(name.replace("_", " ") for name in axes) or "name"
    here, there = _labels(run, other)
    both = pd.concat([mine.trials.assign(run=here), theirs.trials.assign(run=there)], ignore_index=True)
    both = both.assign(**{name: comparable(both[name]) for name in axes})
    pairs = paired_comparisons(both, between="run", within=axes)
    if pairs.empty:
        return [*blocks, Block("Cell by cell", f"No cell is confirmed in both runs with equal {settings}.")]
    pairs = pairs[pairs["pairs"] > 0]
    if pairs.empty:
        return [*blocks, Block("Cell by cell", "No cell is confirmed on equal seeds in both runs.")]
    sign = pairs["a"].map({here: 1.0, there: -1.0})
    ends = pairs[["low", "high"]].mul(sign, axis=0) + 0.0  # no minus before a zero
    difference = pairs["difference"] * sign + 0.0
    pairs = pairs.assign(difference=difference, low=ends.min(axis=1), high=ends.max(axis=1))
    labels = line_names(pairs, axes).tolist() if axes else ["all"]
    chart = dot_chart(labels, pairs, ("difference", "low", "high"), "difference", zero=True)
    columns = {name: name for name in axes} | {
        **{
            "difference~low~high": f"{here} less {there}",
            "holm": "P, corrected",
            "pairs": "pairs",
            "verdict": "verdict",
        },
    }
    blocks.append(Block("Cell by cell", NOTE.format(settings=settings), chart))
    blocks.append(table("Cell by cell, numbers", pairs, columns, folded=True))
    return [*blocks, _otherwise(both, axes, (here, there))]


def _otherwise(both: pd.DataFrame, axes: list[str], runs: tuple[str, str]) -> Block:
    """The fields in which compared cells differ, with the values of each run."""
    keys = axes or ["phase"]
    fields = [name for name in TrialConfig.model_fields if name not in {*axes, "seed", *HOUSEKEEPING}]
    confirmed = both[both["phase"] == CONFIRM]
    confirmed = confirmed.assign(**{name: comparable(confirmed[name]) for name in fields})
    first = [confirmed[confirmed["run"] == run].groupby(keys)[fields].first() for run in runs]
    shared = first[0].index.intersection(first[1].index)
    mine, theirs = (rows.loc[shared] for rows in first)
    rows = []
    for name in fields:
        apart = mine[name] != theirs[name]
        if apart.any():
            values = [distinct(side.loc[apart, name]) for side in (mine, theirs)]
            rows.append([name.replace("_", " "), f"{int(apart.sum())} of {len(shared)}", *values])
    title = "What else differs between the compared cells"
    return Block(title, OTHERWISE_NOTE if rows else "No setting.", columns=["setting", "cells", *runs], rows=rows)


def _labels(run: OpenedRun, other: OpenedRun) -> tuple[str, str]:
    """Names of the two runs; made different where they are equal, as after a repeat elsewhere."""
    return (run.name, other.name) if run.name != other.name else (f"{run.name} (this)", f"{other.name} (other)")


def _declared(run: OpenedRun, other: OpenedRun) -> Block:
    """Facts of the runs that differ, and what cells of one name declare differently: a line a field, not a cell."""
    rows = [list(line) for line in _unequal(_facts(run), _facts(other))]
    cells = [dict(one.facts.get("declaration", {}).get("cells", {})) for one in (run, other)]
    shared = [cell for cell in cells[0] if cell in cells[1]]
    alone = [str(len(declared) - len(shared)) for declared in cells]
    rows += [["cells that the other lacks", *alone]] if alone != ["0", "0"] else []
    fields = Counter(line for cell in shared for line in _unequal(cells[0][cell], cells[1][cell]))
    rows += [[f"{name}, in {plural(count, 'cell')}", here, there] for (name, here, there), count in fields.items()]
    note = f"The first {MAX_DIFFERENCES} of {len(rows)}." if len(rows) > MAX_DIFFERENCES else ""
    columns = ["what", *_labels(run, other)]
    return Block("What differs", note, columns=columns, rows=rows[:MAX_DIFFERENCES], folded=len(rows) > 8)


FACTS = ("settings", "trials_per_cell", "confirm_seeds", *BASELINES.values(), "versions", "machine")


def _facts(run: OpenedRun) -> dict[str, Any]:
    """What run.json says of the run as a whole."""
    declared = {name: value for name, value in run.facts.get("declaration", {}).items() if name != "cells"}
    return {name: run.facts.get(name) for name in FACTS} | declared


def _unequal(mine: Any, theirs: Any) -> Iterator[tuple[str, str, str]]:
    """(dotted name, value here, value there) of what differs."""
    here, there = _flat(mine), _flat(theirs)
    for name in {**here, **there}:
        if here.get(name) != there.get(name):
            yield name, number(here.get(name)), number(there.get(name))


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    if not isinstance(content, dict):
        return {path: str(content)}
    joined: dict[str, Any] = {}
    for name, value in content.items():
        joined |= _flat(value, f"{path}.{name}" if path else str(name))
    return joined
