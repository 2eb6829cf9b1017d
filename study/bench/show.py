"""How the bench is shown: a table a section on the terminal, everything as JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from study.bench.rows import Row
from study.bench.timing import Estimate

CAPTION = "Medians; in brackets the 95 % interval of the median (of the mean where it says so)."


def section_table(rows: Sequence[Row]) -> Table:
    """One line a row; parts follow on lines of their own."""
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("", "left"), ("", "right"), ("", "left"), ("target", "left"), ("", "left")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        target = "" if row.target is None else str(row.target)
        table.add_row(row.what, f"{number(row.median)} {row.unit}".strip(), _interval(row), target, _verdict(row))
        if row.parts:
            table.add_row("  " + ", ".join(f"{name} {share:.1%}" for name, share in row.parts.items()), style="dim")
    return table


def verdict(rows: Sequence[Row]) -> str:
    """In one line: how many targets are met, and which are not."""
    judged = [row for row in rows if row.met is not None]
    missed = [f"{row.what}: {number(row.median)} (target {row.target})" for row in judged if not row.met]
    head = f"{len(judged) - len(missed)} of {len(judged)} targets met"
    return "\n  ".join([head + (", missed:" if missed else "."), *missed])


def number(value: float) -> str:
    """Four significant digits, whole numbers from 1,000 on."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits < 6 else f"{value:.3g}"


def as_json(facts: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The whole bench as JSON values; `sections` hold their rows under `rows`."""
    return {
        **facts,
        "sections": {
            name: {**section, "rows": [row.as_json() for row in section["rows"]]} for name, section in sections.items()
        },
    }


def _interval(row: Row) -> str:
    if not isinstance(row.value, Estimate):
        return ""
    return f"[{number(row.value.low)}, {number(row.value.high)}]"


def _verdict(row: Row) -> str:
    return {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row.met]
