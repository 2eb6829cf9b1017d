"""What a measurement says: one row of a section's table, with its target where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from study.bench.timing import Estimate


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
