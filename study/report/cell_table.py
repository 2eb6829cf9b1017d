"""The confirmed cells as a table in a terminal, a line each: what does not fit its width is left out, never broken."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.report.blocks import DASH, interval
from study.report.part import LINEAR, Part

FILLED, EMPTY, MARK = "\N{FULL BLOCK}", "\N{MIDDLE DOT}", "\N{BOX DRAWINGS LIGHT VERTICAL}"  # MARK: the linear baseline
BARS = (10, 30)  # The fewest characters of a bar that can be read, and the most.
MAX_CELLS = 60
GAP = "  "
LEFT_OUT_FIRST = ("slope", "test", "trained", "diverged")  # on a narrow terminal; the page has all


def cell_table(part: Part, width: int) -> str:
    """A line for each confirmed cell: names, mean with interval, and what else fits.

    Cells stand line by line in order of depth, or best first where there is one depth. On a terminal too narrow for
    names and means, the names stand on a line of their own.
    """
    names = [*part.lines, *(["depth"] if "depth" in part.axes else [])] or ["cell"]
    cells = part.tested_curve
    several = [name for name in names if cells[name].nunique(dropna=False) > 1] or names[-1:]
    by_name = "depth" in several
    cells = cells.sort_values(names if by_name else "mean", ascending=by_name, kind="stable")
    shown = cells.head(MAX_CELLS)
    columns = {name: [_text(value) for value in shown[name]] for name in several}
    columns["mean [95 %]"] = [interval(*cell) for cell in shown[["mean", "low", "high"]].itertuples(index=False)]
    columns |= _details(shown)
    for name in LEFT_OUT_FIRST:
        if _width(columns) > width:
            columns.pop(name, None)
    lines = _wide(columns, shown, part.levels.get(LINEAR), width) if _width(columns) <= width else _tall(columns)
    more = [f"and {len(cells) - MAX_CELLS} more cells"] if len(cells) > MAX_CELLS else []
    return "\n".join([*lines, *more])


def _details(cells: pd.DataFrame) -> dict[str, list[str]]:
    """Counts of seeds, the mean on the test images and the slope; a column only where it has something to say."""
    rows = cells.to_dict("records")
    details = {"trained": [f"{row['trained']}/{row['seeds']}" for row in rows]}
    if cells["mean_test"].notna().any():
        details["test"] = [DASH if pd.isna(row["mean_test"]) else f"{row['mean_test']:.3f}" for row in rows]
    if cells["diverged"].any():
        details["diverged"] = [str(row["diverged"] or "") for row in rows]
    if cells["activation_slope"].fillna(0).any():
        details["slope"] = [_text(row["activation_slope"]) for row in rows]
    return details


def _text(value: Any) -> str:
    return DASH if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _widths(columns: Mapping[str, list[str]]) -> list[int]:
    return [max(map(len, [name, *texts])) for name, texts in columns.items()]


def _width(columns: Mapping[str, list[str]]) -> int:
    widths = _widths(columns)
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _wide(columns: Mapping[str, list[str]], cells: pd.DataFrame, baseline: float | None, width: int) -> list[str]:
    """A heading and a line a cell, with a bar where there is room for one."""
    widths, room = _widths(columns), width - _width(columns) - len(GAP)
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    lines = [GAP.join(text.ljust(size) for text, size in zip(row, widths, strict=True)) for row in rows]
    if room < BARS[0]:
        return [line.rstrip() for line in lines]
    bars = ["", *(_bar(mean, baseline, min(room, BARS[1])) for mean in cells["mean"])]
    return [f"{line}{GAP}{bar}".rstrip() for line, bar in zip(lines, bars, strict=True)]


def _tall(columns: Mapping[str, list[str]]) -> list[str]:
    """Two lines a cell: its names, then the mean."""
    return [line for *names, mean in zip(*columns.values(), strict=True) for line in (" ".join(names), f"{GAP}{mean}")]


def _bar(mean: float, baseline: float | None, size: int) -> str:
    """From 0 to 1."""
    filled = round(mean * size)
    bar = list(FILLED * filled + EMPTY * (size - filled))
    if baseline is not None:
        bar[min(int(baseline * size), size - 1)] = MARK
    return "".join(bar)
