"""Small archives for the tests, each in the format in which its data set is published."""

import hashlib
import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.io
import torchvision

from study.datasets import DATASETS, readers
from study.datasets.readers import FASHION_MNIST_FILES, Archive, ImageSplit

TRAIN_PER_CLASS, TEST_PER_CLASS = 6, 2


def small_archive(name: str) -> Archive:
    """Random images, equally many a class, in a shuffled order."""
    generator = np.random.default_rng(len(name))
    entry = DATASETS[name]

    def part(per_class: int) -> ImageSplit:
        labels = generator.permutation(np.repeat(np.arange(entry.num_classes), per_class))
        shape = (len(labels), entry.channels, entry.image_size, entry.image_size)
        return ImageSplit(generator.integers(0, 256, shape, dtype=np.uint8), labels)

    return Archive(part(TRAIN_PER_CLASS), part(TEST_PER_CLASS))


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_idx_files(
    archive: Archive, folder: Path, encode: Callable[[bytes], bytes], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four files; their known checksums are exchanged for those of the small ones."""
    folder.mkdir(parents=True)
    arrays = [values for part in archive for values in (part.images[:, 0], part.labels)]
    contents = dict(zip(FASHION_MNIST_FILES, map(idx_bytes, arrays), strict=True))
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(encode(content))
    checksums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(readers, "FASHION_MNIST_MD5", checksums)


def write_fashion_mnist(archive: Archive, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchvision unpacks it."""
    write_idx_files(archive, data_dir / "FashionMNIST" / "raw", bytes, "", monkeypatch)


class Python2Pickler(pickle.Pickler):
    """Describes a uint8 dtype as Python 2 did in the published CIFAR batches: with integers for align and copy."""

    dtype_arguments: ClassVar[tuple[Any, ...]] = ("u1", 0, 1)

    def reducer_override(self, value: Any) -> Any:
        """Stands in for the reduction of dtypes alone."""
        if isinstance(value, np.dtype):
            return np.dtype, self.dtype_arguments, (3, "|", None, None, None, -1, -1, 0)
        return NotImplemented


def write_pickle(path: Path, content: dict[str, Any]) -> str:
    """Write one batch with the module names of its time; its MD5."""
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    path.write_bytes(file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return md5_of(path)


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_cifar(
    archive: Archive,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    reader: Any,
    label_key: str,
) -> None:
    """Batches of rows of 3,072 bytes; the reader's published checksums are exchanged for those of the small ones."""
    folder = data_dir / reader.base_folder
    folder.mkdir(parents=True)
    for listing, part in (("train_list", archive.train), ("test_list", archive.test)):
        names = [name for name, _ in getattr(reader, listing)]
        checksums = []
        for name, rows in zip(names, np.array_split(np.arange(len(part.labels)), len(names)), strict=True):
            batch = {"data": part.images[rows].reshape(len(rows), -1), label_key: part.labels[rows].tolist()}
            checksums.append([name, write_pickle(folder / name, batch)])
        monkeypatch.setattr(reader, listing, checksums)
    class_names = [f"class {number}" for number in range(archive.train.labels.max() + 1)]
    checksum = write_pickle(folder / reader.meta["filename"], {reader.meta["key"]: class_names})
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": checksum})


def write_cifar10(archive: Archive, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(archive, data_dir, monkeypatch, reader=torchvision.datasets.CIFAR10, label_key="labels")


def write_cifar100(archive: Archive, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(archive, data_dir, monkeypatch, reader=torchvision.datasets.CIFAR100, label_key="fine_labels")


def write_svhn(archive: Archive, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X is (H, W, C, N), y is (N, 1), and the digit 0 has the label 10."""
    data_dir.mkdir(parents=True)
    listed = dict(torchvision.datasets.SVHN.split_list)
    for name, part in zip(("train", "test"), archive, strict=True):
        url, file_name, _ = listed[name]
        labels = np.where(part.labels == 0, 10, part.labels).astype(np.uint8)[:, np.newaxis]
        scipy.io.savemat(data_dir / file_name, {"X": part.images.transpose(2, 3, 1, 0), "y": labels})
        listed[name] = [url, file_name, md5_of(data_dir / file_name)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listed)


WRITERS = {
    "fashion_mnist": write_fashion_mnist,
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
}
ON_DISK = tuple(WRITERS)
IN_MEMORY = tuple(name for name, entry in DATASETS.items() if not entry.is_own)


def write_small(name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Write the small archive of a set and set the table's counts to it; what was written."""
    archive = small_archive(name)
    WRITERS[name](archive, data_dir, monkeypatch)
    shrink_entry(name, archive, monkeypatch)
    return archive


def shrink_entry(name: str, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = DATASETS[name].num_classes
    counts = {"train_images": len(archive.train.labels) - classes, "test_images": len(archive.test.labels)}
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], validation_images=classes, **counts))
