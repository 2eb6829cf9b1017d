"""A run's identity includes its data: what has changed since is refused, in runs, replays, checkpoints and weights."""

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from photographs import shrink, write_folder
from rich.console import Console
from small_archives import IN_MEMORY, WRITERS, write_small

from search_spaces.sweep import Scale, Sweep
from study.config import TrialConfig
from study.datasets import DATASETS, ImageData, load_dataset, readers
from study.options import Options
from study.planning.plan import Plan, make_plan
from study.prepare import prepared_run
from study.records import TableWriter
from study.replay import replay
from study.run import main
from study.store.run_file import open_run_file, save_run_file
from study.store.storage import Storage, read_json, write_json
from study.store.tensor_bytes import from_bytes, to_bytes
from study.store.weights import read_weights, write_weights
from study.sweeps import NamedSweep
from study.trainer import Training, load_network

CPU = torch.device("cpu")
CONFIG = TrialConfig(epochs=1, depth=8, width=4, batch_size=256, learning_rate_drops=(0.2,))
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shrink(monkeypatch)
    return write_folder(tmp_path)


@pytest.fixture
def plan() -> Plan:
    scale = Scale(fixed={"dataset": "imagefolder", "epochs": 1})
    return make_plan(NamedSweep("mine", "?", Sweep(compare={"width": (8,)}, scales={"quick": scale})))


def start(plan: Plan, folder: Path, **options: bool) -> dict:
    """Begin the run, or go on with it; its run.json."""
    with prepared_run(plan, Options(data_dir=folder.parent, **options), print) as prepared:
        return read_json(prepared.storage, "run.json")


