"""A user's folder of images: the listing, the split, what is said when it is not as it should be."""

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photographs import CLASSES, SIZE, TEST_PER_CLASS, TRAIN_PER_CLASS, small_streamed, write_folder
from torchvision.datasets import ImageFolder

from search_spaces.sweep import Scale, Sweep
from study.datasets import MissingDataset, StreamedData, load_dataset
from study.datasets.__main__ import main
from study.datasets.baseline import held_images, linear_baseline, nearest_neighbor_baseline
from study.datasets.image_folder import LAYOUT
from study.launch import run_sweep
from study.records import read_table
from study.run import main as run
from study.sweeps import NamedSweep
from study.tuner.trainable import loader_workers

CPUS = float(min(2, os.cpu_count() or 1))  # with two, a loader worker is started inside the trial


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamedData:
    return small_streamed(tmp_path, monkeypatch)


def test_the_listing_is_torchvisions(data: StreamedData, tmp_path: Path) -> None:
    listed = dict(ImageFolder(tmp_path / "imagefolder" / "val").samples)
    assert {data.test.path(row): label for row, label in enumerate(data.test.labels)} == listed
    assert data.num_classes == len(CLASSES)


def test_validation_is_a_stratified_part_of_train_and_disjoint_from_the_rest(data: StreamedData) -> None:
    train, validation = (
        {split.path(row) for row in range(len(split.labels))} for split in (data.train, data.validation)
    )
    assert not train & validation
    assert len(train | validation) == len(CLASSES) * TRAIN_PER_CLASS
    assert np.bincount(data.validation.labels).tolist() == [TRAIN_PER_CLASS // 10] * len(CLASSES)
    assert len(data.test.labels) == len(CLASSES) * TEST_PER_CLASS


def test_the_split_is_the_same_each_time(data: StreamedData, tmp_path: Path) -> None:
    again = load_dataset("imagefolder", tmp_path)
    assert data.validation.names.tolist() == again.validation.names.tolist()


def test_names_and_labels_are_all_that_is_held(data: StreamedData) -> None:
    images = len(CLASSES) * (TRAIN_PER_CLASS + TEST_PER_CLASS)
    assert data.image_shape == (3, SIZE, SIZE)
    assert data.held_bytes < 40 * images
    assert len(pickle.dumps(data)) < 40 * images + 2_000


def test_a_missing_folder_tells_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingDataset, match=re.escape(LAYOUT)) as caught:
        load_dataset("imagefolder", tmp_path)
    assert f"is not in {tmp_path / 'imagefolder'}" in str(caught.value)
    assert main(["fetch", "imagefolder", "--data-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: there is nothing to fetch: {caught.value}"


def test_fetching_a_folder_that_is_here_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path)
    assert main(["fetch", "imagefolder", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"imagefolder: here, in {folder}\n"


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "val" / "cat").rename(folder / "val" / "kitten")
    with pytest.raises(ValueError, match="same classes; only one holds 'cat'"):
        load_dataset("imagefolder", tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "train" / "dodo").mkdir()
    with pytest.raises(ValueError, match=r"^dataset = 'imagefolder' cannot be read: .*dodo"):
        load_dataset("imagefolder", tmp_path)


def test_too_few_images_to_split_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    for path in sorted((folder / "train" / "ape").iterdir())[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="2 train images in each"):
        load_dataset("imagefolder", tmp_path)


def test_the_baselines_see_thumbnails(data: StreamedData) -> None:
    """The classes of the folder differ in colour."""
    for fit in (linear_baseline, nearest_neighbor_baseline):
        baseline = fit(held_images(data))
        assert baseline["train_images"] == len(data.train.labels)
        assert baseline["test_accuracy"] > 0.5


@pytest.mark.parametrize(("image_size", "seen"), [(SIZE, 16), (16, 16), (8, 8)])
def test_thumbnails_are_no_larger_than_what_a_trial_sees(data: StreamedData, image_size: int, seen: int) -> None:
    images = held_images(replace(data, image_size=image_size))
    assert images.image_shape == (3, seen, seen)


def test_the_linear_baseline_sees_a_stratified_part(data: StreamedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.datasets.baseline.STREAMED_IMAGES", 8)
    assert linear_baseline(held_images(data))["train_images"] == 8


def test_a_sweep_takes_the_folder_from_the_command_line(
    data: StreamedData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = ("network_size=imagenet", "depth=18", "width=4", "batch_size=16", "recipe=he_l2")
    options = [option for field in fields for option in ("--set", field)]
    folder = ["--dataset", data.name, "--data-dir", str(tmp_path)]
    assert run(["depth_sweep", "--dry-run", *folder, *options]) == 0
    shown = capsys.readouterr().out
    assert "depth=18,recipe=he_l2" in shown
    assert "dataset=imagefolder" in shown
    assert any(line.split()[:1] == ["18"] for line in shown.splitlines())  # of the forecast


@pytest.mark.usefixtures("ray_session", "elsewhere")
def test_trials_train_on_the_folder_and_know_its_classes(data: StreamedData, tmp_path: Path) -> None:
    """Not ImageNet's thousand, which the table of the data sets has in their place."""
    shape = {"network_size": "imagenet", "depth": 18, "width": 4, "batch_size": 16, "steps": 1}
    fixed = {"dataset": data.name, "augmentation": "standard", **shape}
    sweep = Sweep(compare={"architecture": ("plain",)}, fixed=fixed, scales={"quick": Scale()}, confirm_seeds=1)
    run_sweep(NamedSweep("photos", "Does it run?", sweep), data_dir=tmp_path, cpus_per_trial=CPUS)
    (row,) = read_table("photos-quick", "trials").to_dict("records")
    assert (row["status"], row["num_classes"], row["phase"]) == ("ok", data.num_classes, "confirm")
    assert row["test_accuracy"] is not None


def test_loader_workers_and_training_share_a_trials_cpus(data: StreamedData) -> None:
    assert [loader_workers(data, cpus, "cpu") for cpus in (1, 2, 8)] == [0, 1, 1]
    assert [loader_workers(data, cpus, "cuda") for cpus in (1, 2, 8)] == [0, 1, 7]
    assert loader_workers(load_dataset("digits"), 8, "cuda") == 0
