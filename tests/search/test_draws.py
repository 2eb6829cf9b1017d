"""Random draws that cells share: equal over spaces, orders and resumes, even over the first 2^m trials."""

import dataclasses
import itertools
import random

import numpy as np
import optuna
import pytest
from cell_runs import best_in_the_middle, row_of, run_all
from optuna.samplers import RandomSampler
from optuna.trial import create_trial
from scipy import stats

from search_spaces.sweep import Choice, Float, Int
from study.planning.plan import Plan
from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies
from study.search.draws import random_draws, sobol_draws, value_at
from study.search.optuna_trials import finished_trials
from study.search.samplers import SAMPLERS, STARTUP_TRIALS, SearchMethod

TRIALS = 6  # of a cell
DRAWN = dict.fromkeys(("random", "sobol", "nsga2"), TRIALS)  # how many are draws, the known point among them
FIELDS = ("learning_rate", "regularizer_strength", "modulation_band")


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    """Two cells that share one searched field; the second searches another one too."""
    return dataclasses.replace(tiny_plan, trials_per_cell=TRIALS, confirm_seeds=1)


def searched(planned_trials: list[PlannedTrial]) -> dict[tuple[str, int], float]:
    return {
        (planned.cell, planned.number): planned.config.learning_rate
        for planned in planned_trials
        if planned.phase == "search"
    }


def handed_out(studies: CellStudies) -> dict[tuple[str, int], float]:
    """All search trials at once, none of them told of."""
    return searched(list(iter(studies.next_trial, None)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_cells_draw_the_same_points_for_the_field_that_they_share(plan: Plan, sampler: str) -> None:
    rates = searched(run_all(CellStudies(plan, method=SearchMethod(sampler)), best_in_the_middle))
    drawn = range(1, DRAWN.get(sampler, STARTUP_TRIALS))
    first, second = ([rates[cell.name, number] for number in drawn] for cell in plan.cells)
    assert first == second
    assert len(set(first)) == len(drawn)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_depend_neither_on_order_nor_on_other_cells_nor_on_what_has_ended(plan: Plan, sampler: str) -> None:
    """Started all at once, no trial has ended: every one is a draw."""
    method, (first, second) = SearchMethod(sampler), plan.cells
    together = handed_out(CellStudies(plan, method=method))
    turned = handed_out(CellStudies(dataclasses.replace(plan, cells=(second, first)), method=method))
    alone = handed_out(CellStudies(dataclasses.replace(plan, cells=(first,)), method=method))
    assert together == turned
    if sampler != "sobol":  # whose dimensions are the fields of all cells
        assert alone.items() <= together.items()
    assert len({rate for (cell, _), rate in together.items() if cell == first.name}) == TRIALS


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("seed", range(2))
def test_a_resumed_search_draws_what_the_uninterrupted_one_would_have(plan: Plan, sampler: str, seed: int) -> None:
    """Whichever trials are kept, as after a driver's death with several workers."""
    method, drawn = SearchMethod(sampler), DRAWN.get(sampler, STARTUP_TRIALS)
    planned_trials = run_all(CellStudies(plan, method=method), best_in_the_middle)
    kept = random.Random(seed).sample([planned for planned in planned_trials if planned.phase == "search"], 5)
    rows = [row_of(planned, *best_in_the_middle(planned)) for planned in kept]
    again = searched(run_all(CellStudies(plan, finished_trials(rows, []), method), best_in_the_middle))
    before = searched(planned_trials)
    assert {key: rate for key, rate in again.items() if key[1] < drawn}.items() <= before.items()


def test_another_seed_draws_other_points(plan: Plan) -> None:
    one, other = (
        handed_out(CellStudies(dataclasses.replace(plan, seed=seed), method=SearchMethod("random"))) for seed in (0, 1)
    )
    assert sum(one[key] == other[key] for key in one) == len(plan.cells)  # the known points


@pytest.mark.parametrize("doublings", range(1, 6))
def test_the_first_sobol_points_fill_every_interval_of_every_field_once(doublings: int) -> None:
    draw, count = sobol_draws(7, FIELDS), 2**doublings
    for field in (*FIELDS, "momentum"):  # the last is no field that the run searches from its start
        shares = [draw(number, field) for number in range(1, count + 1)]
        assert sorted(int(share * count) for share in shares) == list(range(count))


def test_sobol_points_are_even_over_pairs_of_fields_where_random_ones_are_not() -> None:
    """16 points, one in each square of a 4 x 4 grid."""
    squares = {}
    for kind, draw in {"sobol": sobol_draws(7, FIELDS), "random": random_draws(7)}.items():
        for pair in itertools.combinations(FIELDS, 2):
            points = [tuple(int(draw(number, field) * 4) for field in pair) for number in range(1, 17)]
            squares[kind, pair] = len(set(points))
    assert {count for (kind, _), count in squares.items() if kind == "sobol"} == {16}
    assert all(count < 16 for (kind, _), count in squares.items() if kind == "random")


def test_random_draws_are_uniform_and_independent_between_fields_and_trials() -> None:
    draw, numbers = random_draws(3), range(1, 1001)
    one, other = (np.array([draw(number, field) for number in numbers]) for field in FIELDS[:2])
    assert stats.kstest(one, "uniform").pvalue > 0.01
    for a, b in ((one, other), (one[:-1], one[1:])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


SPACES = [
    *(Float(0.2, 0.9), Float(1e-4, 1.0, log=True), Float(0.0, 1.0, step=0.25), Float(0.5, 0.5)),
    *(Int(3, 9), Int(3, 9, step=2), Int(1, 100, log=True), Choice(("a", "b", None))),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_values_are_distributed_as_optunas_random_sampler_draws_them(space: object) -> None:
    study, sampler = optuna.create_study(), RandomSampler(seed=0)
    trial = create_trial(state=optuna.trial.TrialState.WAITING)
    theirs = [space.to_internal_repr(sampler.sample_independent(study, trial, "x", space)) for _ in range(2000)]
    ours = [space.to_internal_repr(value_at(space, (k + 0.5) / 2000)) for k in range(2000)]
    assert stats.ks_2samp(theirs, ours).statistic < 0.05
    for share in (0.0, 0.3, 1.0 - 2**-53):
        value = value_at(space, share)
        assert space._contains(space.to_internal_repr(value))
        assert isinstance(value, int) == (isinstance(space, Int))
