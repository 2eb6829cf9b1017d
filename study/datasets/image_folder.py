"""A folder of images too many to hold: which there are, and of which class. Reads names alone, never an image.

The layout is that of `torchvision.datasets.ImageFolder`, which reads it: train/CLASS/IMAGE and val/CLASS/IMAGE, the
classes in the order of their names. torchvision is imported where a folder is really read.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.datasets.readers import SplitData, stratified_split

FOLDER = "imagefolder"  # below data_dir
LAYOUT = "put images there as train/CLASS/*.jpg and val/CLASS/*.jpg (val becomes the test set)"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as published with torchvision's nets
VALIDATION_DIVISOR = 10  # of the train images one in ten, but no more than the table's entry says
FEWEST_PER_CLASS = 2  # train images: one to train on and one to validate with


@dataclass(frozen=True)
class PathSplit:
    """Images by their names relative to `folder`, and their labels, int64 (N,).

    The names are one array of bytes: ImageNet's are 40 MB so, and all trials on a node can map one copy of it.
    """

    folder: str
    names: NDArray[np.bytes_]
    labels: NDArray[np.int64]

    def path(self, row: int) -> str:
        """The file of one image."""
        return os.path.join(self.folder, os.fsdecode(bytes(self.names[row])))

    def take(self, rows: NDArray[np.int64]) -> "PathSplit":
        """The names and labels at `rows`, copied."""
        return PathSplit(self.folder, self.names[rows], self.labels[rows])


@dataclass(frozen=True)
class StreamedData(SplitData[PathSplit]):
    """One set of which names and labels are held; images are read when they are wanted, and cut to `image_size`."""

    image_size: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image as a net sees it."""
        return len(self.mean), self.image_size, self.image_size

    @property
    def held_bytes(self) -> int:
        """Memory that a trial holds for the set."""
        return sum(split.names.nbytes + split.labels.nbytes for split in (self.train, self.validation, self.test))


class ImageFolder:
    """data_dir/imagefolder with train and val; made by the user, never fetched."""

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """The two folders."""
        return data_dir / FOLDER / "train", data_dir / FOLDER / "val"

    def open(self, name: str, data_dir: Path, image_size: int, most_validation_images: int) -> StreamedData:
        """List both folders and take validation out of train, stratified: a tenth, but at least an image a class.

        Args:
            name: of the set.
            data_dir: absolute.
            image_size: to which images are cut when they are read.
            most_validation_images: of a folder of any size.

        Raises:
            OSError: there is no class, or a class without images.
            ValueError: the two folders have other classes, or there are too few images to split.
        """
        (train, classes), (test, test_classes) = map(_list_folder, self.files(data_dir))
        where = f"dataset = {name!r} in {data_dir / FOLDER}"
        if classes != test_classes:
            only = sorted(set(classes) ^ set(test_classes))
            raise ValueError(f"{where}: train and val must hold the same classes; only one holds {only[0]!r}")
        if len(classes) < 2 or np.bincount(train.labels).min() < FEWEST_PER_CLASS:
            raise ValueError(f"{where}: give at least 2 classes and {FEWEST_PER_CLASS} train images in each")
        taken = min(most_validation_images, max(len(classes), len(train.labels) // VALIDATION_DIVISOR))
        train_rows, validation_rows = stratified_split(train.labels, taken)
        return StreamedData(
            name=name,
            num_classes=len(classes),
            train=train.take(train_rows),
            validation=train.take(validation_rows),
            test=test,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            mirror_keeps_class=True,
            image_size=image_size,
        )


def _list_folder(folder: Path) -> tuple[PathSplit, list[str]]:
    """All images below `folder` in torchvision's order, and the names of their classes."""
    from torchvision.datasets import ImageFolder as Listing

    listing = Listing(folder)
    names = np.array([os.fsencode(path.removeprefix(f"{folder}{os.sep}")) for path, _ in listing.samples])
    return PathSplit(str(folder), names, np.array(listing.targets, dtype=np.int64)), listing.classes
