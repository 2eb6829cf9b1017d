"""What a run still has to do, and what Optuna is told. No Ray here."""

import dataclasses
import heapq
import itertools

import optuna
import pytest
from cell_runs import by_learning_rate, row_of, run_all

from study.planning.plan import Overrides, Plan, make_plan
from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies
from study.search.optuna_trials import WORST_ACCURACY, finished_trials
from study.search.samplers import SAMPLERS, SearchMethod


def test_every_job_is_handed_out_once_and_the_count_is_as_planned(tiny_plan: Plan) -> None:
    planned_trials = run_all(CellStudies(tiny_plan), by_learning_rate)
    assert len(planned_trials) == tiny_plan.trial_count == len({planned.trial_id for planned in planned_trials})


def test_each_cell_begins_with_the_recipes_known_point(tiny_plan: Plan) -> None:
    planned_trials = run_all(CellStudies(tiny_plan), by_learning_rate)
    for cell in tiny_plan.cells:
        first = next(planned for planned in planned_trials if planned.cell == cell.name)
        assert {name: getattr(first.config, name) for name in cell.search} == cell.default_point


def test_the_best_point_is_confirmed_on_seeds_that_all_cells_share(tiny_plan: Plan) -> None:
    planned_trials = run_all(CellStudies(tiny_plan), by_learning_rate)
    seeds = {cell.name: [] for cell in tiny_plan.cells}
    for cell, group in itertools.groupby(
        sorted(planned_trials, key=lambda planned: planned.cell), key=lambda planned: planned.cell
    ):
        trials = list(group)
        best = max(planned.config.learning_rate for planned in trials if planned.phase == "search")
        confirmed = [planned for planned in trials if planned.phase == "confirm"]
        assert {planned.config.learning_rate for planned in confirmed} == {best}
        seeds[cell] = [planned.config.seed for planned in confirmed]
    assert len({tuple(values) for values in seeds.values()}) == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trial_that_had_begun_is_handed_out_again_as_it_was(tiny_plan: Plan, sampler: str) -> None:
    """Search trials: after a restart a sampler would draw another point, and its checkpoint would be of no use."""
    plan, method = dataclasses.replace(tiny_plan, trials_per_cell=4), SearchMethod(sampler=sampler)
    first = CellStudies(plan, method=method)
    before = {planned.trial_id: planned.config for planned in iter(first.next_trial, None)}
    ended = [
        row_of(PlannedTrial(trial_id, cell_of(trial_id), "search", 0, {}, before[trial_id]))
        for trial_id in list(before)[:3]
    ]
    begun = {trial_id: before[trial_id] for trial_id in list(before)[3:7]}
    again = CellStudies(plan, finished_trials(ended, []), method, begun=begun)
    after = {planned.trial_id: planned.config for planned in iter(again.next_trial, None)}
    assert {trial_id: after[trial_id] for trial_id in begun} == begun


def cell_of(trial_id: str) -> str:
    return trial_id.split(":")[1]


def test_confirmations_wait_for_the_search(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan)
    handed_out = list(iter(studies.next_trial, None))
    assert {planned.phase for planned in handed_out} == {"search"}
    assert studies.running == len(handed_out) == 4
    for planned in handed_out:
        studies.tell(planned.trial_id, {"status": "ok", "val_accuracy": 0.5})
    assert studies.next_trial().phase == "confirm"


def test_a_diverged_trial_scores_worst_and_a_failed_one_tells_nothing(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan)
    first, second = studies.next_trial(), studies.next_trial()
    studies.tell(first.trial_id, {"status": "diverged", "val_accuracy": None})
    studies.tell(second.trial_id, {"status": "failed", "val_accuracy": None})
    trials = [trial for cell in studies._cells.values() for trial in cell._study.trials]
    assert {trial.state.name: trial.value for trial in trials} == {"COMPLETE": WORST_ACCURACY, "FAIL": None}


