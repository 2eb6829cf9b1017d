"""Plans: ranks of values, overrides, refusals, cost."""

import dataclasses
import importlib
import itertools
import json
import math
import re
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from models.modulation_factors import RULES, STATISTICS, TARGETS
from search_spaces.recipes import he_l2
from search_spaces.sweep import Choice, Float, Scale, Sweep
from study import config
from study.planning.names import check_names
from study.planning.plan import Overrides, make_plan
from study.sweeps import NamedSweep, list_sweeps, load_sweep


def plan_of(tiny_sweep: NamedSweep, **fields: str):
    return make_plan(tiny_sweep, overrides=Overrides(fields=fields))


@pytest.mark.parametrize("named", list_sweeps(), ids=lambda named: named.name)
def test_every_shipped_sweep_has_a_sound_plan_at_every_scale(named: NamedSweep) -> None:
    assert named.question.endswith("?")
    for scale in named.sweep.scales:
        plan = make_plan(named, scale)
        check_names(plan)
        assert len({cell.name for cell in plan.cells}) == len(plan.cells)
        assert json.loads(json.dumps(plan.declaration())) == plan.declaration()


def test_set_on_a_compared_field_replaces_its_values(tiny_sweep: NamedSweep) -> None:
    plan = plan_of(tiny_sweep, depth="14,20", recipe="isometric")
    assert [cell.name for cell in plan.cells] == ["depth=14,recipe=isometric", "depth=20,recipe=isometric"]


def test_set_on_a_searched_field_fixes_it(tiny_sweep: NamedSweep) -> None:
    for cell in plan_of(tiny_sweep, learning_rate="0.05").cells:
        assert cell.fixed["learning_rate"] == 0.05
        assert "learning_rate" not in cell.search


def test_set_wins_over_recipe_over_scale_over_fixed() -> None:
    def one(_fields: dict) -> dict:
        return {"width": 3, "momentum": 0.3}

    sweep = Sweep(
        compare={"recipe": {"one": one}},
        fixed={"width": 1, "momentum": 0.1, "batch_size": 10, "learning_rate": 0.1},
        scales={"quick": Scale(fixed={"width": 2, "momentum": 0.2, "batch_size": 20, "epochs": 1})},
    )
    plan = make_plan(NamedSweep("ranks", "?", sweep), overrides=Overrides(fields={"width": "4"}))
    fixed = plan.cells[0].fixed
    assert (fixed["width"], fixed["momentum"], fixed["batch_size"], fixed["learning_rate"]) == (4, 0.3, 20, 0.1)


def test_a_cell_that_searches_nothing_is_only_confirmed() -> None:
    sweep = Sweep(compare={"depth": (8, 14)}, scales={"quick": Scale(fixed={"epochs": 1})}, confirm_seeds=4)
    assert make_plan(NamedSweep("fixed", "?", sweep)).trial_count == 8


def test_setting_epochs_replaces_the_scales_steps(tiny_sweep: NamedSweep) -> None:
    fixed = plan_of(tiny_sweep, epochs="2").cells[0].fixed
    assert (fixed["epochs"], fixed["steps"]) == (2, None)


def test_the_known_point_is_the_recipes_own(tiny_sweep: NamedSweep) -> None:
    cell = plan_of(tiny_sweep).cells[1]
    assert cell.default_point == {"learning_rate": 0.1, "modulation_band": 1.0625}


