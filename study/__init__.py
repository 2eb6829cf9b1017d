"""The machine: configs, data, training, search, tables and statistics. The questions are in search_spaces.

What most scripts need comes from here: `from study import load_sweep, run_sweep, read_table, curves, answer`.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

FACE = {
    "TrialConfig": "study.config",
    "answer": "study.analysis",
    "curves": "study.records",
    "depth_curve": "study.analysis",
    "load_network": "study.trainer",
    "load_sweep": "study.sweeps",
    "read_table": "study.records",
    "run_sweep": "study.launch",
}
"""Name to the module that has it, which is imported when the name is first asked for (PEP 562)."""


ROOT = Path(__file__).resolve().parent.parent


def _import_own(name: str) -> None:
    """Import the package that lies beside this one, whatever the working directory has of its name.

    Raises:
        ImportError: another package of the name is imported already.
    """
    spec = PathFinder.find_spec(name, [str(ROOT)])
    assert spec is not None
    assert spec.loader is not None
    known = sys.modules.get(name)
    if known is None:
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    elif Path(str(known.__file__)).resolve().parent.parent != ROOT:
        raise ImportError(f"study needs its own package {name!r}, and {known.__file__} is imported: import study first")


for _name in ("models", "search_spaces"):
    _import_own(_name)


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(FACE[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *FACE]