def test_a_run_knows_its_data(plan: Plan, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = start(plan, folder)["data"]["imagefolder"]
    assert known["class_names"] == ["ape", "bear", "cat", "drongo"]
    assert [known[part]["images"] for part in ("train", "validation", "test")] == [36, 4, 12]
    assert f"4 classes; 36 training, 4 validation and 12 test images in {folder}" in capsys.readouterr().out
    assert start(plan, folder)["data"]["imagefolder"] == known


def change(kind: str, folder: Path) -> str:
    """Change the folder; what is told of it."""
    train, val = folder / "train", folder / "val"
    if kind == "another class":
        for part in (train, val):
            shutil.copytree(part / "cat", part / "eel")
        return r"data.imagefolder.class_names: none -> eel\n.*data.imagefolder.train.images: 36 -> \d+"
    if kind == "a class of another name":
        for part in (train, val):
            (part / "cat").rename(part / "civet")
        return "data.imagefolder.class_names: cat -> civet"
    if kind == "an image more":
        shutil.copy(train / "cat" / "ä1.jpg", train / "cat" / "new.jpg")
        return "data.imagefolder.train.images: 36 -> 37"
    if kind == "an image less":
        (val / "cat" / "ä1.jpg").unlink()
        return "data.imagefolder.test.images: 12 -> 11"
    with (train / "cat" / "ä1.jpg").open("ab") as file:
        file.write(b"\0")
    return "data.imagefolder.train.sha256: '[0-9a-f]{16}' -> '[0-9a-f]{16}'"


@pytest.mark.parametrize(
    "kind",
    ["another class", "a class of another name", "an image more", "an image less", "an image of another size"],
)
def test_a_folder_that_has_changed_is_refused_with_both_shown(kind: str, plan: Plan, folder: Path) -> None:
    before = start(plan, folder)
    told = change(kind, folder)
    with pytest.raises(ValueError, match=rf"run mine-quick exists and was made on other data(?s:.*){told}") as caught:
        start(plan, folder)
    assert "--run NAME starts another run; --fresh deletes this one" in str(caught.value)
    assert read_json(Storage.at("results/mine-quick"), "run.json") == before
    assert start(plan, folder, fresh=True)["data"] != before["data"]


def test_a_folder_that_has_moved_is_the_same_data(plan: Plan, folder: Path, tmp_path: Path) -> None:
    before = start(plan, folder)
    (tmp_path / "disk").mkdir()
    assert start(plan, folder.rename(tmp_path / "disk" / "imagefolder"))["data"] == before["data"]


def test_a_run_from_before_the_fingerprints_goes_on_and_takes_them_over(tiny_plan: Plan) -> None:
    write_json(Storage.at("results/tiny-quick"), "run.json", {"declaration": tiny_plan.declaration()})
    with prepared_run(tiny_plan, Options(), print) as prepared:
        known = read_json(prepared.storage, "run.json")["data"]
    assert known == {"digits": load_dataset("digits").fingerprint}


def test_a_folders_run_from_before_the_fingerprints_is_told_of_its_new_split(
    plan: Plan, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage.at("results/mine-quick")
    write_json(storage, "run.json", {"declaration": plan.declaration()})
    for told in (1, 0):
        start(plan, folder)
        assert capsys.readouterr().out.count("the run's earlier trials saw another split of this folder") == told


def test_a_set_that_this_start_does_not_need_keeps_its_fingerprint(tiny_plan: Plan, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "run")
    save_run_file(storage, open_run_file(storage, tiny_plan, {"svhn": {"train": {"images": 3}}}))
    content = open_run_file(storage, tiny_plan, {"digits": {"train": {"images": 4}}})
    assert content["data"] == {"svhn": {"train": {"images": 3}}, "digits": {"train": {"images": 4}}}


@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_held_sets_fingerprint_is_of_its_arrays_and_class_names(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", tmp_path / "not_installed")
    if name in WRITERS:
        write_small(name, tmp_path / "sets", monkeypatch)
    data = load_dataset(name, tmp_path / "sets")
    assert isinstance(data, ImageData)
    assert json.loads(json.dumps(data.fingerprint)) == data.fingerprint
    assert len(set(data.fingerprint["class_names"])) == DATASETS[name].num_classes
    parts = [data.fingerprint[part] for part in ("train", "validation", "test")]
    assert [part["images"] for part in parts] == [
        len(split.labels) for split in (data.train, data.validation, data.test)
    ]
    assert len({part["sha256"] for part in parts}) == 3
    assert load_dataset(name, tmp_path / "sets").fingerprint == data.fingerprint


def test_the_fingerprint_of_digits_is_the_same_everywhere() -> None:
    """A golden value: a run may be continued on another machine, with other versions."""
    fingerprint = load_dataset("digits").fingerprint
    digests = [fingerprint[part]["sha256"] for part in ("train", "validation", "test")]
    assert digests == ["18142b70fa6ce9f6", "4575cce33858b281", "479a570d6e48cca3"]


def other_data(data: ImageData) -> ImageData:
    return replace(data, fingerprint={**data.fingerprint, "test": {"images": 270, "sha256": "another"}})


def test_a_checkpoint_of_other_data_is_refused() -> None:
    data = load_dataset("digits")
    assert isinstance(data, ImageData)
    checkpoint = Training(CONFIG, data, CPU).checkpoint()
    with pytest.raises(ValueError, match=r"^is of other data$"):
        Training(CONFIG, other_data(data), CPU).restore(checkpoint)
    content = from_bytes(checkpoint)
    del content["data"]  # as older versions wrote them
    for kept in (checkpoint, to_bytes(content)):
        Training(CONFIG, data, CPU).restore(kept)


def test_a_loaded_net_knows_its_classes(folder: Path, tmp_path: Path) -> None:
    storage, data = Storage.at(tmp_path / "run"), load_dataset("imagefolder", folder.parent)
    write_json(storage, "run.json", {})
    config = CONFIG.model_copy(update={"dataset": "imagefolder", "image_size": 16})
    content = Training(config, data, CPU).weights("t:0")
    write_weights(storage, "t:0", content)
    assert load_network(storage.root, "t:0").class_names == ("ape", "bear", "cat", "drongo")
    assert read_weights(storage, "t:0").data == data.fingerprint
    older = {name: value for name, value in from_bytes(content).items() if name != "data"}
    write_weights(storage, "t:0", to_bytes(older))
    assert load_network(storage.root, "t:0").class_names == ()


def test_a_part_of_a_set_is_trained_on_with_the_whole_sets_fingerprint() -> None:
    data = load_dataset("digits")
    config = CONFIG.model_copy(update={"train_images": 100, "image_size": 4})
    assert from_bytes(Training(config, data, CPU).weights("t"))["data"] == data.fingerprint


def test_other_data_are_not_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_dataset("digits")
    assert isinstance(data, ImageData)
    storage = Storage.at("results/old")
    write_json(storage, "run.json", {"data": {"digits": other_data(data).fingerprint}})
    TableWriter(storage, "epochs", {}).append([{"trial_id": "t:0", "epoch": 1}])
    TableWriter(storage, "trials", {}).append([{**CONFIG.model_dump(), "trial_id": "t:0", "status": "ok"}])
    with pytest.raises(ValueError, match="made on other data: digits has changed since in test, so there is nothing"):
        replay("old", "t:0", None, Console(file=StringIO()))
    assert main(["replay", "old", "t:0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
