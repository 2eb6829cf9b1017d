"""What is checked before a run starts, and that --fresh deletes nothing but a run, and only for sound input."""

from pathlib import Path
from typing import Any

import pytest

from search_spaces.sweep import Choice, Fields, Int, Scale, Sweep
from study.config import TrialConfig
from study.options import Options
from study.planning.plan import Overrides, Plan, make_plan
from study.prepare import prepared_run
from study.records import TableWriter, read_arrow
from study.run import main
from study.search.journal import is_whole
from study.search.samplers import SearchMethod
from study.store.checkpoints import Checkpoints
from study.store.storage import Storage, read_json, write_json
from study.sweeps import NamedSweep, load_sweep

pytestmark = pytest.mark.usefixtures("elsewhere")


def old_run(plan: Plan) -> Path:
    """A run with something in it."""
    folder = Path("results") / plan.run
    write_json(Storage.at(folder), "run.json", {"declaration": plan.declaration(), "linear_baseline": {}})
    (folder / "precious").write_text("kept?")
    return folder


def test_fresh_replaces_a_run(tiny_plan: Plan) -> None:
    folder = old_run(tiny_plan)
    with prepared_run(tiny_plan, Options(fresh=True), print):
        pass
    assert (folder / "run.json").exists()
    assert not (folder / "precious").exists()
    assert sorted(path.name for path in folder.parent.iterdir() if "lock" not in path.name) == [tiny_plan.run]


def test_fresh_begins_a_run_that_is_not_there(tiny_plan: Plan) -> None:
    with prepared_run(tiny_plan, Options(fresh=True), print):
        pass
    assert (Path("results") / tiny_plan.run / "run.json").exists()


def test_fresh_puts_the_run_back_when_the_input_proves_wrong_later(tiny_plan: Plan) -> None:
    folder = old_run(tiny_plan)
    with pytest.raises(ValueError, match="no such node"), prepared_run(tiny_plan, Options(fresh=True), print):
        raise ValueError("no such node")
    assert (folder / "precious").read_text() == "kept?"


def test_fresh_deletes_no_folder_that_is_no_run(tiny_plan: Plan) -> None:
    folder = Path("results") / tiny_plan.run
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years")
    with (
        pytest.raises(ValueError, match="--fresh deletes runs only"),
        prepared_run(tiny_plan, Options(fresh=True), print),
    ):
        pass
    assert (folder / "thesis.txt").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "reference"])
def test_run_names_stay_in_their_folder(name: str) -> None:
    with pytest.raises(ValueError, match="run name"):
        make_plan(load_sweep("depth_sweep"), overrides=Overrides(run=name))


@pytest.mark.parametrize("method", [SearchMethod(sampler="cmaes"), SearchMethod(scheduler="asha")], ids=str)
def test_several_objectives_refuse_what_knows_only_one(method: SearchMethod) -> None:
    plan = make_plan(load_sweep("joint_search"))
    with (
        pytest.raises(ValueError, match="cannot improve val_accuracy"),
        prepared_run(plan, Options(method=method), print),
    ):
        pass


def checkpoints_of_the_deep(fields: Fields) -> Fields:
    return {"checkpoint_every_epochs": 1} if fields["depth"] > 8 else {}


CHECKPOINTS = {
    "none": (False, {}),
    "given": (True, {"fixed": {"checkpoint_every_epochs": 2}}),
    "searched": (True, {"search": lambda _fields: {"checkpoint_every_epochs": Choice((None, 1))}}),
    "of a later cell": (True, {"next_cells": lambda _results: [{"depth": 14, "recipe": "deep"}]}),
}


