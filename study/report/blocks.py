"""What a report page is made of: sections of blocks, each a chart, a table or a text; and how numbers are written.

Everything here is plain text: the template escapes it once, when it writes the page.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

Chart = dict[str, Any]
"""A plotly figure as plain data: `data` and `layout`, and perhaps a `note` that stands below it."""

DASH = "\N{EN DASH}"
ROUNDING = 1e-12  # A difference of equal numbers comes out as about 1e-17.
MAX_VALUES = 3  # of a setting, where several are told in one place
MAX_ROWS = 400  # Of a table in the page; the tables of a run with thousands of cells are for pandas.


@dataclass(frozen=True)
class Block:
    """One thing to look at.

    Attributes:
        note: what it shows and how to read it.
        charts: by name, of which the reader chooses one at a time; the first is shown.
        folded: shown only when the reader opens it.
        group: blocks of one group that follow each other are folded together, under its name.
    """

    title: str
    note: str = ""
    chart: Chart | None = None
    charts: Mapping[str, Chart] = field(default_factory=dict)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    folded: bool = False
    group: str = ""


@dataclass(frozen=True)
class Section:
    """A heading of the page and what stands under it."""

    anchor: str
    title: str
    intro: str = ""
    blocks: list[Block] = field(default_factory=list)


def table(
    title: str, frame: pd.DataFrame, columns: Mapping[str, str], *, note: str = "", folded: bool = False
) -> Block:
    """A table of these columns of a frame, under these headings; numbers by `number`.

    A column written as `mean~low~high` becomes one with its interval, `low~high` the interval alone.
    """
    shown = frame.head(MAX_ROWS)
    cells = [[_cell(row, name) for name in columns] for row in shown.to_dict("records")]
    if len(frame) > MAX_ROWS:
        note = f"{note} The first {MAX_ROWS} of {len(frame)} rows.".strip()
    return Block(title, note, columns=list(columns.values()), rows=cells, folded=folded)


def _cell(row: Mapping[Any, Any], name: str) -> str:
    values = [row[part] for part in name.split("~")]
    if len(values) == 1:
        return number(values[0])
    return interval(*(values if len(values) == 3 else (None, *values)))


def number(value: Any) -> str:
    """A value for a reader: three decimals for shares, three digits for the rest, a dash for null."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return DASH
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if abs(value) < ROUNDING or 0.001 <= abs(value) <= 1:
        return f"{value:.3f}"
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e7 else f"{value:.3g}"


def distinct(values: "pd.Series[Any]") -> str:
    """The distinct values of a column, or the first of many."""
    shown = [number(value) for value in values.drop_duplicates().tolist()]
    return ", ".join(shown[:MAX_VALUES]) + (", …" if len(shown) > MAX_VALUES else "")


def interval(mean: Any, low: Any, high: Any) -> str:
    """`0.981 [0.970, 0.992]`; an end that the data leave open is an ellipsis, no end at all no bracket."""
    if pd.isna(low) and pd.isna(high):
        return number(mean)
    known = [value for value in (mean, low, high) if not pd.isna(value)]
    write = "{:.3f}".format if max(map(abs, known)) <= 1 else number
    ends = ("…" if pd.isna(end) else write(end) for end in (low, high))
    return f"{'' if pd.isna(mean) else write(mean) + ' '}[{', '.join(ends)}]"


def seconds(value: Any) -> str:
    """A duration in its natural unit."""
    if pd.isna(value):
        return DASH
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.1f} s"
