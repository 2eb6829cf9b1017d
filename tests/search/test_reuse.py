"""What a run takes over from another one: what it would have planned itself, and nothing else."""

import dataclasses
from pathlib import Path

import pytest
from cell_runs import by_learning_rate, row_of, run_all

from search_spaces.sweep import Fields, Float, Space
from study.config import CONFIRM, SEARCH
from study.options import Options
from study.planning.plan import Overrides, Plan, make_plan
from study.prepare import prepared_run
from study.records import TableWriter, read_arrow
from study.search.cells import CellStudies
from study.search.reuse import check_source, reusable
from study.store.run_file import open_run_file, save_run_file
from study.store.storage import Storage, read_json
from study.store.weights import Weights, read_weights, write_weights
from study.sweeps import NamedSweep


def finished(plan: Plan) -> list[dict]:
    """The rows of a whole run."""
    rows = [row_of(planned, *by_learning_rate(planned)) for planned in run_all(CellStudies(plan), by_learning_rate)]
    hashes = [planned.config.config_hash for planned in run_all(CellStudies(plan), by_learning_rate)]
    return [{**row, "config_hash": config_hash} for row, config_hash in zip(rows, hashes, strict=True)]


def plan_of(tiny_sweep: NamedSweep, **changes: object) -> Plan:
    return make_plan(tiny_sweep, overrides=Overrides(**{"seed": 7, "run": "new", **changes}))


def taken(rows: list[dict], plan: Plan) -> dict[str, list[int]]:
    """Phase and cell to the numbers of the trials that are taken over."""
    found: dict[str, list[int]] = {}
    for _, row in reusable(rows, plan):
        found.setdefault(f"{row['phase']} {row['cell']}", []).append(int(row["trial_id"].rpartition(":")[2]))
    return found


def test_a_run_that_asks_the_same_takes_over_all(tiny_sweep: NamedSweep, tiny_plan: Plan) -> None:
    rows, plan = finished(tiny_plan), plan_of(tiny_sweep)
    pairs = list(reusable(rows, plan))
    assert [old["trial_id"] for old, _ in pairs] != [new["trial_id"] for _, new in pairs]
    assert {new["trial_id"].split(":")[0] for _, new in pairs} == {"new"}
    assert sum(map(len, taken(rows, plan).values())) == len(rows) == 8


def test_a_further_depth_leaves_the_known_one_as_it_was(tiny_sweep: NamedSweep, tiny_plan: Plan) -> None:
    plan = plan_of(tiny_sweep, fields={"depth": "8,14"})
    assert len(plan.cells) == 4
    assert len(list(reusable(finished(tiny_plan), plan))) == 8


def test_an_axis_that_is_new_leaves_the_cells_at_its_old_value(tiny_sweep: NamedSweep, tiny_plan: Plan) -> None:
    found = taken(finished(tiny_plan), plan_of(tiny_sweep, compare={"width": "16,8"}))
    assert {name.split(",")[1] for name in found} == {"width=16"}
    assert sum(map(len, found.values())) == 8


@pytest.mark.parametrize("changes", [{"fields": {"width": "8"}}, {"fields": {"steps": "4"}}, {"seed": 8}])
def test_another_field_length_or_seed_takes_over_nothing(
    tiny_sweep: NamedSweep, tiny_plan: Plan, changes: dict
) -> None:
    assert taken(finished(tiny_plan), plan_of(tiny_sweep, **changes)) == {}


def test_only_values_inside_the_new_box_are_taken_and_then_no_confirmation(
    tiny_sweep: NamedSweep, tiny_plan: Plan
) -> None:
    """The second trial's drawn rate lies outside, so the best point is not known yet."""
    rows = finished(tiny_plan)
    drawn = {row["learning_rate"] for row in rows if row["phase"] == SEARCH and row["trial_id"].endswith(":1")}
    low = max(drawn) * 1.01

    def narrow(fields: Fields) -> Space:
        return tiny_sweep.sweep.search(fields) | {"learning_rate": Float(low, 0.3, log=True)}

    narrowed = dataclasses.replace(tiny_sweep, sweep=dataclasses.replace(tiny_sweep.sweep, search=narrow))
    found = taken(rows, plan_of(narrowed))
    assert found == {f"search {cell.name}": [0] for cell in tiny_plan.cells}


def test_a_longer_search_takes_the_search_alone(tiny_sweep: NamedSweep, tiny_plan: Plan) -> None:
    found = taken(finished(tiny_plan), plan_of(tiny_sweep, trials_per_cell=3))
    assert found == {f"search {cell.name}": [0, 1] for cell in tiny_plan.cells}


