"""The page's section that sets a run beside another one. Tables in, blocks out."""

from typing import Any

import pandas as pd

from study.analysis.comparison import paired_comparisons
from study.analysis.scores import comparable
from study.analysis.sentence import answer
from study.report.blocks import Block, Section, number, table
from study.report.charts import dot_chart, line_names
from study.report.opened_run import OpenedRun, Part

MOST_DIFFERENCES = 60
NOTE = (
    "Cells that are equal in {settings}, paired by seed where both runs confirmed the same seeds; P values corrected "
    "by Holm over all cells. Positive: this run is better. A verdict needs what it needs under Comparisons. What the "
    "runs fix or search differently still differs: see What differs."
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
    said = answer(theirs.trials, theirs.linear_baseline, by=theirs.axes)
    blocks = [Block(f"{other.name} on {theirs.dataset}", said)]
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
    note = NOTE.format(settings=settings)
    return [*blocks, Block("Cell by cell", note, chart), table("Cell by cell, numbers", pairs, columns, folded=True)]


def _labels(run: OpenedRun, other: OpenedRun) -> tuple[str, str]:
    """Names of the two runs; made different where they are equal, as after a repeat elsewhere."""
    return (run.name, other.name) if run.name != other.name else (f"{run.name} (this)", f"{other.name} (other)")


def _declared(run: OpenedRun, other: OpenedRun) -> Block:
    """Fields of the declarations, versions and machines that differ."""
    mine, theirs = (_flat({name: one.facts.get(name) for name in FACTS}) for one in (run, other))
    rows = [
        [name, number(mine.get(name)), number(theirs.get(name))]
        for name in {**mine, **theirs}
        if mine.get(name) != theirs.get(name)
    ]
    note = f"The first {MOST_DIFFERENCES} of {len(rows)}." if len(rows) > MOST_DIFFERENCES else ""
    columns = ["what", *_labels(run, other)]
    return Block("What differs", note, columns=columns, rows=rows[:MOST_DIFFERENCES], folded=len(rows) > 8)


FACTS = ("trials_per_cell", "confirm_seeds", "linear_baseline", "versions", "machine", "declaration")


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    if not isinstance(content, dict):
        return {path: str(content)}
    joined: dict[str, Any] = {}
    for name, value in content.items():
        joined |= _flat(value, f"{path}.{name}" if path else str(name))
    return joined