@pytest.mark.parametrize(("expected", "declared"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_whoever_may_write_checkpoints_can(expected: bool, declared: dict[str, Any]) -> None:
    """An adaptive sweep begins shallow: that its first cells write none says nothing of those that follow."""
    compare = {"depth": (8,), "recipe": {"deep": checkpoints_of_the_deep}}
    scale = Scale(fixed={"dataset": "digits", "epochs": 1})
    plan = make_plan(NamedSweep("kept", "?", Sweep(compare=compare, scales={"quick": scale}, **declared)))
    if plan.is_adaptive:
        assert plan.next_cells([])[0].fixed["checkpoint_every_epochs"] == 1
    with prepared_run(plan, Options(), print) as prepared:
        assert prepared.has_checkpoints is expected


def test_failed_trials_are_open_again_at_the_point_they_had(tiny_plan: Plan) -> None:
    """With what they had trained; those that ended otherwise are not."""
    rows, point = [], 0.0123
    for cell in tiny_plan.cells:
        for number, status in enumerate(("ok", "failed")):
            config = cell.config({**cell.default_point, "learning_rate": point}, seed=number, phase="search")
            known = {"trial_id": f"tiny-quick:{cell.name}:search:{number}", "cell": cell.name, "phase": "search"}
            accuracy = 0.5 if status == "ok" else None
            rows.append({**config.model_dump(), **known, "status": status, "val_accuracy": accuracy})
    storage = Storage.at(old_run(tiny_plan))
    TableWriter(storage, "trials", {}).append(rows)
    Checkpoints(storage).save(rows[1]["trial_id"], config_of(rows[1]), b"half")
    said: list[str] = []
    with prepared_run(tiny_plan, Options(), said.append) as prepared:
        planned_trials = list(iter(prepared.studies.next_trial, None))
        assert [row["status"] for row in read_arrow(storage, "trials").to_pylist()] == ["ok", "ok"]
        assert list(prepared.begun) == [rows[1]["trial_id"]]
    assert {planned.trial_id: planned.config.learning_rate for planned in planned_trials} == {
        row["trial_id"]: point for row in rows if row["status"] == "failed"
    }
    assert "2 trials of an earlier start failed: open again." in said


def test_what_was_taken_away_or_garbled_by_hand_is_told(tiny_plan: Plan) -> None:
    cell, said = tiny_plan.cells[0], []
    config = cell.config(cell.default_point, seed=0, phase="search")
    known = {"trial_id": f"tiny-quick:{cell.name}:search:0", "cell": cell.name, "phase": "search", "status": "ok"}
    storage = Storage.at(old_run(tiny_plan))
    row = {**config.model_dump(), **known, "val_accuracy": 0.5, "epochs_completed": 2}
    TableWriter(storage, "trials", {}).append([row])
    TableWriter(storage, "epochs", {}).append([{"trial_id": known["trial_id"], "epoch": 1, "val_accuracy": 0.4}])
    storage.write("optuna.journal", b'{"op_code": 0}\nrubbish')
    for _ in range(2):
        with prepared_run(tiny_plan, Options(), said.append):
            pass
    assert sum(f"has lost rows of 1 trial, such as {known['trial_id']}" in line for line in said) == 2
    assert sum("optuna.journal is damaged" in line for line in said) == 1  # it was written anew
    assert is_whole(storage)


def config_of(row: dict[str, Any]) -> TrialConfig:
    return TrialConfig.model_validate({name: row[name] for name in TrialConfig.model_fields})


def sized_plan(**declared: Any) -> Plan:
    """A sweep on digits; what it compares unless told otherwise is one width."""
    compare = declared.pop("compare", {"width": (8,)})
    scale = Scale(fixed={"dataset": "digits", "epochs": 1, "batch_size": 8, **declared.pop("fixed", {})})
    return make_plan(NamedSweep("sized", "?", Sweep(compare=compare, scales={"quick": scale}, **declared)))


NOT_IN_DIGITS = {
    "fixed": ({"fixed": {"image_size": 9}}, "cell width=8: image_size = 9: digits allows 4 to 8"),
    "compared": ({"compare": {"image_size": (4, 12)}}, "cell image_size=12: image_size = 12: digits allows 4 to 8"),
    "searched": (
        {"search": lambda _fields: {"train_images": Int(100, 5_000)}, "fixed": {"train_images": 200}},
        "cell width=8: train_images = 5000: digits allows 10",
    ),
    "a choice": (
        {"search": lambda _fields: {"train_images": Choice((None, 9))}},
        "cell width=8: train_images = 9: digits allows 10",
    ),
}


@pytest.mark.parametrize(("declared", "words"), NOT_IN_DIGITS.values(), ids=NOT_IN_DIGITS)
def test_images_that_the_set_lacks_are_refused_before_anything_starts(declared: dict[str, Any], words: str) -> None:
    plan = sized_plan(**declared)
    with pytest.raises(ValueError, match=words), prepared_run(plan, Options(), print):
        pass
    assert not Path("results").exists()


def test_the_command_line_refuses_them_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["depth_sweep", "--set", "depth=8", "--set", "recipe=he_l2", "--set", "image_size=9"]
    assert main([*options, "--dry-run"]) == main(options) == 2
    (first, second) = capsys.readouterr().err.splitlines()
    assert first == second == "error: cell depth=8,recipe=he_l2: image_size = 9: digits allows 4 to 8, its own size"


def test_baselines_belong_to_what_trials_see() -> None:
    """A cell that searches sizes is held against the whole set."""
    compared = sized_plan(compare={"image_size": (None, 4), "train_images": (None, 200)})
    with prepared_run(compared, Options(), print) as prepared:
        kept = read_json(prepared.storage, "run.json")
    names = [cell.proxy.name for cell in compared.cells]
    assert names == ["digits", "digits/200", "digits@4x4", "digits@4x4/200"]
    for kind in ("linear_baseline", "nearest_neighbor_baseline"):
        assert list(kept[kind]) == names
        assert [kept[kind][name]["train_images"] for name in names] == [1_257, 200, 1_257, 200]
        assert kept[kind]["digits@4x4/200"]["test_accuracy"] < kept[kind]["digits"]["test_accuracy"]
    searched = sized_plan(search=lambda _fields: {"image_size": Choice((None, 4))}, fixed={"train_images": 200})
    assert [cell.proxy.name for cell in searched.cells] == ["digits"]


def test_a_run_from_before_the_nearest_neighbour_gets_it_and_keeps_the_rest(tiny_plan: Plan) -> None:
    old_run(tiny_plan)
    storage = Storage.at(f"results/{tiny_plan.run}")
    linear = {"digits": {"validation_accuracy": 0.123, "test_accuracy": 0.1}}
    write_json(storage, "run.json", read_json(storage, "run.json") | {"linear_baseline": linear})
    with prepared_run(tiny_plan, Options(), print):
        kept = read_json(storage, "run.json")
    assert kept["linear_baseline"] == linear
    assert kept["nearest_neighbor_baseline"]["digits"]["validation_accuracy"] == 266 / 270


def test_a_search_among_sizes_wants_one_to_begin_with() -> None:
    """Null is the whole set, and no number that lies in a range."""
    with pytest.raises(ValueError, match="cell width=8: image_size = None of the recipe is outside IntDistribution"):
        sized_plan(search=lambda _fields: {"image_size": Int(4, 8)})


def test_a_later_cell_sees_the_images_of_the_first() -> None:
    plan = sized_plan(next_cells=lambda _results: [{"width": 8, "image_size": 4}])
    with pytest.raises(ValueError, match="unknown dataset of a later cell 'digits@4x4': known are digits"):
        plan.next_cells([])
