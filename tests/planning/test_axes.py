"""Axes: what a run compares, from the sweep, `--set`, `--compare` and Python."""

from pathlib import Path

import pytest

from study.launch import run_sweep
from study.planning.plan import Overrides, make_plan
from study.run import main
from study.sweeps import NamedSweep, load_sweep


def test_a_field_that_the_sweep_does_not_compare_becomes_an_axis(tiny_sweep: NamedSweep) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(compare={"width": "8,16"}, fields={"recipe": "he_l2"}))
    assert [cell.compared for cell in plan.cells] == [{"depth": 8, "width": w, "recipe": "he_l2"} for w in (8, 16)]
    assert [cell.fixed["width"] for cell in plan.cells] == [8, 16]


def test_a_searched_field_that_is_compared_is_not_searched(tiny_sweep: NamedSweep) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(compare={"learning_rate": ".1,.02"}))
    assert {cell.fixed["learning_rate"] for cell in plan.cells} == {0.1, 0.02}
    assert not any("learning_rate" in cell.search for cell in plan.cells)


def test_lengths_may_be_compared_where_the_sweep_fixes_the_other_measure(tiny_sweep: NamedSweep) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(compare={"epochs": "1,2"}))
    assert {(cell.fixed["epochs"], cell.fixed["steps"]) for cell in plan.cells} == {(1, None), (2, None)}


def test_null_is_a_value_of_an_axis(tiny_sweep: NamedSweep) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(compare={"gradient_clip": "None,0.5"}))
    assert {cell.fixed["gradient_clip"] for cell in plan.cells} == {None, 0.5}


def test_set_says_that_the_field_is_compared(tiny_sweep: NamedSweep) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(fields={"depth": "14"}))
    assert plan.notes == ("depth is compared here: --set depth=14 replaces its values 8.",)
    assert make_plan(tiny_sweep, overrides=Overrides(fields={"width": "8"})).notes == ()


def test_cells_that_are_equal_are_pointed_out() -> None:
    fields = {"depth": "8", "recipe": "he_l2,residual", "architecture": "plain"}
    *_, note = make_plan(load_sweep("depth_sweep"), overrides=Overrides(fields=fields)).notes
    assert note.endswith("depth=8,recipe=he_l2; depth=8,recipe=residual.")


@pytest.mark.parametrize(
    "fields", [{"activation": "leaky_relu"}, {"activation": "leaky_relu", "activation_slope": "0"}]
)
def test_a_leaky_relu_without_a_slope_is_refused_for_it_is_relu(fields: dict[str, str]) -> None:
    """`joint_search` searches slopes from 0 on, and may: there 0 is one end of a range."""
    with pytest.raises(ValueError, match="recipe=he_l2: activation=leaky_relu with activation_slope = 0 is relu"):
        make_plan(load_sweep("depth_sweep"), overrides=Overrides(fields=fields))
    make_plan(load_sweep("depth_sweep"), overrides=Overrides(fields=fields | {"activation_slope": "0.3"}))
    make_plan(load_sweep("joint_search"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "width=8,16"], "--compare width=8,16 compares this one too"),
        (["--set", "width=8", "--compare", "width=8,16"], "width is given by --set and by --compare"),
        (["--compare", "width=8", "--compare", "width=16"], "--compare names a field twice"),
        (["--compare", "widht=8,16"], "did you mean width?"),
        (["--compare", "width=8,8"], "none of them twice"),
        (["--compare", "width=0,8"], "width = 0"),
        (["--compare", "steps=5,6", "--set", "epochs=1"], "steps is compared: epochs, the other measure of length"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["depth_sweep", "--dry-run", *options]) == 2
    assert told in capsys.readouterr().err


def test_a_rule_that_chooses_cells_takes_no_further_axis() -> None:
    with pytest.raises(ValueError, match="chooses its cells by a rule"):
        make_plan(load_sweep("depth_frontier"), overrides=Overrides(compare={"width": "8,16"}))


def test_an_argument_that_there_is_not_is_refused_as_python_does(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"unexpected argument 'worker'; did you mean workers\?"):
        run_sweep("depth_sweep", worker=2, storage=str(tmp_path))
    with pytest.raises(ValueError, match="unknown sweep 'depth_swep'"):
        run_sweep("depth_swep")
    with pytest.raises(ValueError, match="width = 0"):
        run_sweep("depth_sweep", compare={"width": [0, 8]}, storage=str(tmp_path))
