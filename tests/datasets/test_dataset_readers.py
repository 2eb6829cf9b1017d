"""Readers on small archives in each set's own format, stratified splits, damaged and foreign files."""

import gzip
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_archives import (
    ON_DISK,
    TEST_PER_CLASS,
    Python2Pickler,
    idx_bytes,
    shrink_entry,
    small_archive,
    write_idx_files,
    write_small,
)

from study.datasets import DATASETS, load_dataset, readers
from study.datasets.__main__ import main
from study.datasets.readers import FASHION_MNIST_FILES
from study.datasets.splits import stratified_split

DEBIAN_FASHION_MNIST = readers.DEBIAN_FASHION_MNIST


@pytest.fixture(autouse=True)
def _no_installed_fashion_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests mean the same on machines with and without Debian's package."""
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", tmp_path / "not_installed")


@pytest.mark.parametrize(("sizes", "taken"), [((40, 40, 40), 12), ((100, 10, 3), 20), ((7, 5), 1), ((5, 5), 9)])
def test_a_split_is_disjoint_complete_and_stratified(sizes: tuple[int, ...], taken: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    kept_rows, taken_rows = stratified_split(labels, taken)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept_rows, taken_rows])), np.arange(len(labels)))
    assert len(taken_rows) == taken
    shares = np.bincount(labels[taken_rows], minlength=len(sizes)) - taken * np.array(sizes) / sum(sizes)
    assert np.abs(shares).max() <= 1.0


def test_a_split_is_drawn_and_not_the_first_rows() -> None:
    _, taken_rows = stratified_split(np.zeros(1000, dtype=np.int64), 100)
    assert abs(taken_rows.mean() - 500) < 100


@pytest.mark.parametrize("name", ON_DISK)
def test_a_reader_brings_back_what_was_written(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = write_small(name, tmp_path / "sets", monkeypatch)
    data = load_dataset(name, tmp_path / "sets")
    kept, taken = stratified_split(written.train.labels, DATASETS[name].validation_images)
    parts = ((data.train, written.train, kept), (data.validation, written.train, taken), (data.test, written.test, ...))
    for read, part, rows in parts:
        np.testing.assert_array_equal(read.images, part.images[rows])
        np.testing.assert_array_equal(read.labels, part.labels[rows])


def test_packaged_fashion_mnist_is_preferred_to_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive = small_archive("fashion_mnist")
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", tmp_path / "packaged")
    write_idx_files(archive, tmp_path / "packaged", gzip.compress, ".gz", monkeypatch)
    shrink_entry("fashion_mnist", archive, monkeypatch)
    data = load_dataset("fashion_mnist", tmp_path / "empty")
    np.testing.assert_array_equal(data.test.images, archive.test.images)
    assert main(["fetch", "fashion_mnist"]) == 0


def test_a_damaged_gzip_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", tmp_path / "packaged")
    write_idx_files(small_archive("fashion_mnist"), tmp_path / "packaged", gzip.compress, ".gz", monkeypatch)
    path = tmp_path / "packaged" / f"{FASHION_MNIST_FILES[0]}.gz"
    whole = path.read_bytes()
    for content in (whole[:-9], b"no gzip", whole[:200] + bytes(20) + whole[220:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load_dataset("fashion_mnist", tmp_path)


@pytest.mark.skipif(
    not DEBIAN_FASHION_MNIST.is_dir(), reason=f"Debian's dataset-fashion-mnist is not in {DEBIAN_FASHION_MNIST}"
)
def test_the_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "DEBIAN_FASHION_MNIST", DEBIAN_FASHION_MNIST)
    data = load_dataset("fashion_mnist")
    assert np.bincount(data.train.labels).tolist() == [5_500] * 10
    assert np.bincount(data.validation.labels).tolist() == [500] * 10
    assert np.bincount(data.test.labels).tolist() == [1_000] * 10
    # 0.2860 and 0.3530 are the known values of all 60,000.
    assert (data.mean[0], data.std[0]) == pytest.approx((0.2860, 0.3530), abs=5e-4)


@pytest.mark.parametrize(
    ("file_number", "content"),
    [
        (0, b""),
        (0, b"\x00\x00\x08\x03\x00"),
        (0, idx_bytes(np.zeros((2, 2)))),
        (0, b"\x00\x00\x0d" + idx_bytes(np.zeros((1, 28, 28)))[3:]),
        (1, idx_bytes(np.zeros(3))),
        (3, idx_bytes(np.full(10 * TEST_PER_CLASS, 10))),
        (2, idx_bytes(np.zeros((10 * TEST_PER_CLASS, 8, 8)))),
    ],
    ids=["empty", "cut header", "axes", "floats", "too few labels", "label out of range", "size of images"],
)
def test_idx_files_that_are_not_the_sets(
    file_number: int, content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_small("fashion_mnist", tmp_path / "sets", monkeypatch)
    path = tmp_path / "sets" / "FashionMNIST" / "raw" / FASHION_MNIST_FILES[file_number]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path.parent))):
        load_dataset("fashion_mnist", tmp_path / "sets")


@pytest.mark.parametrize("name", ON_DISK)
def test_files_of_the_right_size_with_another_content_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As MNIST's are, which have Fashion-MNIST's names, shapes and labels."""
    write_small(name, tmp_path / "sets", monkeypatch)
    for path in DATASETS[name].source.files(tmp_path / "sets"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ValueError, match=re.escape(f"{path} is damaged: ")):
            load_dataset(name, tmp_path / "sets")
        path.write_bytes(whole)


def test_numpys_warning_about_old_pickles_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every NumPy from 2.4 on warns about this shorter form, only some about the published one."""
    monkeypatch.setattr(Python2Pickler, "dtype_arguments", ("u1", 0))
    write_small("cifar10", tmp_path, monkeypatch)
    load_dataset("cifar10", tmp_path)
    assert main(["fetch", "cifar10", "--data-dir", str(tmp_path)]) == 0


class Intruder:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_foreign_pickle_is_refused_unopened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_small("cifar10", tmp_path / "sets", monkeypatch)
    for path in DATASETS["cifar10"].source.files(tmp_path / "sets"):
        path.write_bytes(pickle.dumps(Intruder(tmp_path / "was_here")))
    with pytest.raises(ValueError, match="MD5"):
        load_dataset("cifar10", tmp_path / "sets")
    assert not (tmp_path / "was_here").exists()
