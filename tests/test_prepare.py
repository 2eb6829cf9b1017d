"""What is checked before a run starts, and that --fresh deletes nothing but a run, and only for sound input."""

from pathlib import Path
from typing import Any

import pytest

from search_spaces.sweep import Choice, Fields, Scale, Sweep
from study.plan import Overrides, Plan, make_plan
from study.prepare import Options, prepared_run
from study.records import write_json
from study.samplers import SearchMethod
from study.storage import Storage
from study.sweeps import NamedSweep, load_sweep

pytestmark = pytest.mark.usefixtures("elsewhere")


def old_run(plan: Plan) -> Path:
    """A run with something in it."""
    folder = Path("results") / plan.run
    write_json(Storage.at(folder), "run.json", {"declaration": plan.declaration(), "linear_baseline": {}})
    (folder / "precious").write_text("kept?")
    return folder


def test_fresh_replaces_a_run(tiny_plan: Plan) -> None:
    folder = old_run(tiny_plan)
    with prepared_run(tiny_plan, Options(fresh=True), print):
        pass
    assert (folder / "run.json").exists()
    assert not (folder / "precious").exists()
    assert sorted(path.name for path in folder.parent.iterdir() if "lock" not in path.name) == [tiny_plan.run]


def test_fresh_puts_the_run_back_when_the_input_proves_wrong_later(tiny_plan: Plan) -> None:
    folder = old_run(tiny_plan)
    with pytest.raises(ValueError, match="no such node"), prepared_run(tiny_plan, Options(fresh=True), print):
        raise ValueError("no such node")
    assert (folder / "precious").read_text() == "kept?"


def test_fresh_deletes_no_folder_that_is_no_run(tiny_plan: Plan) -> None:
    folder = Path("results") / tiny_plan.run
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years")
    with (
        pytest.raises(ValueError, match="--fresh deletes runs only"),
        prepared_run(tiny_plan, Options(fresh=True), print),
    ):
        pass
    assert (folder / "thesis.txt").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "reference"])
def test_run_names_stay_in_their_folder(name: str) -> None:
    with pytest.raises(ValueError, match="run name"):
        make_plan(load_sweep("depth_sweep"), overrides=Overrides(run=name))


@pytest.mark.parametrize("method", [SearchMethod(sampler="cmaes"), SearchMethod(scheduler="asha")], ids=str)
def test_several_objectives_refuse_what_knows_only_one(method: SearchMethod) -> None:
    plan = make_plan(load_sweep("joint_search"))
    with (
        pytest.raises(ValueError, match="cannot improve val_accuracy"),
        prepared_run(plan, Options(method=method), print),
    ):
        pass


def checkpoints_of_the_deep(fields: Fields) -> Fields:
    return {"checkpoint_every_epochs": 1} if fields["depth"] > 8 else {}


CHECKPOINTS = {
    "none": (False, {}),
    "given": (True, {"fixed": {"checkpoint_every_epochs": 2}}),
    "searched": (True, {"search": lambda _fields: {"checkpoint_every_epochs": Choice((None, 1))}}),
    "of a later cell": (True, {"next_cells": lambda _results: [{"depth": 14, "recipe": "deep"}]}),
}


@pytest.mark.parametrize(("expected", "declared"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_whoever_may_write_checkpoints_can(expected: bool, declared: dict[str, Any]) -> None:
    """An adaptive sweep begins shallow: that its first cells write none says nothing of those that follow."""
    compare = {"depth": (8,), "recipe": {"deep": checkpoints_of_the_deep}}
    scale = Scale(fixed={"dataset": "digits", "epochs": 1})
    plan = make_plan(NamedSweep("kept", "?", Sweep(compare=compare, scales={"quick": scale}, **declared)))
    if plan.is_adaptive:
        assert plan.next_cells([])[0].fixed["checkpoint_every_epochs"] == 1
    with prepared_run(plan, Options(), print) as prepared:
        assert prepared.has_checkpoints is expected
