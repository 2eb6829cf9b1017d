"""The table of the data sets: what a loaded set is, where it is looked for, what is said when it is not there."""

import hashlib
import re
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from bad_input import check_refused
from small_archives import IN_MEMORY, ON_DISK, WRITERS, write_small

from study.datasets import DATASETS, ImageData, MissingDataset, load_dataset, missing_message, readers, resolve_data_dir
from study.datasets.__main__ import main
from study.datasets.readers import FASHION_MNIST_FILES
from study.run import main as run


@pytest.fixture(autouse=True)
def _no_installed_fashion_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests mean the same on machines with and without Debian's package."""
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", tmp_path / "not_installed")


def load_any(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageData:
    if name in WRITERS:
        write_small(name, tmp_path / "sets", monkeypatch)
    return load_dataset(name, tmp_path / "sets")


def test_every_set_has_a_small_archive_or_is_embedded() -> None:
    assert set(WRITERS) == {name for name in IN_MEMORY if DATASETS[name].size != "embedded"}


@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_loaded_set_is_what_the_table_says(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = load_any(name, tmp_path, monkeypatch)
    entry = DATASETS[name]
    counts = (entry.train_images, entry.validation_images, entry.test_images)
    for split, count in zip((data.train, data.validation, data.test), counts, strict=True):
        assert split.images.shape == (count, entry.channels, entry.image_size, entry.image_size)
        assert split.labels.shape == (count,)
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert split.images.flags.c_contiguous
        assert split.images.flags.writeable
        assert set(np.unique(split.labels)) == set(range(entry.num_classes))
    assert (data.name, data.num_classes, data.mirror_keeps_class) == (name, entry.num_classes, entry.mirror_keeps_class)


@pytest.mark.parametrize("name", IN_MEMORY)
def test_normalisation_is_that_of_the_train_images(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = load_any(name, tmp_path, monkeypatch)
    pixels = data.train.images / 255.0
    np.testing.assert_allclose(data.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)


def test_the_split_of_digits_is_the_same_everywhere() -> None:
    """A golden value: results of different machines and versions are only comparable on the same split."""
    data = load_dataset("digits")
    digest = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        digest.update(split.images.tobytes() + split.labels.astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "423726af3300aee5"


def test_digits_use_the_whole_range_of_bytes() -> None:
    levels = np.unique(load_dataset("digits").train.images)
    assert (levels.min(), levels.max(), len(levels)) == (0, 255, 17)


@pytest.mark.parametrize("name", ON_DISK)
def test_a_missing_set_tells_the_command_that_brings_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataset) as caught:
        load_dataset(name, tmp_path)
    message = str(caught.value)
    assert f"python -m study.datasets fetch {name} --data-dir {tmp_path}" in message
    assert f"is not in {tmp_path}" in message
    assert "\n" not in message
    assert ("apt-get install dataset-fashion-mnist" in message) == (name == "fashion_mnist")
    assert message == missing_message(name, tmp_path)


def test_a_set_of_which_one_file_is_missing_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_small("cifar10", tmp_path / "sets", monkeypatch)
    assert DATASETS["cifar10"].is_here(tmp_path / "sets")
    (tmp_path / "sets" / "cifar-10-batches-py" / "batches.meta").unlink()
    assert not DATASETS["cifar10"].is_here(tmp_path / "sets")


def test_embedded_sets_are_never_missing(tmp_path: Path) -> None:
    assert missing_message("digits", tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ON_DISK)
def test_a_damaged_file_is_named(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_small(name, tmp_path / "sets", monkeypatch)
    for path in DATASETS[name].source.files(tmp_path / "sets"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(ValueError, match=re.escape(f"{path} is damaged")) as caught:
            load_dataset(name, tmp_path / "sets")
        assert f"delete it and run `python -m study.datasets fetch {name}" in str(caught.value)
        path.write_bytes(whole)
    load_dataset(name, tmp_path / "sets")


def test_an_unreadable_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    write_small("fashion_mnist", tmp_path / "sets", monkeypatch)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match=FASHION_MNIST_FILES[0]):
        load_dataset("fashion_mnist", tmp_path / "sets")


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"dataset = 'mnist': .*digits, fashion_mnist, cifar10, cifar100, svhn"):
        load_dataset("mnist")


def test_the_data_folder_is_absolute_and_the_nearest_wish_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STUDY_DATA_DIR", raising=False)
    assert resolve_data_dir() == tmp_path / "data"
    monkeypatch.setenv("STUDY_DATA_DIR", "elsewhere")
    assert resolve_data_dir() == tmp_path / "elsewhere"
    assert resolve_data_dir(Path("~/sets")) == tmp_path / "home" / "sets"


@pytest.mark.parametrize("arguments", [[], ["check"], ["fetch", "svhn"]], ids=str)
def test_a_home_that_there_is_not_is_refused_in_one_line(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refused(main, [*arguments, "--data-dir", "~nobody-here/x"], "data folder ~nobody-here/x: ", capfd)
    check_refused(main, ["~nobody-here/x"], "invalid choice: '~nobody-here/x'", capfd)
    monkeypatch.setenv("STUDY_DATA_DIR", "~nobody-here/x")
    check_refused(main, arguments, "data folder ~nobody-here/x: ", capfd)
    check_refused(run, ["depth_sweep", "--dry-run", "--dataset", "svhn"], "data folder ~nobody-here/x: ", capfd)
