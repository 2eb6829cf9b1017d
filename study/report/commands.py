"""The commands that make a run again, go on with it and open it."""

import shlex

from study.planning.command import command_of
from study.report.opened_run import OpenedRun


def commands_of(run: OpenedRun) -> list[str]:
    """Where run.json names a commit, one line to get it; one that repeats or continues the run; one that opens it."""
    commit = str(run.facts.get("versions", {}).get("commit", ""))
    checkout = [f"git checkout {commit.removesuffix('-dirty')}"] if commit else []
    name = run.name if run.storage.is_local else shlex.quote(run.storage.location)
    storage = None if run.storage.is_local else run.storage.parent.location
    return [*checkout, command_of(run.facts, run.name, storage), f"python -m study.report {name} --open"]
