"""The commands that make a run again, go on with it and open it, as its run.json tells them."""

import shlex
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from study.planning.plan import Overrides
from study.report.opened_run import OpenedRun
from study.search.samplers import SearchMethod

DEFAULTS = {  # of the command line
    **{"scale": "quick", "seed": Overrides.seed},
    **{"sampler": SearchMethod.sampler, "scheduler": SearchMethod.scheduler},
}
SETTINGS = {"settings": "--set", "compared_settings": "--compare"}
COUNTS = {"--trials": "trials_per_cell", "--confirm-seeds": "confirm_seeds"}  # said: a sweep's own number may change


def commands_of(run: OpenedRun) -> list[str]:
    """Where run.json names a commit, one line to get it; one that repeats or continues the run; one that opens it."""
    commit = str(run.facts.get("versions", {}).get("commit", ""))
    checkout = [f"git checkout {commit.removesuffix('-dirty')}"] if commit else []
    command = shlex.join(["python", "-m", "study.run", _sweep(run), *_options(run)])
    name = run.name if run.storage.is_local else shlex.quote(run.storage.location)
    return [*checkout, command, f"python -m study.report {name} --open"]


def _sweep(run: OpenedRun) -> str:
    """Name the sweep as `study.run` takes it: the user's file, which older runs do not name, or a name of ours."""
    name = str(run.facts.get("declaration", {}).get("sweep", "SWEEP"))
    ours = "." not in name and find_spec(f"search_spaces.{name}") is not None
    return str(run.facts.get("sweep_file") or (name if ours else f"{name}.py"))


def _options(run: OpenedRun) -> Iterator[str]:
    facts: dict[str, Any] = {**run.facts.get("declaration", {}), **run.facts}
    yield from _settings(facts)
    for name, default in DEFAULTS.items():
        if facts.get(name, default) != default:
            yield from (f"--{name}", str(facts[name]))
    for option, name in COUNTS.items():
        if isinstance(facts.get(name), int):  # else each cell has its declared one
            yield from (option, str(facts[name]))
    if run.name != f"{facts.get('sweep')}-{facts.get('scale')}":
        yield from ("--run", run.name)
    if not run.storage.is_local:
        yield from ("--storage", run.storage.parent.location)


def _settings(facts: Mapping[str, Any]) -> Iterator[str]:
    for key, option in SETTINGS.items():
        for name, value in facts.get(key, {}).items():
            yield from (option, f"{name}={value}")