def test_a_cell_whose_search_only_failed_is_not_confirmed(tiny_plan: Plan) -> None:
    planned_trials = run_all(CellStudies(tiny_plan), lambda planned: ("failed", None))
    assert {planned.phase for planned in planned_trials} == {"search"}


def test_where_all_diverge_alike_the_known_point_is_confirmed(tiny_plan: Plan) -> None:
    planned_trials = run_all(CellStudies(tiny_plan), lambda planned: ("diverged", None))
    cell = tiny_plan.cells[0]
    confirmed = [planned for planned in planned_trials if planned.cell == cell.name and planned.phase == "confirm"]
    assert {planned.config.learning_rate for planned in confirmed} == {cell.default_point["learning_rate"]}


@pytest.mark.parametrize("finished", range(9))
def test_a_start_from_rows_runs_what_is_missing_and_nothing_else(tiny_plan: Plan, finished: int) -> None:
    rows = [
        row_of(planned, *by_learning_rate(planned)) for planned in run_all(CellStudies(tiny_plan), by_learning_rate)
    ]
    studies = CellStudies(tiny_plan, finished_trials(rows[:finished], []))
    again = run_all(studies, by_learning_rate)
    assert {planned.trial_id for planned in again} == {row["trial_id"] for row in rows[finished:]}
    for cell in studies._cells.values():
        states = [trial.state for trial in cell._study.trials]
        assert states == [optuna.trial.TrialState.COMPLETE] * tiny_plan.trials_per_cell


def test_a_lost_confirmation_counts_as_chance_among_the_classes_that_there_are(tiny_plan: Plan) -> None:
    plan = dataclasses.replace(tiny_plan, cells=tiny_plan.cells[:1])
    studies, told = CellStudies(plan), []
    studies._plan = dataclasses.replace(plan, next_cells=lambda results: told.extend(results) or ())
    while not studies.finished:
        planned = studies.next_trial()
        studies.tell(planned.trial_id, row_of(planned, "diverged", None))
    assert dict(told[-1].accuracies) == {0: 0.25, 1: 0.25}


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_an_adaptive_sweep_is_not_told_of_a_cell_that_lost_a_seed_to_the_environment(
    tiny_plan: Plan, status: str
) -> None:
    plan = dataclasses.replace(tiny_plan, cells=tiny_plan.cells[:1])
    studies, told = CellStudies(plan), []
    studies._plan = dataclasses.replace(plan, next_cells=lambda results: told.extend(results) or ())
    run_all(
        studies, lambda planned: (status, None) if (planned.phase, planned.number) == ("confirm", 0) else ("ok", 0.5)
    )
    assert told == []
    assert dict(studies._cells[plan.cells[0].name].result(0.1).accuracies) == {1: 0.5}


def test_more_trials_extend_a_finished_run(tiny_sweep, tiny_plan: Plan) -> None:
    rows = [row_of(planned) for planned in run_all(CellStudies(tiny_plan), by_learning_rate)]
    more = make_plan(tiny_sweep, overrides=Overrides(seed=7, trials_per_cell=3))
    planned_trials = run_all(CellStudies(more, finished_trials(rows, [])), by_learning_rate)
    assert [(planned.phase, planned.number) for planned in planned_trials] == [("search", 2)] * 2


def test_later_confirmations_are_of_the_point_that_the_earlier_ones_confirmed(tiny_plan: Plan) -> None:
    rows = [
        row_of(planned, *by_learning_rate(planned)) for planned in run_all(CellStudies(tiny_plan), by_learning_rate)
    ]
    planned_trials = run_all(
        CellStudies(dataclasses.replace(tiny_plan, trials_per_cell=6, confirm_seeds=3), finished_trials(rows, [])),
        by_learning_rate,
    )
    for cell in tiny_plan.cells:
        points = [row["learning_rate"] for row in rows if row["cell"] == cell.name and row["phase"] == "confirm"]
        points += [
            planned.config.learning_rate
            for planned in planned_trials
            if planned.cell == cell.name and planned.phase == "confirm"
        ]
        assert len(points) == 3
        assert len(set(points)) == 1


