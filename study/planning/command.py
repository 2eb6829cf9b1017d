"""The command that asks for a run again, and goes on with it, as its run.json tells it."""

import shlex
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from study.planning.plan import Overrides

DEFAULTS = {"scale": "quick", "seed": Overrides.seed, "sampler": "tpe", "scheduler": "none"}  # of the command line
SETTINGS = {"settings": "--set", "compared_settings": "--compare"}
COUNTS = {"--trials": "trials_per_cell", "--confirm-seeds": "confirm_seeds"}  # said: a sweep's own number may change


def command_of(facts: Mapping[str, Any], run: str, storage: str | None = None) -> str:
    """`python -m study.run ...`.

    Args:
        facts: the content of run.json; what an older run does not know is left out.
        run: the run's name.
        storage: where it lies, unless that is under results/.
    """
    asked: dict[str, Any] = {**facts.get("declaration", {}), **facts}
    where = ("--storage", storage) if storage else ()
    return shlex.join(["python", "-m", "study.run", _sweep(asked), *_options(asked), *_name(asked, run), *where])


def _sweep(asked: Mapping[str, Any]) -> str:
    """Name the sweep as `study.run` takes it: the user's file, which older runs do not name, or a name of ours."""
    name = str(asked.get("sweep", "SWEEP"))
    ours = "." not in name and find_spec(f"search_spaces.{name}") is not None
    return str(asked.get("sweep_file") or (name if ours else f"{name}.py"))


def _options(asked: Mapping[str, Any]) -> Iterator[str]:
    for key, option in SETTINGS.items():
        for name, value in asked.get(key, {}).items():
            yield from (option, f"{name}={value}")
    for name, default in DEFAULTS.items():
        if asked.get(name, default) != default:
            yield from (f"--{name}", str(asked[name]))
    for option, name in COUNTS.items():
        if isinstance(asked.get(name), int):  # else each cell has its declared one
            yield from (option, str(asked[name]))


def _name(asked: Mapping[str, Any], run: str) -> tuple[str, ...]:
    return () if run == f"{asked.get('sweep')}-{asked.get('scale')}" else ("--run", run)
