"""Cells whose search trials differ from their confirmations, and cells with confirm seeds of their own."""

import dataclasses
import re
from collections import Counter
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from cell_runs import by_learning_rate, row_of, run_all
from rich.console import Console

from search_spaces.sweep import CellResult, Float, Scale
from study.bench.tables import GeneratedRun
from study.config import CONFIRM, SEARCH
from study.dry_run import print_plan
from study.planning.plan import Overrides, Plan, make_plan
from study.report.caveats import caveats_of
from study.report.commands import commands_of
from study.report.costs import cost_section
from study.report.opened_run import OpenedRun, open_run
from study.report.page import provenance_of
from study.search.cells import CellStudies
from study.search.optuna_trials import finished_trials
from study.store.run_file import confirm_seeds, open_run_file, save_run_file
from study.store.storage import Storage
from study.sweeps import NamedSweep

OWN_SEEDS = {"he_l2": 1, "isometric": 3}


def planned(named: NamedSweep, overrides: Overrides | None = None, **declared: object) -> Plan:
    """The tiny sweep, whose trials take three steps, with something else declared."""
    return make_plan(dataclasses.replace(named, sweep=dataclasses.replace(named.sweep, **declared)), "quick", overrides)


def own_seeds(fields: dict) -> int:
    return OWN_SEEDS[fields["recipe"]] if fields["depth"] == 8 else 9


def opened(plan: Plan, folder: Path, rows: list[dict]) -> OpenedRun:
    storage = Storage.at(folder)
    save_run_file(storage, open_run_file(storage, plan))
    missing = {"host": None, "device": None, "commit": None, "finished_at": pd.NaT}
    recipes = {cell.name: cell.compared["recipe"] for cell in plan.cells}
    trials = pd.DataFrame([row | missing | {"recipe": recipes[row["cell"]]} for row in rows])
    return OpenedRun(storage, open_run_file(storage, plan), trials)


def printed(plan: Plan) -> str:
    out = StringIO()
    print_plan(plan, Console(file=out, width=200))
    return out.getvalue()


def lengths(plan: Plan) -> dict[str, tuple[int | None, int | None]]:
    """Phase to the (epochs, steps) of its trials."""
    planned_trials = run_all(CellStudies(plan), by_learning_rate)
    found = {planned.phase: (planned.config.epochs, planned.config.steps) for planned in planned_trials}
    assert all(found[planned.phase] == (planned.config.epochs, planned.config.steps) for planned in planned_trials)
    return found


def test_search_trials_have_their_own_fixed_fields_and_confirmations_not(tiny_sweep: NamedSweep) -> None:
    plan = planned(tiny_sweep, search_fixed={"steps": 2})
    assert lengths(plan) == {SEARCH: (None, 2), CONFIRM: (None, 3)}
    for cell in plan.cells:
        assert cell.cost[CONFIRM] / cell.cost[SEARCH] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("sweeps", "scales", "searched"),
    [
        ({"steps": 2}, {"steps": 1}, (None, 1)),
        ({"steps": 2}, {"epochs": 1}, (1, None)),
        ({"epochs": 2}, {}, (2, None)),
        ({"epochs": 2}, {"steps": 1}, (None, 1)),
    ],
)
def test_the_scale_wins_over_the_sweep_and_one_length_unsets_the_other(
    tiny_sweep: NamedSweep, sweeps: dict, scales: dict, searched: tuple
) -> None:
    scale = dataclasses.replace(tiny_sweep.sweep.scales["quick"], search_fixed=scales)
    assert lengths(planned(tiny_sweep, search_fixed=sweeps, scales={"quick": scale}))[SEARCH] == searched


def test_search_fields_win_over_the_recipe_and_lose_to_set(tiny_sweep: NamedSweep) -> None:
    declared = {"initializer": "orthonormal", "steps": 2}
    both = planned(tiny_sweep, search_fixed=declared)
    assert all(cell.examples[SEARCH].initializer == "orthonormal" for cell in both.cells)
    assert {cell.examples[CONFIRM].initializer for cell in both.cells} == {"he", "delta_orthogonal"}
    forced = planned(tiny_sweep, Overrides(fields={"epochs": "1", "initializer": "he"}), search_fixed=declared)
    assert all(cell.search_fixed == {} for cell in forced.cells)


def test_cells_of_several_lengths_may_all_be_searched_at_one(tiny_sweep: NamedSweep) -> None:
    plan = planned(tiny_sweep, compare={"steps": (2, 8)}, search_fixed={"steps": 2}, scales={"quick": Scale()})
    assert [cell.examples[SEARCH].steps for cell in plan.cells] == [2, 2]
    assert [cell.examples[CONFIRM].steps for cell in plan.cells] == [2, 8]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stepps": 2}, "search_fixed changes the unknown field 'stepps': known are"),
        ({"seed": 2}, "search_fixed changes the unknown field 'seed'"),
        ({"learning_rate": 0.1}, "search_fixed changes learning_rate, which is searched"),
        ({"dataset": "cifar10"}, "search_fixed changes dataset, which must be that of the confirmations"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": 2, "epochs": 1}, "give epochs or steps, one of the two"),
    ],
)
def test_unsound_search_fields_are_refused_with_the_cell(tiny_sweep: NamedSweep, fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"cell depth=8,recipe=he_l2: {re.escape(message)}"):
        planned(tiny_sweep, search_fixed=fields)


