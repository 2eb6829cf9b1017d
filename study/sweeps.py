"""Find sweeps: the ones shipped in search_spaces and a user's own file. Imports no torch and no Ray."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import search_spaces
from search_spaces.sweep import Sweep
from study.planning.named_sweep import NamedSweep
from study.planning.user_file import code_of, load_file
from study.terminal import did_you_mean

__all__ = ["NamedSweep", "list_sweeps", "load_sweep"]

DECLARATION_MODULES = {"sweep", "recipes"}  # what sweeps are written with; no questions of their own


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
        near = did_you_mean(name_or_file, names)
        raise ValueError(
            f"unknown sweep {name_or_file!r}: known are {', '.join(names)}, or give a file such as my_sweep.py{near}"
        )
    return _shipped(name_or_file)


def _shipped(name: str) -> NamedSweep:
    return _named(importlib.import_module(f"search_spaces.{name}"), name, where=f"search_spaces/{name}.py", files={})


def _from_file(file: Path) -> NamedSweep:
    module, files = load_file(file)
    return replace(_named(module, file.stem, where=str(file), files=files), file=str(file))


def _named(module: ModuleType, name: str, *, where: str, files: Mapping[Path, Path]) -> NamedSweep:
    sweep = getattr(module, "sweep", None)
    if not isinstance(sweep, Sweep):
        raise ValueError(f"{where} declares no sweep: it needs `sweep = Sweep(...)`, see search_spaces/depth_sweep.py")
    question = ((module.__doc__ or "").strip() or name).splitlines()[0]
    return NamedSweep(name, question, sweep, files, code=code_of(files) if sweep.parts else {})
