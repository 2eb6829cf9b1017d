"""What a run still has to do, and what Optuna is told. No Ray here."""

import dataclasses
import heapq
import itertools

import optuna
import pytest

from study.config import TrialConfig, parse_config
from study.planning.plan import Overrides, Plan, make_plan
from study.search.cells import CellStudies, Job
from study.search.optuna_trials import WORST_ACCURACY, finished_trials
from study.search.samplers import SAMPLERS, SearchMethod

ROW = ("trial_id", "cell", "phase")


def run_all(studies: CellStudies, score) -> list[Job]:
    """One job after another, each ended at once."""
    jobs = []
    while not studies.finished:
        job = studies.next_job()
        jobs.append(job)
        studies.tell(job.trial_id, row_of(job, *score(job)))
    return jobs


def row_of(job: Job, status: str = "ok", val_accuracy: float | None = 0.5) -> dict:
    known = {name: getattr(job, name) for name in ROW}
    return {**job.config.model_dump(), **known, "status": status, "val_accuracy": val_accuracy, "num_classes": 4}


def config_of(row: dict) -> dict:
    return {name: row[name] for name in TrialConfig.model_fields}


def by_learning_rate(job: Job) -> tuple[str, float]:
    return "ok", job.config.learning_rate


def best_in_the_middle(job: Job) -> tuple[str, float]:
    return "ok", 1.0 - abs(job.config.learning_rate - 0.0421)


def test_every_job_is_handed_out_once_and_the_count_is_as_planned(tiny_plan: Plan) -> None:
    jobs = run_all(CellStudies(tiny_plan), by_learning_rate)
    assert len(jobs) == tiny_plan.trial_count == len({job.trial_id for job in jobs})


def test_each_cell_begins_with_the_recipes_known_point(tiny_plan: Plan) -> None:
    jobs = run_all(CellStudies(tiny_plan), by_learning_rate)
    for cell in tiny_plan.cells:
        first = next(job for job in jobs if job.cell == cell.name)
        assert {name: getattr(first.config, name) for name in cell.search} == cell.known


def test_the_best_point_is_confirmed_on_seeds_that_all_cells_share(tiny_plan: Plan) -> None:
    jobs = run_all(CellStudies(tiny_plan), by_learning_rate)
    seeds = {cell.name: [] for cell in tiny_plan.cells}
    for cell, group in itertools.groupby(sorted(jobs, key=lambda job: job.cell), key=lambda job: job.cell):
        trials = list(group)
        best = max(job.config.learning_rate for job in trials if job.phase == "search")
        confirmed = [job for job in trials if job.phase == "confirm"]
        assert {job.config.learning_rate for job in confirmed} == {best}
        seeds[cell] = [job.config.seed for job in confirmed]
    assert len({tuple(values) for values in seeds.values()}) == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trial_that_had_begun_is_handed_out_again_as_it_was(tiny_plan: Plan, sampler: str) -> None:
    """Search trials: after a restart a sampler would draw another point, and its checkpoint would be of no use."""
    plan, method = dataclasses.replace(tiny_plan, trials_per_cell=4), SearchMethod(sampler=sampler)
    first = CellStudies(plan, method=method)
    before = {job.trial_id: job.config for job in iter(first.next_job, None)}
    ended = [
        row_of(Job(trial_id, cell_of(trial_id), "search", 0, {}, before[trial_id])) for trial_id in list(before)[:3]
    ]
    begun = {trial_id: before[trial_id] for trial_id in list(before)[3:7]}
    again = CellStudies(plan, finished_trials(ended, []), method, begun=begun)
    after = {job.trial_id: job.config for job in iter(again.next_job, None)}
    assert {trial_id: after[trial_id] for trial_id in begun} == begun


def cell_of(trial_id: str) -> str:
    return trial_id.split(":")[1]


def test_confirmations_wait_for_the_search(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan)
    handed_out = list(iter(studies.next_job, None))
    assert {job.phase for job in handed_out} == {"search"}
    assert studies.running == len(handed_out) == 4
    for job in handed_out:
        studies.tell(job.trial_id, {"status": "ok", "val_accuracy": 0.5})
    assert studies.next_job().phase == "confirm"


def test_a_diverged_trial_scores_worst_and_a_failed_one_tells_nothing(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan)
    first, second = studies.next_job(), studies.next_job()
    studies.tell(first.trial_id, {"status": "diverged", "val_accuracy": None})
    studies.tell(second.trial_id, {"status": "failed", "val_accuracy": None})
    trials = [trial for cell in studies._cells.values() for trial in cell._study.trials]
    assert {trial.state.name: trial.value for trial in trials} == {"COMPLETE": WORST_ACCURACY, "FAIL": None}