def test_bounds_are_checked_in_both_phases(tiny_sweep: NamedSweep) -> None:
    """Momentum may be 0 in the search, without Nesterov's; not in the confirmations."""
    with pytest.raises(ValueError, match="nesterov = True needs momentum above 0"):
        planned(
            tiny_sweep,
            fixed={"batch_size": 256, "nesterov": True},
            search_fixed={"nesterov": False},
            search=lambda _fields: {"momentum": Float(0.0, 0.95)},
        )


def test_search_fields_are_declared_only_where_they_are_given(tiny_sweep: NamedSweep, tiny_plan: Plan) -> None:
    plain = tiny_plan.declaration()["cells"]["depth=8,recipe=he_l2"]
    assert plain.keys() == {"fixed", "search", "known"}
    for given in ({"steps": 2}, {"epochs": None, "steps": 2}):
        declared = planned(tiny_sweep, Overrides(seed=7), search_fixed=given).declaration()
        assert declared["cells"]["depth=8,recipe=he_l2"] == plain | {"search_fixed": {"steps": 2}}
    for idle in ({"steps": 3}, {"checkpoint_every_epochs": 2}):  # changes nothing; no part of what a run declares
        assert planned(tiny_sweep, Overrides(seed=7), search_fixed=idle).declaration() == tiny_plan.declaration()


