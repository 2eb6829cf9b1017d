"""A search that is stopped and started again proposes the points that the uninterrupted one would have, one worker."""

import dataclasses
from itertools import product

import pytest
from cell_runs import row_of

from study.planning.plan import Plan
from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies
from study.search.optuna_trials import finished_trials
from study.search.samplers import PRUNERS, SAMPLERS, SearchMethod

EPOCHS = 4
Rows = tuple[list[dict], list[dict]]
METHODS = [SearchMethod(*names) for names in product(SAMPLERS, PRUNERS) if names[0] == "nsga2" or "none" in names]


def accuracy(planned: PlannedTrial) -> float:
    """Best in the middle, and some diverge."""
    return 1.0 - abs(planned.config.learning_rate - 0.0421) - 2 * abs(planned.config.modulation_band - 1.07)


def trained(studies: CellStudies, planned: PlannedTrial) -> tuple[dict, list[dict]]:
    """The rows of a trial, which the pruner may end early."""
    epochs = []
    for epoch in range(1, EPOCHS + 1):
        epochs.append(
            {"trial_id": planned.trial_id, "epoch": epoch, "val_accuracy": accuracy(planned) * epoch / EPOCHS}
        )
        if studies.report(planned.trial_id, epoch, epochs[-1]["val_accuracy"]):
            return row_of(planned, "pruned", None) | {"train_seconds": 1.0}, epochs
    status = "diverged" if planned.number % 5 == 3 else "ok"
    row = row_of(planned, status, accuracy(planned) if status == "ok" else None)
    return row | {"train_seconds": planned.config.learning_rate}, epochs


def searched(plan: Plan, method: SearchMethod, *, every: int = 10**6, earlier: Rows = ((), ())) -> Rows:
    """The rows of a run that is begun anew from what it has after every so many trials."""
    rows, epochs = map(list, earlier)
    studies = CellStudies(plan, finished_trials(rows, epochs), method)
    while not studies.finished:
        if len(rows) % every == 0:
            studies = CellStudies(plan, finished_trials(rows, epochs), method)
        planned = studies.next_trial()
        row, its_epochs = trained(studies, planned)
        studies.tell(planned.trial_id, row)
        rows, epochs = [*rows, row], [*epochs, *its_epochs]
    return rows, epochs


def longer(plan: Plan, sampler: str, **changes: object) -> Plan:
    """One cell that searches two fields, with room for some generations of eight; gp is slow."""
    trials = 6 if sampler == "gp" else 30
    return dataclasses.replace(plan, cells=plan.cells[1:], trials_per_cell=trials, confirm_seeds=1, **changes)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.sampler}-{method.scheduler}")
def test_every_sampler_and_pruner_resumed_is_as_uninterrupted(tiny_plan: Plan, method: SearchMethod) -> None:
    plan = longer(tiny_plan, method.sampler)
    rows, _ = whole = searched(plan, method)
    assert searched(plan, method, every=5) == whole
    if method.sampler != "nsga2":  # a child may have a parent's value
        assert len({row["learning_rate"] for row in rows}) == plan.trials_per_cell
    assert (method.scheduler == "none") == ("pruned" not in {row["status"] for row in rows})


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_so_is_a_search_for_several_objectives(tiny_plan: Plan, sampler: str) -> None:
    plan = longer(tiny_plan, sampler, objectives=("val_accuracy", "train_seconds"))
    assert searched(plan, SearchMethod(sampler), every=7) == searched(plan, SearchMethod(sampler))


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_a_search_that_is_extended_is_as_one_planned_at_full_length(tiny_plan: Plan, sampler: str) -> None:
    method, plan = SearchMethod(sampler), longer(tiny_plan, sampler)
    short = searched(dataclasses.replace(plan, trials_per_cell=12), method)
    extended, whole = searched(plan, method, earlier=short)[0], searched(plan, method)[0]
    assert [row for row in extended if row["phase"] == "search"] == whole[: plan.trials_per_cell]
