"""Find sweeps: the ones shipped in search_spaces and a user's own file. Imports no torch and no Ray."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import search_spaces
from search_spaces.sweep import Sweep
from study.user_file import load_file, one_line

DECLARATION_MODULES = {"sweep", "recipes"}  # what sweeps are written with; no questions of their own


@dataclass(frozen=True)
class NamedSweep:
    """A sweep with its name (the file's) and its question (the first line of the file's docstring).

    Attributes:
        files: what it takes to load a user's own sweep elsewhere, see `study.user_file`; of ours nothing.
    """

    name: str
    question: str
    sweep: Sweep
    files: Mapping[Path, Path] = field(default_factory=dict)


def list_sweeps() -> list[NamedSweep]:
    """All shipped sweeps, by name."""
    names = (module.name for module in pkgutil.iter_modules(search_spaces.__path__))
    return [_shipped(name) for name in sorted(names) if name not in DECLARATION_MODULES]


def load_sweep(name_or_file: str) -> NamedSweep:
    """The shipped sweep of that name, or the one in that Python file.

    Raises:
        ValueError: no such sweep or file, or the file declares none.
    """
    if name_or_file.endswith(".py"):
        return _from_file(Path(name_or_file))
    names = [found.name for found in list_sweeps()]
    if name_or_file not in names:
        raise ValueError(
            f"unknown sweep {name_or_file!r}: known are {', '.join(names)}, or give a file such as my_sweep.py"
        )
    return _shipped(name_or_file)


def answer(function: Callable[[Any], Any], given: Any, kind: Callable[[Any], Any], *, where: str) -> Any:
    """What one of a sweep's own functions answers, as a `kind`: dict or list.

    Raises:
        ValueError: it raises, or answers something else.
    """
    try:
        return kind(function(given))
    except Exception as error:
        raise ValueError(f"{where} does not work: {one_line(error)}") from error


def _shipped(name: str) -> NamedSweep:
    return _named(importlib.import_module(f"search_spaces.{name}"), name, where=f"search_spaces/{name}.py", files={})


def _from_file(file: Path) -> NamedSweep:
    module, files = load_file(file)
    return _named(module, file.stem, where=str(file), files=files)


def _named(module: ModuleType, name: str, *, where: str, files: Mapping[Path, Path]) -> NamedSweep:
    sweep = getattr(module, "sweep", None)
    if not isinstance(sweep, Sweep):
        raise ValueError(f"{where} declares no sweep: it needs `sweep = Sweep(...)`, see search_spaces/depth_sweep.py")
    question = (module.__doc__ or name).strip().splitlines()[0]
    return NamedSweep(name, question, sweep, files)