def test_a_cell_whose_search_only_failed_is_not_confirmed(tiny_plan: Plan) -> None:
    jobs = run_all(CellStudies(tiny_plan), lambda job: ("failed", None))
    assert {job.phase for job in jobs} == {"search"}


def test_where_all_diverge_alike_the_known_point_is_confirmed(tiny_plan: Plan) -> None:
    jobs = run_all(CellStudies(tiny_plan), lambda job: ("diverged", None))
    cell = tiny_plan.cells[0]
    confirmed = [job for job in jobs if job.cell == cell.name and job.phase == "confirm"]
    assert {job.config.learning_rate for job in confirmed} == {cell.known["learning_rate"]}


@pytest.mark.parametrize("finished", range(9))
def test_a_start_from_rows_runs_what_is_missing_and_nothing_else(tiny_plan: Plan, finished: int) -> None:
    rows = [row_of(job, *by_learning_rate(job)) for job in run_all(CellStudies(tiny_plan), by_learning_rate)]
    studies = CellStudies(tiny_plan, finished_trials(rows[:finished], []))
    again = run_all(studies, by_learning_rate)
    assert {job.trial_id for job in again} == {row["trial_id"] for row in rows[finished:]}
    for cell in studies._cells.values():
        states = [trial.state for trial in cell._study.trials]
        assert states == [optuna.trial.TrialState.COMPLETE] * tiny_plan.trials_per_cell


@pytest.mark.parametrize("finished", range(1, 6))
def test_a_sequence_goes_on_where_it_was(tiny_plan: Plan, finished: int) -> None:
    """Of points that come from a sequence a start from rows leaves none out and repeats none."""
    plan = dataclasses.replace(tiny_plan, cells=tiny_plan.cells[:1], trials_per_cell=6)
    method = SearchMethod("sobol")
    rows = [row_of(job, *by_learning_rate(job)) for job in run_all(CellStudies(plan, method=method), by_learning_rate)]
    again = run_all(CellStudies(plan, finished_trials(rows[:finished], []), method), by_learning_rate)
    assert [job.config for job in again] == [parse_config(config_of(row), where="row") for row in rows[finished:]]


def test_a_lost_confirmation_counts_as_chance_among_the_classes_that_there_are(tiny_plan: Plan) -> None:
    plan = dataclasses.replace(tiny_plan, cells=tiny_plan.cells[:1])
    studies, told = CellStudies(plan), []
    studies._plan = dataclasses.replace(plan, next_cells=lambda results: told.extend(results) or ())
    while not studies.finished:
        job = studies.next_job()
        studies.tell(job.trial_id, row_of(job, "diverged", None))
    assert dict(told[-1].accuracies) == {0: 0.25, 1: 0.25}


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_a_confirmation_that_failed_for_the_environments_reasons_counts_nowhere(tiny_plan: Plan, status: str) -> None:
    plan = dataclasses.replace(tiny_plan, cells=tiny_plan.cells[:1])
    studies, told = CellStudies(plan), []
    studies._plan = dataclasses.replace(plan, next_cells=lambda results: told.extend(results) or ())
    while not studies.finished:
        job = studies.next_job()
        lost = job.trial_id.endswith("confirm:0")
        row = row_of(job, status, None) | {"num_classes": None} if lost else row_of(job)
        studies.tell(job.trial_id, row)
    assert dict(told[-1].accuracies) == {1: 0.5}


def test_more_trials_extend_a_finished_run(tiny_sweep, tiny_plan: Plan) -> None:
    rows = [row_of(job) for job in run_all(CellStudies(tiny_plan), by_learning_rate)]
    more = make_plan(tiny_sweep, overrides=Overrides(seed=7, trials_per_cell=3))
    jobs = run_all(CellStudies(more, finished_trials(rows, [])), by_learning_rate)
    assert [(job.phase, job.number) for job in jobs] == [("search", 2)] * 2


def test_later_confirmations_are_of_the_point_that_the_earlier_ones_confirmed(tiny_plan: Plan) -> None:
    rows = [row_of(job, *by_learning_rate(job)) for job in run_all(CellStudies(tiny_plan), by_learning_rate)]
    jobs = run_all(
        CellStudies(dataclasses.replace(tiny_plan, trials_per_cell=6, confirm_seeds=3), finished_trials(rows, [])),
        by_learning_rate,
    )
    for cell in tiny_plan.cells:
        points = [row["learning_rate"] for row in rows if row["cell"] == cell.name and row["phase"] == "confirm"]
        points += [job.config.learning_rate for job in jobs if job.cell == cell.name and job.phase == "confirm"]
        assert len(points) == 3
        assert len(set(points)) == 1


