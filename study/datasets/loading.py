"""Data sets as arrays, or as names of images where they are too many to hold, split into train, validation and test.

Augmenting and normalising are the trainer's. Never imports Ray, never uses the network.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.datasets import own_arrays
from study.datasets.image_folder import LAYOUT, ImageFolder, StreamedData
from study.datasets.own_arrays import OwnArrays
from study.datasets.readers import Archive, DamagedFile, ImageSplit
from study.datasets.splits import SplitData, part_fingerprint, stratified_split
from study.datasets.table import Dataset, find_dataset, resolve_data_dir


class MissingDataset(ValueError):  # noqa: N818  (a state that callers ask about, not a fault)
    """The set is not on this machine; the message is one line that says how it comes here."""


@dataclass(frozen=True)
class ImageData(SplitData[ImageSplit]):
    """One set, held whole; its mean and standard deviation are those of `train` alone."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @property
    def summary(self) -> str:
        """One line: how many classes and images there are, and of which size."""
        train, validation, test = (len(split.labels) for split in (self.train, self.validation, self.test))
        size = "x".join(map(str, self.image_shape))
        return (
            f"{self.name}: {self.num_classes:,} classes; {train:,} training, {validation:,} validation and {test:,} "
            f"test images of {size}"
        )

    @property
    def held_bytes(self) -> int:
        """Memory that a trial holds for the set."""
        return sum(split.images.nbytes for split in (self.train, self.validation, self.test))


AnyData = ImageData | StreamedData


def missing_message(name: str, data_dir: Path | None = None) -> str | None:
    """One line that says how `name` comes here, or None where it is here. Cheap: to be asked before a run starts."""
    dataset = find_dataset(name)
    if dataset.is_here(data_dir):
        return None
    other_way = f" ({dataset.other_way})" if dataset.other_way else ""
    way = f"run {_fetch_command(name, data_dir)}{other_way}"
    if isinstance(dataset.source, ImageFolder | OwnArrays):
        layout = LAYOUT if dataset.is_streamed else own_arrays.LAYOUT
        way = layout + dataset.source.found_instead(resolve_data_dir(data_dir))
    return f"dataset = {name!r} is not in {dataset.place(data_dir)}: {way}"


def load_dataset(name: str, data_dir: Path | None = None) -> AnyData:
    """Read one set, or the names of its images where it is streamed, and split it.

    Test is the official test set and is never touched by the search. Validation is taken out of the official train set,
    stratified, with a fixed seed: 5,000 images (270 of digits, whose 270 test images are taken in the same way; a tenth
    of own arrays, at most 5,000, where they hold none). Of a folder's images each is drawn by its name, a tenth or
    about 50,000 of them.

    Args:
        name: A key of DATASETS.
        data_dir: Folder of the archives, see `resolve_data_dir`.

    Raises:
        MissingDataset: The set is not here; the message says how to get it.
        ValueError: The name is unknown, or a file is damaged, unreadable or of another set; the message names it.
    """
    message = missing_message(name, data_dir)
    if message is not None:
        raise MissingDataset(message)
    dataset = find_dataset(name)
    try:
        return _read(name, dataset, resolve_data_dir(data_dir))
    except DamagedFile as error:
        advice = f"delete it and run {_fetch_command(name, data_dir)}"
        raise ValueError(f"dataset = {name!r}: {error}; {advice}") from error
    except OSError as error:
        raise ValueError(f"dataset = {name!r} cannot be read: {error}") from error


def _read(name: str, dataset: Dataset, folder: Path) -> AnyData:
    if isinstance(dataset.source, ImageFolder):
        return dataset.source.open(name, folder, dataset.image_size, dataset.validation_images)
    where = f"dataset = {name!r} in {dataset.place(folder)}"
    if isinstance(dataset.source, OwnArrays):
        return _own(name, dataset, dataset.source, folder, where)
    archive = dataset.source.read(folder)
    _check_archive(dataset, archive, where)
    train, validation = _split(archive.train, dataset.validation_images)
    return _held(name, dataset, (train, validation, archive.test), dataset.source.class_names(folder))


def _own(name: str, dataset: Dataset, source: OwnArrays, folder: Path, where: str) -> ImageData:
    """The user's arrays. ValueError, with the place, where they cannot be used."""
    try:
        own = source.read(folder)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    train, validation = own.train, own.validation
    if validation is None:
        taken = own_arrays.validation_images(len(train.labels), len(own.class_names))
        train, validation = _split(train, taken)
    data = _held(name, dataset, (train, validation, own.test), own.class_names)
    if min(data.std) == 0.0:
        channel = data.std.index(0.0) + 1
        raise ValueError(f"{where}: X_train has one value in all of channel {channel}, of which nothing can be learned")
    return data


def _fetch_command(name: str, data_dir: Path | None) -> str:
    folder = f" --data-dir {shlex.quote(str(resolve_data_dir(data_dir)))}" if data_dir else ""
    return f"`python -m study.datasets fetch {name}{folder}`"


def _check_archive(dataset: Dataset, archive: Archive, where: str) -> None:
    """The table's numbers are used to plan runs, so what was read must agree with them."""
    counts = (dataset.train_images + dataset.validation_images, dataset.test_images)
    for part, split, count in zip(("train", "test"), archive, counts, strict=True):
        shape = (count, dataset.channels, dataset.image_size, dataset.image_size)
        if split.images.shape != shape:
            raise ValueError(f"{where}: the {part} images have the shape {split.images.shape}, not {shape}")
        if not np.all((split.labels >= 0) & (split.labels < dataset.num_classes)):
            raise ValueError(f"{where}: a {part} label lies outside 0..{dataset.num_classes - 1}")


def _split(train: ImageSplit, taken: int) -> tuple[ImageSplit, ImageSplit]:
    """The train images that are kept, and those that validation takes."""
    kept_rows, taken_rows = stratified_split(train.labels, taken)
    return train.take(kept_rows), train.take(taken_rows)


def _held(
    name: str, dataset: Dataset, splits: tuple[ImageSplit, ImageSplit, ImageSplit], class_names: Sequence[str]
) -> ImageData:
    train, validation, test = splits
    mean, std = channel_moments(train)
    return ImageData(
        name=name,
        num_classes=len(class_names),
        train=train,
        validation=validation,
        test=test,
        mean=mean,
        std=std,
        mirror_keeps_class=dataset.mirror_keeps_class,
        fingerprint={
            "class_names": list(class_names),
            "train": _fingerprint(train),
            "validation": _fingerprint(validation),
            "test": _fingerprint(test),
        },
    )


def _fingerprint(split: ImageSplit) -> dict[str, Any]:
    """Fingerprint of every pixel and label: it takes half a second for CIFAR-10."""
    return part_fingerprint(len(split.labels), split.images.tobytes(), split.labels.astype("<i8").tobytes())


def channel_moments(split: ImageSplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels in [0, 1]; the sums are of integers and so exact."""
    over = (0, 2, 3)
    count = split.labels.size * split.images.shape[2] * split.images.shape[3]
    mean = split.images.sum(axis=over, dtype=np.int64) / count
    square = np.square(split.images, dtype=np.uint16).sum(axis=over, dtype=np.int64) / count
    std = np.sqrt(square - mean**2)
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())
