"""How things are measured, what a measurement says and how it is shown. No torch until a GPU's clock is read."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    import torch

WARM_ROUNDS = 2  # not counted: the first calls choose kernels and fetch memory
TWO_SIDED_95 = 1.96  # standard deviations of a normal variable
CAPTION = "Medians; in brackets the 95 % interval of the median (of the mean where it says so)."


@dataclass(frozen=True)
class Setting:
    """What every section is given.

    Attributes:
        quick: few rounds instead of many.
        device: where nets are trained; sections without nets ignore it.
        say: takes a line of progress.
    """

    quick: bool
    device: "torch.device"
    say: Callable[[str], None]

    def rounds(self, quick: int, thorough: int) -> int:
        """The number of rounds that applies."""
        return quick if self.quick else thorough

    @property
    def on_cpu(self) -> bool:
        """Whether the targets, which are stated for one CPU thread, apply."""
        return self.device.type == "cpu"


@dataclass(frozen=True)
class Estimate:
    """A median with a 95 % interval, and the number of samples behind it."""

    median: float
    low: float
    high: float
    samples: int


def estimate(samples: Sequence[float]) -> Estimate:
    """The median and its distribution-free interval.

    The interval's ends are order statistics: as many samples lie below the true median as heads fall among n tosses.
    Below 6 samples it is the whole range, and covers less than 95 %.
    """
    ordered = sorted(samples)
    n = len(ordered)
    rank = max(0, math.floor((n - TWO_SIDED_95 * math.sqrt(n)) / 2))
    return Estimate(statistics.median(ordered), ordered[rank], ordered[n - 1 - rank], n)


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """The ratio of two subjects, each round compared with itself."""
    return estimate([above / below for above, below in zip(numerator, denominator, strict=True)])


def interleave(
    subjects: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float],
    warm_rounds: int = WARM_ROUNDS,
) -> dict[str, list[float]]:
    """Seconds that each subject took in each round; the order turns round with every round."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    order = list(subjects)
    for number in range(warm_rounds + rounds):
        for name in order:
            started = clock()
            subjects[name]()
            elapsed = clock() - started
            if number >= warm_rounds:
                seconds[name].append(elapsed)
        order.reverse()
    return seconds


def clock_for(device: "torch.device") -> Callable[[], float]:
    """What to time work on a device with.

    Processor time on a CPU: on one thread it is the wall clock of an idle machine, and other processes do not add to
    it (they still share its caches). On a GPU the wall clock once all work is done.
    """
    return _synchronized if device.type == "cuda" else time.process_time


def _synchronized() -> float:
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


@dataclass(frozen=True)
class Target:
    """A bound that a value is to keep.

    Attributes:
        bound: in the unit of the value.
        at_most: whether the value may not exceed it; else it may not fall below it.
    """

    bound: float
    at_most: bool = True

    def met(self, value: float) -> bool:
        """Whether the value keeps the bound."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    Attributes:
        what: in words.
        value: the estimate, or a single reading.
        unit: of the value; "" for a plain number.
        target: what the median is held against.
        parts: what the value is made of: part to its share in [0, 1].
    """

    what: str
    value: Estimate | float
    unit: str = ""
    target: Target | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The value itself, or the median of the estimate."""
        return self.value.median if isinstance(self.value, Estimate) else self.value

    @property
    def met(self) -> bool | None:
        """Whether the target is kept; None where there is none."""
        return None if self.target is None else self.target.met(self.median)

    def as_json(self) -> dict[str, Any]:
        """JSON values only; `low` and `high` are null for a single reading."""
        estimate = self.value if isinstance(self.value, Estimate) else None
        return {
            "what": self.what,
            "median": self.median,
            "low": estimate and estimate.low,
            "high": estimate and estimate.high,
            "samples": estimate.samples if estimate else 1,
            "unit": self.unit,
            "target": None if self.target is None else str(self.target),
            "met": self.met,
            "parts": dict(self.parts),
        }


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
    """Say in one line how many targets are met, and which are not."""
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