def test_pruned_trials_are_told_with_all_their_values_and_restored_alike(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan, method=SearchMethod(scheduler="median"))
    job = studies.next_job()
    assert not studies.report(job.trial_id, 1, 0.3)
    studies.report(job.trial_id, 2, 0.2)
    studies.tell(job.trial_id, {"status": "pruned", "val_accuracy": None})
    epochs = [
        {"trial_id": job.trial_id, "epoch": epoch, "val_accuracy": value} for epoch, value in ((1, 0.3), (2, 0.2))
    ]
    again = CellStudies(tiny_plan, finished_trials([row_of(job, "pruned", None)], epochs))
    for told in (studies, again):
        (trial,) = told._cells[job.cell]._study.trials
        assert trial.state.name == "PRUNED"
        assert trial.intermediate_values == {1: 0.3, 2: 0.2}


def test_the_pruner_stops_what_is_worse_than_its_own_cells_median(tiny_plan: Plan) -> None:
    plan = dataclasses.replace(tiny_plan, trials_per_cell=8, confirm_seeds=0)
    studies, stopped = CellStudies(plan, method=SearchMethod(scheduler="median")), []
    while not studies.finished:
        job = studies.next_job()
        level = 0.1 if job.number == 7 else 0.5 if "isometric" in job.cell else 0.05
        if any(studies.report(job.trial_id, epoch, level) for epoch in (1, 2, 3)):
            stopped.append(job.trial_id)
        studies.tell(job.trial_id, {"status": "pruned" if job.trial_id in stopped else "ok", "val_accuracy": level})
    assert stopped == ["tiny-quick:depth=8,recipe=isometric:search:7"]


def test_a_trial_that_began_again_may_report_its_epochs_again(tiny_plan: Plan) -> None:
    studies = CellStudies(tiny_plan)
    job = studies.next_job()
    for epoch in (1, 2, 1, 2, 3):
        assert not studies.report(job.trial_id, epoch, 0.5)


def test_confirmations_are_never_stopped(tiny_plan: Plan) -> None:
    studies = CellStudies(dataclasses.replace(tiny_plan, trials_per_cell=0), method=SearchMethod(scheduler="asha"))
    job = studies.next_job()
    assert job.phase == "confirm"
    assert not any(studies.report(job.trial_id, epoch, 0.0) for epoch in range(1, 50))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_runs_and_goes_on_from_rows_without_repeating_points(tiny_plan: Plan, sampler: str) -> None:
    plan, method = dataclasses.replace(tiny_plan, trials_per_cell=8, confirm_seeds=1), SearchMethod(sampler=sampler)
    rows = [
        row_of(job, *best_in_the_middle(job)) for job in run_all(CellStudies(plan, method=method), best_in_the_middle)
    ]
    kept = [row for row in rows if int(row["trial_id"][-1]) < 5]
    jobs = run_all(CellStudies(plan, finished_trials(kept, []), method), best_in_the_middle)
    assert len(kept) + len(jobs) == len(rows)
    for cell in plan.cells:
        rates = [row["learning_rate"] for row in kept if row["cell"] == cell.name and row["phase"] == "search"]
        rates += [job.config.learning_rate for job in jobs if job.cell == cell.name and job.phase == "search"]
        assert len(set(rates)) == 8


def test_confirm_only_searches_no_further(tiny_plan: Plan) -> None:
    rows = [row_of(job, *by_learning_rate(job)) for job in run_all(CellStudies(tiny_plan), by_learning_rate)]
    first = [row for row in rows if row["trial_id"].endswith("search:0")]
    jobs = run_all(
        CellStudies(tiny_plan, finished_trials(first, []), SearchMethod(confirm_only=True)), by_learning_rate
    )
    assert [job.phase for job in jobs] == ["confirm"] * 4


def test_the_same_seed_asks_for_the_same_points(tiny_plan: Plan) -> None:
    first, second = (run_all(CellStudies(tiny_plan), by_learning_rate) for _ in range(2))
    assert [job.config for job in first] == [job.config for job in second]


def test_slots_stay_busy_to_the_end(tiny_sweep) -> None:
    """A simulated run on two workers, a job's time its cost: idle time is less than one job of the largest cell."""
    plan = make_plan(tiny_sweep, overrides=Overrides(fields={"depth": "8,20,44,110"}))
    cost = {cell.name: cell.cost["search"] for cell in plan.cells}
    studies, running, now, busy = CellStudies(plan), [], 0.0, 0.0
    while not studies.finished:
        job = studies.next_job() if len(running) < 2 else None
        if job is not None:
            heapq.heappush(running, (now + cost[job.cell], job.trial_id))
            busy += cost[job.cell]
            continue
        now, trial_id = heapq.heappop(running)
        studies.tell(trial_id, {"status": "ok", "val_accuracy": 0.5})
    assert 2 * now - busy < max(cost.values())
