"""A sweep with its name and question, and what its own functions answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.sweep import Scale, Sweep
from study.planning.user_file import Code, one_line


@dataclass(frozen=True)
class NamedSweep:
    """A sweep with its name (the file's) and its question (the first line of the file's docstring).

    Attributes:
        files: what it takes to load a user's own sweep elsewhere, see `study.planning.user_file`; of ours nothing.
        file: the path by which a user gave it; None for ours.
        code: what is in `files`, by place, where the sweep has parts of its own; the sweep's file first.
    """

    name: str
    question: str
    sweep: Sweep
    files: Mapping[Path, Path] = field(default_factory=dict)
    file: str | None = None
    code: Code = field(default_factory=dict)

    @property
    def coded_parts(self) -> dict[str, list[str]]:
        """Kind to names of the own parts that are code, not data: what decides a trial's numbers beside its fields."""
        return {kind: sorted(parts) for kind, parts in self.sweep.parts.items() if kind != "dataset" and parts}


def answer(function: Callable[[Any], Any], given: Any, kind: Callable[[Any], Any], *, where: str) -> Any:
    """What one of a sweep's own functions answers, as a `kind`: dict or list.

    Raises:
        ValueError: it raises, or answers something else.
    """
    try:
        return kind(function(given))
    except Exception as error:
        raise ValueError(f"{where} does not work: {one_line(error)}") from error


MAPPINGS = ("compare", "scales", "fixed", "search_fixed", "published", "remarks", "parts")


def check_types(declared: Sweep | Scale, where: str = "") -> None:
    """ValueError where a part of a sweep or scale is not of its kind."""
    for name in MAPPINGS:
        value = getattr(declared, name, {})
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{where}{name} = {value!r}: give a dict whose keys are names")
    for name, scale in getattr(declared, "scales", {}).items():
        if not isinstance(scale, Scale):
            raise ValueError(f"scales: {name} = {scale!r}: give a Scale(...)")
    for cell, error in getattr(declared, "published", {}).items():
        if not isinstance(error, int | float) or not 0 <= error <= 1:
            raise ValueError(f"{where}published: {cell} = {error!r}: give a test error from 0 to 1")
