"""Parts of a user's own: the one place where they join the tables of ours, for as long as a run needs them.

A sweep names them (`search_spaces.sweep.Sweep.parts`). The driver takes them from the sweep itself; workers,
`load_network` and `replay` run the sweep's file again, from the copy that travels, or stays with the run. Nothing is
pickled. What a part must be is checked once, by the driver, in `study.training.part_checks`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from models.initializers import INITIALIZERS
from models.networks import ACTIVATIONS, without_slope
from models.optimizers import OPTIMIZERS
from models.regularizers import REGULARIZERS, LayerPenalty
from models.schedules import SCHEDULES
from search_spaces.sweep import Parts, Sweep
from study.config import refuse_unknown
from study.datasets.table import DATASETS, own_arrays
from study.planning.user_file import Code, load_file

TABLES: dict[str, dict[str, Any]] = {
    "activation": ACTIVATIONS,
    "dataset": DATASETS,
    "initializer": INITIALIZERS,
    "optimizer": OPTIMIZERS,
    "regularizer": REGULARIZERS,
    "schedule": SCHEDULES,
}


class Elementwise(nn.Module):
    """A function of a tensor as an activation."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, features: Tensor) -> Tensor:
        """Apply the function."""
        return self._function(features)


def _activation(name: str, part: Any) -> Any:
    if isinstance(part, type):  # of a module, made for each layer
        return without_slope(name, part)
    return without_slope(name, lambda: Elementwise(part))


def _dataset(_name: str, part: Any) -> Any:
    return own_arrays(part if callable(part) else lambda: part)


def _regularizer(_name: str, part: Any) -> Any:
    return LayerPenalty(*part) if isinstance(part, tuple) and len(part) == 2 else LayerPenalty(part)


def _as_it_stands(_name: str, part: Any) -> Any:
    return part


ENTRIES: dict[str, Callable[[str, Any], Any]] = {
    "activation": _activation,
    "dataset": _dataset,
    "regularizer": _regularizer,
}
"""Kind to what makes an entry of its table; the parts of other kinds are entries as they stand."""


def entries_of(parts: Parts) -> dict[str, dict[str, Any]]:
    """The entries of the tables, by kind and name.

    Raises:
        ValueError: a kind that there is not, or a name that is taken.
    """
    made: dict[str, dict[str, Any]] = {}
    for kind, named in parts.items():
        refuse_unknown("kind of parts", kind, TABLES)
        if not isinstance(named, Mapping):
            raise ValueError(f"parts: {kind} = {named!r}: give a dict of parts by name")
        for name in named:
            if name in TABLES[kind]:
                raise ValueError(f"parts: {kind} {name!r} is one of ours: give it another name")
        entry = ENTRIES.get(kind, _as_it_stands)
        made[kind] = {name: entry(name, part) for name, part in named.items()}
    return made


@contextmanager
def joined(parts: Parts) -> Iterator[None]:
    """Fields take these names, beside ours, while the block runs.

    Raises:
        ValueError: as `entries_of`.
    """
    made = entries_of(parts)
    for kind, entries in made.items():
        TABLES[kind].update(entries)
    try:
        yield
    finally:
        for kind, entries in made.items():
            for name in entries:
                del TABLES[kind][name]


def parts_of(code: Code) -> Parts:
    """The parts of a sweep whose files these are, the sweep's first; none where there are no files.

    Raises:
        ValueError: they do not run here.
    """
    if not code:
        return {}
    with TemporaryDirectory(prefix="study-code-") as folder:
        for place, text in code.items():
            file = Path(folder, place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        module, _ = load_file(Path(folder, next(iter(code))))
    sweep = module.sweep
    assert isinstance(sweep, Sweep), "it was one where it was declared"
    return sweep.parts