def test_pruned_trials_are_told_with_all_their_values_and_restored_alike(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan, method=SearchMethod(scheduler="median"))
    planned = studies.next_trial()
    assert not studies.report(planned.trial_id, 1, 0.3)
    studies.report(planned.trial_id, 2, 0.2)
    studies.tell(planned.trial_id, {"status": "pruned", "val_accuracy": None})
    epochs = [
        {"trial_id": planned.trial_id, "epoch": epoch, "val_accuracy": value} for epoch, value in ((1, 0.3), (2, 0.2))
    ]
    again = CellStudies(tiny_plan, finished_trials([row_of(planned, "pruned", None)], epochs))
    for told in (studies, again):
        (trial,) = told._cells[planned.cell]._study.trials
        assert trial.state.name == "PRUNED"
        assert trial.intermediate_values == {1: 0.3, 2: 0.2}


def test_the_pruner_stops_what_is_worse_than_its_own_cells_median(tiny_plan: Plan) -> None:
    plan = dataclasses.replace(tiny_plan, trials_per_cell=8, confirm_seeds=0)
    studies, stopped = CellStudies(plan, method=SearchMethod(scheduler="median")), []
    while not studies.finished:
        planned = studies.next_trial()
        level = 0.1 if planned.number == 7 else 0.5 if "isometric" in planned.cell else 0.05
        if any(studies.report(planned.trial_id, epoch, level) for epoch in (1, 2, 3)):
            stopped.append(planned.trial_id)
        studies.tell(
            planned.trial_id, {"status": "pruned" if planned.trial_id in stopped else "ok", "val_accuracy": level}
        )
    assert stopped == ["tiny-quick:depth=8,recipe=isometric:search:7"]


def test_a_trial_that_began_again_may_report_its_epochs_again(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan)
    planned = studies.next_trial()
    for epoch in (1, 2, 1, 2, 3):
        assert not studies.report(planned.trial_id, epoch, 0.5)


def test_confirmations_are_never_stopped(tiny_plan: Plan) -> None:
    studies = CellStudies(dataclasses.replace(tiny_plan, trials_per_cell=0), method=SearchMethod(scheduler="asha"))
    planned = studies.next_trial()
    assert planned.phase == "confirm"
    assert not any(studies.report(planned.trial_id, epoch, 0.0) for epoch in range(1, 50))


def test_confirm_only_searches_no_further(tiny_plan: Plan) -> None:
    rows = [
        row_of(planned, *by_learning_rate(planned)) for planned in run_all(CellStudies(tiny_plan), by_learning_rate)
    ]
    first = [row for row in rows if row["trial_id"].endswith("search:0")]
    planned_trials = run_all(
        CellStudies(tiny_plan, finished_trials(first, []), SearchMethod(confirm_only=True)), by_learning_rate
    )
    assert [planned.phase for planned in planned_trials] == ["confirm"] * 4


def test_the_same_seed_asks_for_the_same_points(tiny_plan: Plan) -> None:
    first, second = (run_all(CellStudies(tiny_plan), by_learning_rate) for _ in range(2))
    assert [planned.config for planned in first] == [planned.config for planned in second]


def test_slots_stay_busy_to_the_end(tiny_sweep) -> None:
    """A simulated run on two workers, a trial's time its cost: idle time is less than one trial of the largest cell."""
    plan = make_plan(tiny_sweep, overrides=Overrides(fields={"depth": "8,20,44,110"}))
    cost = {cell.name: cell.cost["search"] for cell in plan.cells}
    studies, running, now, busy = CellStudies(plan), [], 0.0, 0.0
    while not studies.finished:
        planned = studies.next_trial() if len(running) < 2 else None
        if planned is not None:
            heapq.heappush(running, (now + cost[planned.cell], planned.trial_id))
            busy += cost[planned.cell]
            continue
        now, trial_id = heapq.heappop(running)
        studies.tell(trial_id, {"status": "ok", "val_accuracy": 0.5})
    assert 2 * now - busy < max(cost.values())
