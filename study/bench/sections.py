"""The sections of the bench by name; each one's module is imported only when it is measured."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # these import torch, which --help does not need
    from study.bench.rows import Row
    from study.bench.setting import Setting


@dataclass(frozen=True)
class Section:
    """One table of the bench.

    Attributes:
        title: what it asks.
        on_gpu: whether it is measured on a GPU too.
    """

    title: str
    on_gpu: bool = False


SECTIONS = {  # the name is that of the module in this package
    "steps": Section("What orthonormality and modulation add to a training step", on_gpu=True),
    "loop": Section("An epoch beside the loop that people usually write", on_gpu=True),
    "precision": Section("Whether bf16 costs accuracy"),
    "throughput": Section("Images a second, share of the machine's peak, operator calls, memory", on_gpu=True),
    "machine": Section("What Ray, Optuna and the tables cost a trial"),
    "scaling": Section("How many trial ends a second one driver serves on several nodes"),
    "tables": Section("Readers and report of a large run"),
}


def measure(name: str, setting: "Setting") -> Iterator["Row"]:
    """The rows of a section, as they are measured."""
    module = importlib.import_module(f"study.bench.{name}")
    return cast(Callable[["Setting"], Iterator["Row"]], module.measure)(setting)
