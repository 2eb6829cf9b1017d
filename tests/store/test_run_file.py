"""run.json: what counts as the same run, also over versions that know more fields."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from study.planning.plan import Overrides, Plan, make_plan
from study.report.opened_run import open_run
from study.store.run_file import LostRunError, check_there, open_run_file, save_run_file
from study.store.storage import Storage, read_json, write_json
from study.sweeps import NamedSweep, load_sweep

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path / "run")


def without(plan: Plan, field: str) -> dict:
    """run.json as a version left it that did not know the field."""
    declaration = plan.declaration()
    for cell in declaration["cells"].values():
        del cell["fixed"][field]
    return {"declaration": declaration}


@pytest.mark.parametrize("run", sorted(REFERENCE.iterdir()), ids=lambda run: run.name)
def test_a_committed_run_opens(run: Path, storage: Storage) -> None:
    content = read_json(Storage.at(run), "run.json")
    Path(storage.root).mkdir()
    shutil.copy(run / "run.json", storage.root)
    asked = content.get("settings", {})
    overrides = Overrides(fields=asked, run=content["run"], seed=content["declaration"]["seed"])
    plan = make_plan(load_sweep(content["declaration"]["sweep"]), content["declaration"]["scale"], overrides)
    assert open_run_file(storage, plan)["declaration"] == content["declaration"]


def test_a_field_that_its_version_did_not_know_counts_as_its_default(tiny_plan: Plan, storage: Storage) -> None:
    save_run_file(storage, without(tiny_plan, "learning_rate_drops"))
    open_run_file(storage, tiny_plan)


def test_a_field_that_its_version_did_not_know_is_shown_where_it_is_no_default(
    tiny_sweep: NamedSweep, storage: Storage
) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(fields={"precision": "bf16"}))
    save_run_file(storage, without(plan, "precision"))
    with pytest.raises(ValueError, match=r"fixed.precision: 'fp32' -> 'bf16' \(2 cells\)"):
        open_run_file(storage, plan)


DAMAGED = [
    (b"null", "holds no JSON object: None"),
    (b"[1]", "holds no JSON object"),
    (b"{", "is no JSON: "),
    (b"\xff\xfe", "is no JSON: "),
    (b"{}", "it has no declaration"),
    (b'{"declaration": null}', "it has no declaration"),
    (b'{"declaration": {}}', "its declaration is none"),
    (b'{"declaration": [1]}', "its declaration is none"),
    (b'{"declaration": {"cells": {"all": {}}}}', "its declaration is none"),
    (b'{"declaration": {"cells": {"all": null}}}', "its declaration is none"),
]


@pytest.mark.parametrize(("content", "reason"), DAMAGED)
def test_a_damaged_file_is_named_with_what_repairs_it(
    tiny_plan: Plan, storage: Storage, content: bytes, reason: str
) -> None:
    storage.write("run.json", content)
    with pytest.raises(ValueError, match=r"^\S+/run/run\.json .+ Put a copy of it back; or --fresh") as caught:
        open_run_file(storage, tiny_plan)
    assert reason in str(caught.value)
    with pytest.raises(ValueError, match=r"^\S+/run/run\.json .+ Put a copy of it back"):
        open_run(storage)


def test_how_often_checkpoints_are_written_may_change(tiny_sweep: NamedSweep, storage: Storage) -> None:
    for every in ("null", "3", "1"):
        plan = make_plan(tiny_sweep, overrides=Overrides(fields={"checkpoint_every_epochs": every}))
        save_run_file(storage, open_run_file(storage, plan))


def test_a_run_of_the_papers_length_writes_checkpoints() -> None:
    for name in (
        "depth_sweep",
        "depth_frontier",
        "joint_search",
        "modulation_sweep",
        "paper_table",
        "regularizer_sweep",
    ):
        cells = make_plan(load_sweep(name), "paper").cells
        assert all(cell.fixed["checkpoint_every_epochs"] for cell in cells)


def test_the_papers_own_error_stands_beside_the_row_it_is_known_to_belong_to(storage: Storage) -> None:
    """Of 12.9 % the figure says that filters are orthonormal; whether the error is modulated it does not say."""
    plan = make_plan(load_sweep("paper_table"), "paper")
    facts = open_run_file(storage, plan)
    assert facts["published_test_error"]["depth=44,recipe=plain_orthonormal"] == 0.129
    assert "depth=44,recipe=plain_orthonormal_modulated" not in facts["published_test_error"]
    assert list(facts["published_remarks"]) == ["depth=44,recipe=plain_orthonormal"]
    assert {*plan.published, *plan.remarks} <= {cell.name for cell in plan.cells}


def test_what_a_scale_cannot_show_is_kept_with_its_run(tiny_sweep: NamedSweep, storage: Storage) -> None:
    scale = dataclasses.replace(tiny_sweep.sweep.scales["quick"], caveat="Three steps show nothing.")
    sweep = dataclasses.replace(tiny_sweep.sweep, scales={"quick": scale})
    plan = make_plan(dataclasses.replace(tiny_sweep, sweep=sweep))
    save_run_file(storage, open_run_file(storage, plan))
    assert read_json(storage, "run.json")["caveat"] == "Three steps show nothing."


def test_a_run_that_is_gone_or_replaced_is_told_from_a_store_that_is_silent(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(storage, "run.json", {"created_at": "now"})
    check_there(storage, "now")
    with pytest.raises(LostRunError, match="replaced while its run was going on, and with it 3 trials"):
        check_there(storage, "before", "3 trials")
    storage.write("run.json", b"half")
    with pytest.raises(LostRunError):
        check_there(storage, "now")
    storage.remove("run.json")
    with pytest.raises(LostRunError):
        check_there(storage, "now")

    def silent(_self: Storage, _name: str) -> bytes:
        raise OSError("AWS Error NETWORK_CONNECTION")

    monkeypatch.setattr(Storage, "read", silent)
    check_there(storage, "now")  # who writes will bear it, or tell of it