def test_deeper_cells_cost_more_in_proportion(tiny_sweep: NamedSweep) -> None:
    shallow, *_, deep = plan_of(tiny_sweep, depth="20,110").cells
    assert deep.cost["confirm"] / shallow.cost["confirm"] == pytest.approx(110 / 20, rel=0.2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depht": "8"}, "unknown field 'depht': known are"),
        ({"depth": "45"}, "the nearest are 44 and 50"),
        ({"depth": "deep"}, "depth = 'deep'"),
        ({"depth": "8,8"}, "none of them twice"),
        ({"recipe": "magic"}, "unknown recipe 'magic': known are he_l2, isometric"),
        ({"dataset": "imagenot"}, "dataset = 'imagenot': no such data set; known are digits"),
        ({"learning_rate": "-1"}, "learning_rate = -1"),
        ({"batch_size": "64.5"}, "batch_size = 64.5"),
        ({"seed": "3"}, "use --seed"),
        ({"batch_size": "100000"}, "digits has 1257 training images"),
    ],
)
def test_bad_overrides_are_refused(tiny_sweep: NamedSweep, fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        plan_of(tiny_sweep, **fields)


@pytest.mark.parametrize("field", ["initializer", "activation", "regularizer", "modulation_schedule"])
def test_names_of_the_models_tables_are_checked(tiny_sweep: NamedSweep, field: str) -> None:
    with pytest.raises(ValueError, match=f"unknown {field} 'nonesuch': known are"):
        check_names(plan_of(tiny_sweep, recipe="he_l2", **{field: "nonesuch"}))


@pytest.mark.parametrize("space", [Float(0.2, 0.3), Choice([0.2, 0.3])], ids=["range", "choice"])
def test_a_known_point_outside_the_space_is_refused(space: Float | Choice) -> None:
    sweep = Sweep(
        compare={"depth": (8,)},
        search=lambda _fields: {"learning_rate": space},
        scales={"quick": Scale(fixed={"epochs": 1})},
    )
    with pytest.raises(ValueError, match=r"cell depth=8: learning_rate = 0\.1 of the recipe is outside"):
        make_plan(NamedSweep("outside", "?", sweep))


def test_a_space_that_leaves_the_fields_range_is_refused() -> None:
    sweep = Sweep(
        compare={"depth": (8,)},
        search=lambda _fields: {"momentum": Float(0.5, 1.5)},
        scales={"quick": Scale(fixed={"epochs": 1})},
    )
    with pytest.raises(ValueError, match=r"momentum = 1\.5"):
        make_plan(NamedSweep("wide", "?", sweep))


def test_seeds_are_paired_over_cells_and_phases_never_share_one(tiny_plan) -> None:
    search = {tiny_plan.search_seed(number) for number in range(100)}
    assert not search & {tiny_plan.confirm_seed(number) for number in range(100)}


def test_a_users_file_is_a_sweep(tmp_path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        '"""Is it mine?"""\n'
        "from search_spaces.sweep import Scale, Sweep\n"
        "sweep = Sweep(compare={'depth': (8,)}, scales={'quick': Scale(fixed={'epochs': 1})})\n"
    )
    named = load_sweep(str(file))
    assert (named.name, named.question, make_plan(named).run) == ("mine", "Is it mine?", "mine-quick")


@pytest.mark.parametrize(
    ("content", "message"), [("x = 1", "declares no sweep"), ("1 / 0", "does not run: ZeroDivisionError")]
)
def test_a_users_file_that_is_no_sweep_is_refused(tmp_path, content: str, message: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_sweep(str(file))


def test_unknown_sweeps_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown sweep 'deep': known are depth_frontier, depth_sweep, ingre"):
        load_sweep("deep")
    with pytest.raises(ValueError, match="no such file"):
        load_sweep("nowhere.py")


def test_imagenet_size_nets_are_planned_and_weighed_by_their_own_layouts(tiny_sweep: NamedSweep) -> None:
    shape = {"network_size": "imagenet", "depth": "18,34", "width": "64", "recipe": "he_l2"}
    shallow, deep = plan_of(tiny_sweep, dataset="imagefolder", **shape).cells
    assert (shallow.fixed["network_size"], shallow.fixed["depth"]) == ("imagenet", 18)
    assert deep.cost["confirm"] / shallow.cost["confirm"] == pytest.approx(2.0, rel=0.05)


def test_runs_of_neighbouring_seeds_share_no_trial_seed(tiny_sweep: NamedSweep) -> None:
    seeds = [
        {draw(number) for draw in (plan.search_seed, plan.confirm_seed) for number in range(1000)}
        for plan in (make_plan(tiny_sweep, overrides=Overrides(seed=seed)) for seed in (0, 1, 2))
    ]
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]


def test_lists_are_compared_and_never_searched() -> None:
    with pytest.warns(UserWarning, match="persistent storage"):  # Optuna knows it, and lets it pass
        drops = Choice(((0.5, 0.75), (0.6, 0.8)))
    sweep = Sweep(
        compare={"depth": (8,)},
        search=lambda _fields: {"learning_rate_drops": drops},
        scales={"quick": Scale(fixed={"epochs": 1})},
    )
    with pytest.raises(ValueError, match="learning_rate_drops is a list and cannot be searched"):
        make_plan(NamedSweep("lists", "?", sweep))


def test_a_sweep_that_fixes_the_seed_is_refused(tiny_sweep: NamedSweep) -> None:
    sweep = dataclasses.replace(tiny_sweep.sweep, fixed={"seed": 3})
    with pytest.raises(ValueError, match="seed cannot be set: use --seed"):
        make_plan(NamedSweep("seeded", "?", sweep))


@pytest.mark.parametrize("objectives", [(), ("parameters", "val_accuracy")])
def test_the_first_objective_picks_the_point_to_confirm(tiny_sweep: NamedSweep, objectives: tuple[str, ...]) -> None:
    sweep = dataclasses.replace(tiny_sweep.sweep, objectives=objectives)
    with pytest.raises(ValueError, match="the first must be val_accuracy"):
        make_plan(NamedSweep("smallest", "?", sweep))


def test_ranges_are_those_of_the_models() -> None:
    for field, names in {"modulation": RULES, "modulation_target": TARGETS, "modulation_statistic": STATISTICS}.items():
        assert set(get_args(config.TrialConfig.model_fields[field].annotation)) == set(names)


@pytest.mark.parametrize("named", list_sweeps(), ids=lambda named: named.name)
def test_every_shipped_sweep_tells_its_finding(named: NamedSweep) -> None:
    text = importlib.import_module(f"search_spaces.{named.name}").__doc__ or ""
    assert re.search(r"Finding \((quick: digits|standard at)", text)
    assert "@@" not in text


UNSOUND = [
    ({"compare": {"depth": 8}}, "depth = 8: compare a tuple of values"),
    ({"compare": {"recipe": [he_l2]}}, r"recipe = \[.*: compare .* of recipes a dict by name"),
    ({"compare": {"recipe": {"r": lambda _: 1 / 0}}}, "cell recipe=r: its recipe does not work: ZeroDivisionError"),
    ({"compare": {"recipe": {"r": lambda _: None}}}, "cell recipe=r: its recipe does not work: TypeError"),
    ({"search": lambda fields: fields["lr"]}, "cell depth=8: its search does not work: KeyError: 'lr'"),
    ({"search": {"learning_rate": Choice((0.1, 0.2))}}, "its search does not work: TypeError: 'dict'"),
    ({"search": lambda _: {"lr": Choice((0.1, 0.2))}}, "cell depth=8: searches the unknown field 'lr'"),
    ({"search": lambda _: {"learning_rate": 0.1}}, "learning_rate is searched as 0.1: give a Float, Int or Choice"),
    ({"search": lambda _: {"dataset": Choice(("digits", "cifar10"))}}, "cell depth=8: dataset is searched"),
    ({"search": lambda _: {"learning_rate": Float(0.1, math.inf)}}, "cell depth=8: .*learning_rate.* give finite"),
    ({"compare": {"depth": itertools.count(8, 6)}}, "more than 10,000 cells: give fewer values of depth"),
    ({"compare": {"width": range(1, 200), "depth": range(8, 2000, 6)}}, "more than 10,000 cells"),
    ({"compare": {"width": (8, "8")}}, "cell width=8: width = '8'"),
    (
        {
            "compare": {
                "recipe": dict.fromkeys(("y", "x,recipe=y"), he_l2),
                "initializer": ("orthogonal", "orthogonal,recipe=x"),
            }
        },
        "2 cells are named initializer=orthogonal,recipe=x,recipe=y",
    ),
    ({"compare": {"depth": (math.nan,)}}, "depth = nan"),
    ({"compare": {"depth": (object(),)}}, "depth = <object"),
    ({"fixed": [("width", 8)]}, r"fixed = \[.*give a dict"),
    ({"scales": {"quick": {"epochs": 1}}}, r"scales: quick = .*give a Scale"),
    ({"scales": {"quick": Scale(published=None)}}, "scale quick: published = None: give a dict"),
    ({"scales": {"quick": Scale(published={"a": "12 %"})}}, "scale quick: published: a = '12 %': give a test error"),
    ({"trials_per_cell": 2.5}, "trials_per_cell = 2.5: give a whole number"),
    ({"trials_per_cell": math.nan}, "trials_per_cell = nan: give a whole number"),
    ({"trials_per_cell": 10**30}, "trials_per_cell = 1000000000000000000000000000000: give at least 1, and at most"),
    ({"trials_per_cell": 0}, "trials_per_cell = 0: give at least 1"),
    ({"confirm_seeds": -1}, "confirm_seeds = -1: give at least 1"),
]


@pytest.mark.parametrize(("declared", "message"), UNSOUND, ids=[message for _, message in UNSOUND])
def test_a_sweep_that_is_not_sound_is_refused_in_a_line(declared: dict, message: str) -> None:
    sweep = Sweep(**{"compare": {"depth": (8,)}, "scales": {"quick": Scale(fixed={"epochs": 1})}, **declared})
    with pytest.raises(ValueError, match=message):
        make_plan(NamedSweep("unsound", "?", sweep))


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")  # Optuna's, of numpy's types
def test_numpys_values_are_taken_as_pythons() -> None:
    """Wherever a sweep may have them; the declaration holds JSON's alone."""
    sweep = Sweep(
        compare={"depth": np.arange(8, 21, 6), "recipe": {"r": lambda fields: {"momentum": np.float32(0.5)}}},
        search=lambda _: {
            "batch_size": Choice((np.int64(32), np.int64(64))),
            "learning_rate": Float(np.float32(0.1), 1),
        },
        fixed={"width": np.int32(8), "batch_size": np.int64(64), "learning_rate": np.float64(0.5)},
        search_fixed={"steps": np.int64(3)},
        scales={"quick": Scale(fixed={"epochs": np.int64(1), "learning_rate_drops": np.array([0.25, 0.5])})},
        trials_per_cell=np.int64(2),
        confirm_seeds=lambda _: np.int64(3),
    )
    plan = make_plan(NamedSweep("arrays", "?", sweep))
    assert [cell.name for cell in plan.cells] == [f"depth={depth},recipe=r" for depth in (8, 14, 20)]
    assert json.loads(json.dumps(plan.declaration())) == plan.declaration()
    cell = plan.cells[0]
    assert (cell.fixed["momentum"], cell.fixed["learning_rate_drops"], plan.trial_count) == (0.5, [0.25, 0.5], 15)
    assert {type(choice) for choice in cell.search["batch_size"].choices} == {int}


@pytest.mark.parametrize(
    ("next_cells", "message"),
    [
        (lambda _results: 1 / 0, "next_cells does not work: ZeroDivisionError"),
        (lambda _results: [{"dataset": "fashion_mnist"}], "unknown dataset of a later cell 'fashion_mnist'"),
        (lambda _results: [{"confirm_seeds": 6.5}], "next_cells: its confirm_seeds does not work: TypeError"),
    ],
    ids=["raises", "another data set", "half a seed"],
)
def test_cells_that_cannot_follow_are_refused_in_a_line(next_cells: Callable, message: str) -> None:
    """Data sets are loaded before Ray starts, those of the first cells."""
    scales = {"quick": Scale(fixed={"epochs": 1})}
    plan = make_plan(NamedSweep("grows", "?", Sweep(compare={"depth": (8,)}, scales=scales, next_cells=next_cells)))
    with pytest.raises(ValueError, match=message):
        plan.next_cells([])
