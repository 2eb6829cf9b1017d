"""Sweeps that grow while they run: the depth frontier, against nets whose frontier is known."""

from collections.abc import Callable

import pytest

from search_spaces.depth_frontier import RESOLUTION, SHALLOW, buildable, conclusions, frontier, next_depth
from search_spaces.sweep import CellResult
from study.planning.plan import Overrides, Plan, make_plan
from study.search.cells import CellStudies
from study.search.optuna_trials import finished_trials
from study.sweeps import load_sweep

LIMITS = {"he_l2": 30, "isometric_nonlinear": 10_000}


def accuracy(recipe: str, depth: int) -> float:
    return 0.97 if depth <= LIMITS[recipe] else 0.4


def run(plan: Plan, rows: list[dict], score: Callable[[str, int], float] = accuracy) -> tuple[CellStudies, list[dict]]:
    """Run all that is missing, a job at a time, and return all rows."""
    studies = CellStudies(plan, finished_trials(rows, []), baselines={"digits": 0.95})
    rows = list(rows)
    while not studies.finished:
        job = studies.next_job()
        row = {"trial_id": job.trial_id, "cell": job.cell, "phase": job.phase, "status": "ok"}
        row |= {**job.config.model_dump(), "val_accuracy": score(job.compared["recipe"], job.config.depth)}
        studies.tell(job.trial_id, row)
        rows.append(row)
    return studies, rows


@pytest.fixture
def plan() -> Plan:
    return make_plan(load_sweep("depth_frontier"))


def test_the_frontier_is_bracketed_and_the_deepest_reached(plan: Plan) -> None:
    studies, _ = run(plan, [])
    depths = {recipe: [] for recipe in LIMITS}
    for cell in studies.planned.values():
        depths[cell.compared["recipe"]].append(cell.compared["depth"])
    trained = max(depth for depth in depths["he_l2"] if depth <= 30)
    failed = min(depth for depth in depths["he_l2"] if depth > 30)
    assert failed / trained < RESOLUTION or failed - trained == 6
    assert max(depths["isometric_nonlinear"]) == 200


@pytest.mark.parametrize("kept", [0, 3, 7, 12, 20])
def test_a_start_from_rows_grows_the_same_cells_and_repeats_nothing(plan: Plan, kept: int) -> None:
    whole, rows = run(plan, [])
    again, all_rows = run(plan, rows[:kept])
    assert again.planned.keys() == whole.planned.keys()
    assert sorted(row["trial_id"] for row in all_rows) == sorted(row["trial_id"] for row in rows)


def test_a_recipe_that_does_not_beat_the_linear_model_is_not_followed(plan: Plan) -> None:
    studies, _ = run(plan, [], lambda _recipe, _depth: 0.9)
    assert {cell.compared["depth"] for cell in studies.planned.values()} == {SHALLOW}


def test_the_shallowest_depth_is_what_deeper_ones_are_measured_against() -> None:
    plan = make_plan(load_sweep("depth_frontier"), overrides=Overrides(fields={"depth": "44"}))
    studies, _ = run(plan, [])
    depths = sorted(cell.compared["depth"] for cell in studies.planned.values() if "nonlinear" in cell.name)
    assert (depths[0], depths[-1]) == (44, 200)


def test_depths_are_buildable_and_the_search_ends_for_any_frontier() -> None:
    for limit in range(20, 1300, 37):
        results: list[CellResult] = []
        depth: int | None = SHALLOW
        while depth is not None:
            assert depth == buildable(depth)
            result = CellResult({"depth": depth}, {0: 0.97 if depth <= limit else 0.3}, 0.95)
            results.append(result)
            assert len(results) < 20
            depth = next_depth(results, 1202)
        trained, failed = frontier(results)
        assert trained is not None
        assert trained.compared["depth"] <= limit
        assert failed is None or failed.compared["depth"] > limit


def test_the_conclusions_state_the_frontier_of_each_recipe_and_the_rule() -> None:
    nets = {"a": {20: 0.97, 38: 0.96, 68: 0.5}, "b": {20: 0.97, 38: 0.98}, "c": {20: 0.9}}
    results = [
        CellResult({"depth": depth, "recipe": recipe}, {0: accuracy}, 0.95)
        for recipe, depths in nets.items()
        for depth, accuracy in depths.items()
    ]
    *said, rule = conclusions(results)
    assert said == [
        "a trains at 38 layers (0.960) and not at 68 layers (0.500).",
        "b trains at 38 layers (0.980) and was tried no deeper.",
        "c does not train at 20 layers (0.900).",
    ]
    assert "0.02" in rule
