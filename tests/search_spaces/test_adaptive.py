"""Sweeps that grow while they run: the depth frontier, against nets whose frontier is known."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from search_spaces.depth_frontier import (
    FALSE_VERDICT,
    LOOKS,
    MAX_NETS,
    RESOLUTION,
    SHALLOW,
    TOLERANCE,
    Verdict,
    bracket,
    buildable,
    by_recipe,
    conclusions,
    frontier,
    judged_seeds,
    next_cells,
    next_depth,
    verdict,
)
from search_spaces.sweep import CellResult
from study.planning.plan import Overrides, Plan, make_plan
from study.search.cells import CellStudies
from study.search.optuna_trials import finished_trials
from study.sweeps import load_sweep

LIMITS = {"he_l2": 30, "isometric_nonlinear": 10_000}


def accuracy(recipe: str, depth: int, _seed: int) -> float:
    return 0.97 if depth <= LIMITS[recipe] else 0.4


def run(
    plan: Plan, rows: list[dict], score: Callable[[str, int, int], float] = accuracy
) -> tuple[CellStudies, list[dict]]:
    """Run all that is missing, a trial at a time, and return all rows."""
    studies = CellStudies(plan, finished_trials(rows, []), baselines={"digits": 0.95})
    rows = list(rows)
    while not studies.finished:
        planned = studies.next_trial()
        row = {"trial_id": planned.trial_id, "cell": planned.cell, "phase": planned.phase, "status": "ok"}
        row |= {
            **planned.config.model_dump(),
            "val_accuracy": score(planned.compared["recipe"], planned.config.depth, planned.number),
        }
        studies.tell(planned.trial_id, row)
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


def noisy(recipe: str, depth: int, seed: int) -> float:
    """Falls slowly with depth and varies over seeds, so that more of them are wanted."""
    noise = np.random.default_rng((depth, seed)).normal(0.0, 0.01)
    return 0.98 - 0.00015 * depth * (2 if recipe == "he_l2" else 1) + noise


@pytest.mark.parametrize("score", [accuracy, noisy])
@pytest.mark.parametrize("kept", [0, 3, 7, 12, 20, 29, 37, 50, 61])
def test_a_start_from_rows_grows_the_same_cells_and_repeats_nothing(
    plan: Plan, kept: int, score: Callable[[str, int, int], float]
) -> None:
    whole, rows = run(plan, [], score)
    again, all_rows = run(plan, rows[:kept], score)
    assert again.planned.keys() == whole.planned.keys()
    assert sorted(row["trial_id"] for row in all_rows) == sorted(row["trial_id"] for row in rows)


def test_a_recipe_that_does_not_beat_the_linear_model_is_not_followed(plan: Plan) -> None:
    studies, _ = run(plan, [], lambda _recipe, _depth, _seed: 0.9)
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
            results.append(net(depth, [0.97 if depth <= limit else 0.3]))
            assert len(results) <= MAX_NETS
            results.sort(key=lambda result: result.compared["depth"])
            depth = next_depth(results, 1202)
        trained, failed = bracket(results)
        assert trained is not None
        assert trained.compared["depth"] <= limit
        assert failed is None or failed.compared["depth"] > limit


def net(depth: int, accuracies: list[float], recipe: str = "a", baseline: float = 0.95) -> CellResult:
    return CellResult({"depth": depth, "recipe": recipe}, dict(enumerate(accuracies)), baseline)


def test_a_net_is_judged_by_intervals_and_not_by_means() -> None:
    shallow = net(20, [0.97, 0.98, 0.975] * 4)
    barely = net(38, [0.956, 0.963, 0.958, 0.961])  # .016 behind in the mean, which passed until now
    assert verdict(barely, shallow) is Verdict.UNDECIDED
    assert verdict(net(38, [0.969, 0.981, 0.973] * 4), shallow) is Verdict.IN
    assert verdict(net(38, [0.5, 0.55, 0.52] * 4), shallow) is Verdict.OUT
    assert verdict(net(38, [0.97, 0.98, 0.975] * 4, baseline=0.974), shallow) is Verdict.UNDECIDED
    assert verdict(net(38, [0.97, 0.98, 0.975] * 4, baseline=0.99), shallow) is Verdict.OUT


def test_a_net_whose_seeds_all_failed_is_undecided_and_ends_nothing() -> None:
    nets = [net(20, [0.98] * 3), net(38, [])]
    assert verdict(nets[1], nets[0]) is Verdict.UNDECIDED
    assert next_cells(nets, deepest=200) == [{"depth": 26, "recipe": "a"}]
    assert "undecided at 38 layers (all seeds failed)" in conclusions(nets)[0]


@pytest.mark.parametrize(("seeds", "judged"), [(1, 1), (2, 2), (3, 3), (5, 3), (6, 6), (11, 6), (12, 12), (20, 12)])
def test_nets_are_looked_at_with_whole_looks_alone(seeds: int, judged: int) -> None:
    """A seed more would be a look more, and the error is split over three."""
    assert list(judged_seeds(net(38, [0.9] * seeds), net(20, [0.9] * 20))) == list(range(judged))


def test_seeds_are_added_near_the_bracket_alone_and_only_while_they_may_decide() -> None:
    accuracies = {20: 0.98, 38: 0.975, 68: 0.972, 122: 0.98, 140: 0.963, 158: 0.93, 200: 0.7}

    def score(_recipe: str, depth: int, seed: int) -> float:
        return accuracies.get(depth, 0.7) + 0.003 * ((seed * 7 + depth) % 5 - 2)

    plan = make_plan(load_sweep("depth_frontier"), overrides=Overrides(fields={"recipe": "isometric_nonlinear"}))
    studies, rows = run(plan, [], score)
    seeds = Counter(row["depth"] for row in rows)
    assert all(seeds[depth] in LOOKS for depth in seeds)
    assert seeds[20] == max(seeds.values()) > 3
    assert seeds[38] == seeds[68] == 3
    assert studies.trial_count == len(rows)
    (sentence, _) = conclusions(studies._results())
    assert "trains at 140 layers (0.962, 12 seeds) and does not train at 158 layers (0.930, 6 seeds)" in sentence


def grown(draw: Callable[[int, int], float], baseline: float = 0.0) -> list[CellResult]:
    """All nets of one recipe, from the rule alone: `draw` answers an accuracy to depth and seed."""
    seeds = {SHALLOW: 3}
    nets: dict[int, CellResult] = {}
    while True:
        for depth, count in seeds.items():
            known = nets[depth].accuracies if depth in nets else {}
            added = {seed: draw(depth, seed) for seed in range(len(known), count)}
            nets[depth] = CellResult({"depth": depth, "recipe": "a"}, {**known, **added}, baseline)
        before = dict(seeds)
        for point in next_cells(list(nets.values()), 200):
            seeds[point["depth"]] = max(seeds.get(point["depth"], 3), point.get("confirm_seeds", 3))
        if seeds == before:
            return by_recipe(list(nets.values()))["a"]


def false_verdict(nets: list[CellResult], loss: Callable[[int], float]) -> bool:
    """Whether the frontier names a net that in truth loses too much, or one that does not as failing."""
    found = frontier(nets)
    return (found.trained is not None and loss(found.trained.compared["depth"]) > TOLERANCE) or (
        found.failed is not None and loss(found.failed.compared["depth"]) < TOLERANCE
    )


LOSSES: dict[str, Callable[[int], float]] = {
    "0.7 points, at every depth": lambda depth: 0.007 * (depth > SHALLOW),
    "just too much, at every depth": lambda depth: 0.022 * (depth > SHALLOW),
    "just not too much, at every depth": lambda depth: 0.018 * (depth > SHALLOW),
    "more with depth": lambda depth: 0.02 * (depth - SHALLOW) / 120.0,
}


@pytest.mark.parametrize("images", [None, 270], ids=["exact", "rounded"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_frontier_is_false_in_fewer_than_five_in_a_hundred_runs(
    loss: Callable[[int], float], images: int | None
) -> None:
    """Simulated with 600 runs each, seeds' standard deviation .007: 0 to .2 %, exact or rounded to 270 images.

    In this order by the means of three seeds: 1, 60, 45 and 53 %. A run of the first takes 38 trainings and leaves nets
    undecided in 35 %; near the tolerance it takes 71 to 95 and nearly always does. With a standard deviation of .002,
    .003 and .02 it is 0, 0 and .8 %. What no interval sees: where one seed in ten diverges, 80 % name a net as training
    of whose seeds too few did.
    """
    runs, false = 100, 0
    for run_seed in range(runs):
        noise = np.random.default_rng(run_seed).normal(0.0, 0.007, (210, LOOKS[-1]))

        def draw(depth: int, seed: int, noise: np.ndarray = noise) -> float:
            accuracy = 0.975 - loss(depth) + noise[depth, seed]
            return accuracy if images is None else round(accuracy * images) / images

        false += false_verdict(grown(draw), loss)
    assert false / runs <= FALSE_VERDICT


def test_the_conclusions_state_the_frontier_of_each_recipe_and_the_rule() -> None:
    nets = {
        "a": {20: [0.97] * 3, 38: [0.968] * 3, 68: [0.5] * 3},
        "b": {20: [0.97] * 3, 38: [0.98] * 3},
        "c": {20: [0.9] * 3},
        "d": {20: [0.97] * 3, 38: [0.95, 0.96, 0.94], 44: [0.95, 0.96, 0.93], 68: [0.5] * 3},
        "e": {20: [0.951]},
    }
    *said, rule = conclusions([net(depth, scores, recipe) for recipe in nets for depth, scores in nets[recipe].items()])
    assert said == [
        "a trains at 38 layers (0.968, 3 seeds) and does not train at 68 layers (0.500, 3 seeds).",
        "b trains at 38 layers (0.980, 3 seeds) and was tried no deeper.",
        "c does not train at 20 layers (0.900, 3 seeds).",
        "d trains at 20 layers (0.970, 3 seeds), is undecided from 38 layers (0.950, 3 seeds) to 44 layers (0.947, "
        "3 seeds) and does not train at 68 layers (0.500, 3 seeds).",
        "e is undecided at 20 layers (0.951, 1 seed).",
    ]
    assert "0.02" in rule
    assert "5%" in rule
