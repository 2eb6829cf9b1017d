"""The machine: configs, data, training, search, tables and statistics. The questions are in search_spaces.

What most scripts need comes from here: `from study import load_sweep, run_sweep, read_table, depth_curve, answer`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

FACE = {
    "TrialConfig": "study.config",
    "answer": "study.analysis",
    "depth_curve": "study.analysis",
    "load_network": "study.trainer",
    "load_sweep": "study.sweeps",
    "read_table": "study.records",
    "run_sweep": "study.launch",
}
"""Name to the module that has it, which is imported when the name is first asked for (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(FACE[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *FACE]