def test_a_shorter_one_confirms_anew_where_its_best_is_another(tiny_sweep: NamedSweep, tiny_plan: Plan) -> None:
    """Where the first of two trials was the best, its confirmations stand."""
    rows = finished(tiny_plan)
    best_first = {row["cell"] for row in rows if row["phase"] == CONFIRM and row["learning_rate"] == 0.1}
    found = taken(rows, plan_of(tiny_sweep, trials_per_cell=1))
    assert {name.removeprefix("confirm ") for name in found if name.startswith("confirm")} == best_first
    assert all(numbers == [0] for name, numbers in found.items() if name.startswith("search"))


@pytest.mark.parametrize("status", ["failed", "out_of_memory", "pruned"])
def test_what_is_no_result_of_the_method_is_trained_anew(tiny_sweep: NamedSweep, tiny_plan: Plan, status: str) -> None:
    assert taken([{**row, "status": status} for row in finished(tiny_plan)], plan_of(tiny_sweep)) == {}


def old_run(plan: Plan, rows: list[dict], data: dict) -> Storage:
    """A finished run on disk, with epochs, layers and the weights of its confirmations."""
    storage = Storage.at("results").sub(plan.run)
    save_run_file(storage, open_run_file(storage, plan, data))
    for row in rows:
        of_trial = {"trial_id": row["trial_id"], "epoch": 1}
        TableWriter(storage, "layers", {}).append([{**of_trial, "layer": 0}])
        TableWriter(storage, "epochs", {}).append([{**of_trial, "val_accuracy": 0.5}])
        if row["phase"] == CONFIRM:
            config = plan.cells[0].examples[CONFIRM]
            write_weights(storage, row["trial_id"], Weights(row["trial_id"], config, 1, 10, {}).to_bytes())
    TableWriter(storage, "trials", {}).append(rows)
    return storage


def test_the_next_start_goes_on_from_what_was_taken(tiny_sweep: NamedSweep, tiny_plan: Plan, elsewhere: Path) -> None:
    with prepared_run(plan_of(tiny_sweep, run="empty"), Options(), print) as empty:
        data = {name: images.fingerprint for name, images in empty.data.items()}
    old_run(tiny_plan, finished(tiny_plan), data)
    plan, said = plan_of(tiny_sweep, fields={"depth": "8,14"}), []
    for _ in range(2):  # a second start takes nothing twice
        with prepared_run(plan, Options(reuse=tiny_plan.run), said.append) as prepared:
            left = {name: count for name, count in prepared.studies.trials_left.items() if count}
        assert left == {cell.name: 4 for cell in plan.cells if "depth=14" in cell.name}
    assert [line for line in said if "taken" in line] == [f"{n} trials of tiny-quick taken over." for n in (8, 0)]
    new = Storage.at("results").sub("new")
    ids = set(read_arrow(new, "trials")["trial_id"].to_pylist())
    assert len(ids) == 8
    for table in ("epochs", "layers"):
        assert set(read_arrow(new, table)["trial_id"].to_pylist()) == ids
    for trial_id in ids:
        if ":confirm:" in trial_id:
            assert read_weights(new, trial_id).trial_id == trial_id


def test_a_run_on_other_data_and_the_run_itself_are_refused(
    tiny_sweep: NamedSweep, tiny_plan: Plan, elsewhere: Path
) -> None:
    storage = old_run(tiny_plan, finished(tiny_plan), {"digits": {"train": "another"}})
    with (
        pytest.raises(ValueError, match="--reuse tiny-quick: it was made on other digits data"),
        prepared_run(plan_of(tiny_sweep), Options(reuse="tiny-quick"), print),
    ):
        pass
    save_run_file(storage, {**read_json(storage, "run.json"), "data": {}})
    with (
        pytest.raises(ValueError, match="names this run itself"),
        prepared_run(tiny_plan, Options(reuse="tiny-quick"), print),
    ):
        pass
    with (
        pytest.raises(ValueError, match="no run nowhere"),
        prepared_run(plan_of(tiny_sweep), Options(reuse="nowhere"), print),
    ):
        pass


def test_a_run_whose_own_parts_are_other_code_is_refused(tiny_plan: Plan) -> None:
    """A field that names a part says nothing of what the part does."""
    file, parts = "my_sweep.py", {"regularizer": ["mine"]}
    plans = [dataclasses.replace(tiny_plan, code={file: f"x = {n}"}, coded_parts=parts) for n in (1, 2)]
    theirs = {"data": {}, "declaration": plans[0].declaration()}
    check_source("theirs", theirs, plans[0], {})
    check_source("theirs", theirs, tiny_plan, {})
    with pytest.raises(ValueError, match="--reuse theirs: its sweep's own parts are other code"):
        check_source("theirs", theirs, plans[1], {})