def test_a_run_that_searched_otherwise_is_refused(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    save_run_file(storage, open_run_file(storage, planned(tiny_sweep, search_fixed={"steps": 2})))
    with pytest.raises(ValueError, match=r"search_fixed.steps: 2 -> 1 \(2 cells\)"):
        open_run_file(storage, planned(tiny_sweep, search_fixed={"steps": 1}))
    with pytest.raises(ValueError, match=r"search_fixed: {'steps': 2} -> None \(2 cells\)"):
        open_run_file(storage, planned(tiny_sweep))


def test_both_lengths_are_said_by_the_dry_run_and_by_the_report(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    plan = planned(tiny_sweep, search_fixed={"epochs": 2})
    assert "Search trials: epochs=2; confirmations: steps=3\n" in printed(plan)
    assert "steps=3" not in printed(plan).split("Search trials:")[0]
    rows = [row_of(planned, *by_learning_rate(planned)) for planned in run_all(CellStudies(plan), by_learning_rate)]
    run = opened(plan, tmp_path, rows)
    assert "Search trials ran with epochs=2, confirmations with steps=3: " in "\n".join(caveats_of(run, run.parts[0]))


def test_seconds_of_searches_and_confirmations_are_not_pooled_where_they_differ(tmp_path: Path) -> None:
    """Searches take 1 s, confirmations 100 s."""
    storage = Storage.at(tmp_path / "generated")
    GeneratedRun(depths=(8,), searches=3, confirms=2).write(storage)
    run = open_run(storage)
    declared = run.facts["declaration"]
    cells = {name: {**cell, "search_fixed": {"steps": 5}} for name, cell in declared["cells"].items()}
    took = run.trials["phase"].map({SEARCH: 1.0, CONFIRM: 100.0})
    trials = run.trials.assign(train_seconds=took, status="ok", device="cpu", val_accuracy=0.9)
    facts = {**run.facts, "declaration": {**declared, "cells": cells}}
    shorter = dataclasses.replace(run, trials=trials, facts=facts)
    blocks = {block.title: block for block in cost_section(shorter, shorter.parts[0], "cost").blocks}
    costs = [dict(zip(blocks["Cost by cell"].columns, row, strict=True)) for row in blocks["Cost by cell"].rows]
    assert {(row["phase"], row["one trial"]) for row in costs} == {
        (SEARCH, "1.0 s [1.0 s, 1.0 s]"),
        (CONFIRM, "100.0 s [100.0 s, 100.0 s]"),
    }
    chart = blocks["Accuracy against cost"].chart
    assert chart is not None
    assert {seconds for trace in chart["data"] for seconds in trace["x"]} == {100.0}


def test_a_cell_has_the_confirm_seeds_that_the_function_gives_it(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    plan = planned(tiny_sweep, confirm_seeds=own_seeds)
    planned_trials = run_all(CellStudies(plan), by_learning_rate)
    confirmed = [planned.compared["recipe"] for planned in planned_trials if planned.phase == CONFIRM]
    assert {recipe: confirmed.count(recipe) for recipe in OWN_SEEDS} == OWN_SEEDS
    assert plan.trial_count == len(planned_trials) == 2 * 2 + 4
    run = opened(plan, tmp_path, [row_of(planned) for planned in planned_trials])
    assert (run.progress, run.finished) == ((8, 8), True)
    assert not dataclasses.replace(run, trials=run.trials.head(7)).finished
    assert dict(provenance_of(run))["confirmed seeds a cell"] == "1 in 1 cell, 3 in 1 cell"
    assert "--confirm-seeds" not in commands_of(run)[-2]
    assert re.findall(r"he_l2 .* 2 +1 *\n.*isometric .* 2 +3 *\n", printed(plan))


def test_the_scales_number_wins_over_the_sweeps_function(tiny_sweep: NamedSweep) -> None:
    scale = dataclasses.replace(tiny_sweep.sweep.scales["quick"], confirm_seeds=4)
    plan = planned(tiny_sweep, confirm_seeds=own_seeds, scales={"quick": scale})
    assert (plan.confirm_seeds, [cell.confirm_seeds for cell in plan.cells]) == (4, [None, None])


def test_a_run_with_seeds_by_cell_is_extended_by_the_option(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    """The function's numbers are declared; the option's is not, and wins in every cell."""
    plan = planned(tiny_sweep, confirm_seeds=own_seeds)
    rows = [row_of(planned, *by_learning_rate(planned)) for planned in run_all(CellStudies(plan), by_learning_rate)]
    run = opened(plan, tmp_path, rows)
    assert [cell["confirm_seeds"] for cell in run.facts["declaration"]["cells"].values()] == [1, 3]
    more = planned(tiny_sweep, Overrides(confirm_seeds=4), confirm_seeds=own_seeds)
    planned_trials = run_all(CellStudies(more, finished_trials(rows, [])), by_learning_rate)
    assert [planned.phase for planned in planned_trials] == [CONFIRM] * 4
    extended = opened(more, tmp_path, rows)
    assert (extended.facts["confirm_seeds"], extended.progress, extended.finished) == (4, (8, 12), False)
    assert opened(plan, tmp_path, rows).finished


def more_for_the_first(results: list[CellResult]) -> list[dict]:
    """A rule that, where both cells have two seeds, wants five of the first."""
    return [{**results[0].compared, "confirm_seeds": 5}] if [*map(seeds_of, results)] == [2, 2] else []


def seeds_of(result: CellResult) -> int:
    return len(result.accuracies)


def test_a_rule_adds_seeds_to_a_cell_and_is_told_of_all_or_none_of_them(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    told: list[list[int]] = []

    def rule(results: list[CellResult]) -> list[dict]:
        told.append([*map(seeds_of, results)])
        return more_for_the_first(results)

    plan = planned(tiny_sweep, confirm_seeds=2, next_cells=rule)
    studies = CellStudies(plan)
    planned_trials = run_all(studies, by_learning_rate)
    first, second = (cell.name for cell in plan.cells)
    confirmed = Counter(planned.cell for planned in planned_trials if planned.phase == CONFIRM)
    assert confirmed == {first: 5, second: 2}
    assert len({planned.trial_id for planned in planned_trials}) == len(planned_trials) == studies.trial_count
    assert {count for counts in told for count in counts} == {2, 5}
    assert confirm_seeds(plan, studies.planned.values(), 2) == {first: 5, second: 2}
    assert confirm_seeds(plan, plan.cells, 2) == 2
    told.clear()
    rows = [row_of(planned, *by_learning_rate(planned)) for planned in planned_trials]
    assert not run_all(CellStudies(plan, finished_trials(rows, [])), by_learning_rate)
    assert {count for counts in told for count in counts} == {2, 5}
    left = run_all(CellStudies(plan, finished_trials(rows[:-1], [])), by_learning_rate)
    assert [planned.trial_id for planned in left] == [planned_trials[-1].trial_id]


def test_another_function_is_another_run(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    save_run_file(storage, open_run_file(storage, planned(tiny_sweep, confirm_seeds=own_seeds)))
    with pytest.raises(ValueError, match=r"confirm_seeds: 1 -> 2"):
        open_run_file(storage, planned(tiny_sweep, confirm_seeds=lambda _fields: 2))


def test_cells_that_an_adaptive_sweep_has_added_keep_their_seeds(tiny_sweep: NamedSweep, tmp_path: Path) -> None:
    plan = planned(tiny_sweep, confirm_seeds=own_seeds, next_cells=lambda _results: [{"depth": 14, "recipe": "he_l2"}])
    storage = Storage.at(tmp_path)
    content = open_run_file(storage, plan)
    content["confirm_seeds"]["depth=14,recipe=he_l2"] = 9
    save_run_file(storage, content)
    assert list(open_run_file(storage, plan)["confirm_seeds"].values()) == [1, 3, 9]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda _fields: 0, "confirm_seeds = 0: give at least 1"),
        (lambda _fields: 2.5, "its confirm_seeds does not work: TypeError"),
        (lambda fields: fields["lr"], "its confirm_seeds does not work: KeyError: 'lr'"),
    ],
)
def test_an_unsound_number_of_seeds_is_refused_with_the_cell(
    tiny_sweep: NamedSweep, rule: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"cell depth=8,recipe=he_l2: {message}"):
        planned(tiny_sweep, confirm_seeds=rule)


def test_a_scale_may_give_the_function(tiny_sweep: NamedSweep) -> None:
    scale = Scale(fixed={"dataset": "digits", "steps": 3}, confirm_seeds=own_seeds)
    assert planned(tiny_sweep, scales={"quick": scale}).trial_count == 8
