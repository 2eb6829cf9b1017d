"""Properties of study.report.opened_run, study.report.run_list and study.report.caveats: what a run says of itself."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from study.bench.tables import GeneratedRun
from study.planning.plan import Plan
from study.report.caveats import caveats_of
from study.report.opened_run import OpenedRun, open_run
from study.report.run_list import list_runs
from study.search.cells import CellStudies
from study.search.samplers import SearchMethod
from study.store.lock import run_lock
from study.store.storage import Storage, read_json, write_json

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    storage = Storage.at(tmp_path_factory.mktemp("results") / "one")
    GeneratedRun(depths=(8, 44), searches=3, confirms=2).write(storage)
    return open_run(storage)


def warnings(run: OpenedRun, **columns: object) -> str:
    changed = dataclasses.replace(run, trials=run.trials.assign(**columns))
    return "\n".join(caveats_of(changed, changed.parts[0]))


def test_what_a_scale_cannot_show_is_told_with_what_to_distrust(run: OpenedRun) -> None:
    caveat = "Three steps show nothing."
    told = dataclasses.replace(run, facts={**run.facts, "caveat": caveat})
    assert caveat in caveats_of(told, told.parts[0])
    assert caveat not in caveats_of(run, run.parts[0])


def test_facts_of_a_run(run: OpenedRun) -> None:
    assert run.axes == ["depth", "recipe"]
    assert run.knobs == ["learning_rate", "regularizer_strength"]
    assert run.spaces["depth=8,recipe=he_l2"]["learning_rate"]["high"] == 0.3
    assert run.progress == (40, 40)
    assert run.parts[0].contrast == "recipe"
    trials = run.trials.assign(recipe="r", width=[8, 16] * 20)
    widths = dataclasses.replace(run.parts[0], axes=["depth", "recipe", "width"], trials=trials)
    assert widths.contrast == "width"
    assert dataclasses.replace(widths, axes=["depth", "recipe"]).contrast is None
    assert run.finished
    part = run.parts[0]
    assert (part.dataset, part.lines, part.levels["linear baseline"]) == ("digits", ["recipe"], 0.9)


def test_a_run_is_finished_when_nothing_is_missing_but_the_hopeless(run: OpenedRun) -> None:
    assert not dataclasses.replace(run, trials=run.trials.head(39)).finished
    assert not dataclasses.replace(run, trials=run.trials.head(0)).finished
    extended = dataclasses.replace(run, facts={**run.facts, "trials_per_cell": run.facts["trials_per_cell"] + 1})
    assert not extended.finished
    lost = run.trials["cell"] == "depth=44,recipe=orthonormal"
    trials = run.trials[~lost | (run.trials["phase"] == "search")].copy()
    trials["status"] = trials["status"].mask(lost, "out_of_memory")
    assert dataclasses.replace(run, trials=trials).finished


def test_a_run_with_a_failed_trial_is_not_finished(run: OpenedRun) -> None:
    """It is open again at the next start."""
    status = run.trials["status"].where(run.trials.index != 3, "failed")
    broken = dataclasses.replace(run, trials=run.trials.assign(status=status))
    assert (broken.finished, broken.progress) == (False, (39, 40))


@pytest.mark.parametrize("objectives", [("val_accuracy",), ("val_accuracy", "parameters")])
@pytest.mark.parametrize("status", ["ok", "diverged", "pruned", "out_of_memory"])
def test_the_report_calls_a_run_finished_when_its_driver_does(
    tiny_plan: Plan, status: str, objectives: tuple[str, ...]
) -> None:
    """Searches that all end alike: after each trial both say the same, whatever is confirmed after them."""
    plan = dataclasses.replace(tiny_plan, objectives=objectives)
    asked = {"trials_per_cell": plan.trials_per_cell, "confirm_seeds": plan.confirm_seeds}
    facts = {"compared": {cell.name: {} for cell in plan.cells}, "declaration": plan.declaration(), **asked}
    studies, rows = CellStudies(plan, method=SearchMethod(sampler="random")), []
    while (planned := studies.next_trial()) is not None:
        known = {
            "trial_id": planned.trial_id,
            "cell": planned.cell,
            "phase": planned.phase,
            "parameters": 1,
            "num_classes": 10,
        }
        rows.append(known | {"status": status, "val_accuracy": 0.5 if status == "ok" else None})
        studies.tell(planned.trial_id, rows[-1])
        assert OpenedRun(Storage.at("."), facts, pd.DataFrame(rows)).finished == studies.finished
    assert studies.finished


def test_epochs_and_layers_of_a_few_trials(run: OpenedRun) -> None:
    chosen = run.trials["trial_id"].head(2).tolist()
    epochs = run.epochs(chosen, ("epoch", "val_accuracy"))
    assert list(epochs.columns) == ["trial_id", "epoch", "val_accuracy"]
    assert len(epochs) == 6
    assert set(run.layers(chosen, ("layer", "not_there_yet"))["trial_id"]) == set(chosen)


def test_what_to_distrust_is_said(run: OpenedRun) -> None:
    said = warnings(run)
    assert "2 confirmed seeds in some cells: fewer than 5" in said
    assert "3 search trials in some cells" in said
    assert "different commits" not in said
    assert "come from 2 different commits" in warnings(run, commit=["a"] * 20 + ["b"] * 20)
    assert "no commit holds" in warnings(run, commit="a-dirty")
    assert "2 kinds of device" in warnings(run, device=["cpu"] * 20 + ["cuda"] * 20)
    assert "No cell beats logistic regression" in warnings(run, val_accuracy=0.5, status="ok")
    assert "40 pruned" in warnings(run, status="pruned")
    assert "Confirmed ones that diverged count as chance, the others nowhere" in warnings(run, status="failed")
    assert (
        "on 270 images, which all seeds share: for these alone 0.900 is known to \N{PLUS-MINUS SIGN}0.036"
        in warnings(run, dataset="digits", val_accuracy=0.9, status="ok")
    )
    assert "images, which all seeds share" not in warnings(run, dataset="fashion_mnist")
    assert "nearly a linear model" in warnings(run, activation_slope=0.9)
    part = dataclasses.replace(run, trials=run.trials.head(9))
    assert "The run is not finished: 9 of 40 trials" in warnings(part)


def test_a_cell_whose_longer_search_found_a_better_point_is_said(run: OpenedRun) -> None:
    searched = run.trials.index[run.trials["phase"] == "search"]
    point = {"learning_rate": 0.01, "regularizer_strength": 0.01}
    trials = run.trials.assign(**point, val_accuracy=0.9, status="ok")
    assert "found a better point" not in warnings(dataclasses.replace(run, trials=trials))
    trials.loc[searched[0], "learning_rate"] = 0.02  # as good as the confirmed one
    assert "found a better point" not in warnings(dataclasses.replace(run, trials=trials))
    trials.loc[searched[0], "val_accuracy"] = 0.95
    assert "In 1 cell the search, extended later" in warnings(dataclasses.replace(run, trials=trials))


def test_cells_whose_records_are_equal_to_the_last_digit_are_named(run: OpenedRun) -> None:
    trials = run.trials.assign(train_loss=range(len(run.trials)), val_loss=0.5)
    assert "Identical records" not in warnings(dataclasses.replace(run, trials=trials))
    cells = sorted(trials.loc[trials["phase"] == "confirm", "cell"].unique())[:2]
    alike = trials["cell"].isin(cells)
    trials.loc[alike, "train_loss"] = trials.loc[alike, "seed"].astype(float)
    told = warnings(dataclasses.replace(run, trials=trials))
    assert f"Identical records in {'; '.join(cells)}: what differs between these cells does not act." in told


def test_runs_are_listed_with_state_progress_and_best(run: OpenedRun) -> None:
    results = Path(run.storage.root).parent
    (results / "broken").mkdir(exist_ok=True)
    (results / "broken" / "run.json").write_text("{")
    found = list_runs(results).set_index("run")
    assert found.loc["one", "state"] == "finished"
    assert found.loc["one", "trials"] == "40 of 40"
    best = run.trials[run.trials["phase"] == "confirm"].groupby(["depth", "recipe"])["val_accuracy"].mean().max()
    assert found.loc["one", "best"].startswith(f"{best:.3f} depth=8")
    assert found.loc["broken", "state"].startswith("unreadable:")
    assert found.loc["one", "last_written"].endswith(" ago")
    assert list_runs(results / "nothing").empty


def test_a_run_that_is_not_whole_is_running_while_its_driver_is(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "one")
    GeneratedRun(depths=(8,), searches=1, confirms=1).write(storage)
    write_json(storage, "run.json", read_json(storage, "run.json") | {"confirm_seeds": 2})
    assert list_runs(tmp_path)["state"].tolist() == ["stopped"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]
    with run_lock(storage):
        assert list_runs(tmp_path)["state"].tolist() == ["running"]


def test_baselines_are_those_of_what_all_cells_see(run: OpenedRun) -> None:
    part = run.parts[0]
    assert part.levels == {"linear baseline": 0.9, "nearest neighbour": 0.95}
    small = {"digits@4x4": {"validation_accuracy": 0.7, "test_accuracy": 0.7}}
    facts = {**run.facts, "linear_baseline": {**run.facts["linear_baseline"], **small}}
    sized = dataclasses.replace(run, facts=facts, trials=run.trials.assign(image_size=4))
    assert sized.parts[0].levels == {"linear baseline": 0.7}
    assert "differ in the images" not in warnings(run)


def test_where_cells_see_different_images_no_one_baseline_stands_beside_them(run: OpenedRun) -> None:
    sizes = run.trials["depth"].map({8: None, 44: 4})
    mixed = dataclasses.replace(run, trials=run.trials.assign(image_size=sizes))
    assert mixed.parts[0].levels == {}
    assert "Cells differ in the images that they see (digits, digits@4x4)" in warnings(run, image_size=sizes)


def test_a_search_among_sizes_is_held_against_the_whole_set(run: OpenedRun) -> None:
    cells = run.facts["declaration"]["cells"]
    space = {"name": "IntDistribution", "attributes": {"low": 4, "high": 8}}
    searched = {name: {**cell, "search": {**cell["search"], "image_size": space}} for name, cell in cells.items()}
    facts = {**run.facts, "declaration": {**run.facts["declaration"], "cells": searched}}
    trials = run.trials.assign(image_size=[4, 8] * 20)
    (part,) = dataclasses.replace(run, facts=facts, trials=trials).parts
    assert part.levels["linear baseline"] == 0.9


def test_runs_from_before_the_nearest_neighbour_open() -> None:
    (part,) = open_run(REFERENCE / "modulation_sweep-quick").parts
    assert list(part.levels) == ["linear baseline"]
    assert "nearest neighbour" not in part.levels
