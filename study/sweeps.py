"""Find sweeps: the ones shipped in search_spaces and a user's own file. Imports no torch and no Ray."""

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import search_spaces
from search_spaces.sweep import Sweep

DECLARATION_MODULES = {"sweep", "recipes"}  # what sweeps are written with; no questions of their own


@dataclass(frozen=True)
class NamedSweep:
    """A sweep with its name (the file's) and its question (the first line of the file's docstring)."""

    name: str
    question: str
    sweep: Sweep


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


def _shipped(name: str) -> NamedSweep:
    return _named(importlib.import_module(f"search_spaces.{name}"), name, where=f"search_spaces/{name}.py")


def _from_file(file: Path) -> NamedSweep:
    if not file.is_file():
        raise ValueError(f"no sweep file {file}: no such file")
    spec = importlib.util.spec_from_file_location(f"user_sweep_{file.stem}", file)
    assert spec is not None  # it exists for every path that ends in .py, and so does its loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"sweep file {file} does not run: {type(error).__name__}: {error}") from error
    return _named(module, file.stem, where=str(file))


def _named(module: ModuleType, name: str, *, where: str) -> NamedSweep:
    sweep = getattr(module, "sweep", None)
    if not isinstance(sweep, Sweep):
        raise ValueError(f"{where} declares no sweep: it needs `sweep = Sweep(...)`, see search_spaces/depth_sweep.py")
    question = (module.__doc__ or name).strip().splitlines()[0]
    return NamedSweep(name, question, sweep)
