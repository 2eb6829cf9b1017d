"""A folder of images too many to hold: which there are, and of which class. Reads names and sizes, never an image.

The layout is that of `torchvision.datasets.ImageFolder`: train/CLASS/IMAGE and val/CLASS/IMAGE, the classes in the
order of their names.
"""

import math
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.datasets.folder_listing import Listing, few, list_folder, shared_images, told_left_out
from study.datasets.image_views import MAX_PIXELS_VARIABLE
from study.datasets.splits import SplitData, drawn_split, part_fingerprint

FOLDER = "imagefolder"  # below data_dir
TEST_FOLDERS = ("val", "valid", "validation")  # beside train; the first that is there becomes the test set
LAYOUT = (
    "put images there, or into the folder that --data-dir names, as train/CLASS/*.jpg and val/CLASS/*.jpg "
    "(val, valid or validation becomes the test set)"
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as published with torchvision's nets
VALIDATION_DIVISOR = 10  # of the train images one in ten, or fewer where the table's entry says so
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
        """Path of one image's file."""
        return os.path.join(self.folder, os.fsdecode(bytes(self.names[row])))

    def take(self, rows: NDArray[np.int64]) -> "PathSplit":
        """The names and labels at `rows`, copied."""
        return PathSplit(self.folder, self.names[rows], self.labels[rows])


@dataclass(frozen=True)
class StreamedData(SplitData[PathSplit]):
    """One set of which names and labels are held; images are read when they are wanted, and cut to `image_size`.

    Attributes:
        left_out: reason to the number of names in the folder that are no images of the set.
        most_pixels: of an image, where the user has set a bound; see `image_views.allow_pixels`.
    """

    image_size: int
    left_out: Counter[str] = field(default_factory=Counter, kw_only=True)
    most_pixels: int | None = field(default=None, kw_only=True)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image as a net sees it."""
        return len(self.mean), self.image_size, self.image_size

    @property
    def held_bytes(self) -> int:
        """Memory that a trial holds for the set."""
        return sum(split.names.nbytes + split.labels.nbytes for split in (self.train, self.validation, self.test))

    @property
    def summary(self) -> str:
        """One line: how many classes and images were found, and what was left out."""
        train, validation, test = (len(split.labels) for split in (self.train, self.validation, self.test))
        return (
            f"{self.name}: {self.num_classes:,} classes; {train:,} training, {validation:,} validation and {test:,} "
            f"test images in {os.path.dirname(self.train.folder)}{told_left_out(self.left_out)}"
        )


class ImageFolder:
    """A folder with train/ and val/: data_dir/imagefolder, or data_dir itself. Made by the user, never fetched."""

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """The two folders; where no place has both, those that are looked for first."""
        pairs = [(root / "train", root / name) for root in (data_dir / FOLDER, data_dir) for name in TEST_FOLDERS]
        return next((pair for pair in pairs if all(map(os.path.isdir, pair))), pairs[0])

    def found_instead(self, data_dir: Path) -> str:
        """What lies where the two folders are looked for, for the message that they are not there."""
        place = data_dir / FOLDER if (data_dir / FOLDER).is_dir() else data_dir
        names = sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
        return f"; the folders in {place} are {few(names)}" if names else ""

    def open(self, name: str, data_dir: Path, image_size: int, most_validation_images: int) -> StreamedData:
        """List both folders and take validation out of train, see `drawn_split`: one image in ten, or fewer.

        Args:
            name: of the set.
            data_dir: absolute.
            image_size: to which images are cut when they are read.
            most_validation_images: about so many of a folder of any size.

        Raises:
            OSError: a folder cannot be read, there is no class, or a class without images.
            ValueError: the two folders have other classes or the same images, or there are too few images to split.
        """
        train, test = (list_folder(str(folder)) for folder in self.files(data_dir))
        _check(f"dataset = {name!r} in {os.path.dirname(train.folder)}", train, test)
        one_in = max(VALIDATION_DIVISOR, math.ceil(len(train.names) / most_validation_images))
        kept, taken = drawn_split(train.names, np.array(train.labels), one_in)
        everything = np.arange(len(test.names))
        return StreamedData(
            name=name,
            num_classes=len(train.classes),
            train=_split(train, kept),
            validation=_split(train, taken),
            test=_split(test, everything),
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            mirror_keeps_class=True,
            image_size=image_size,
            fingerprint={
                "class_names": train.classes,
                "train": _fingerprint(train, kept),
                "validation": _fingerprint(train, taken),
                "test": _fingerprint(test, everything),
            },
            left_out=train.left_out + test.left_out,
            most_pixels=_most_pixels(),
        )


def _check(where: str, train: Listing, test: Listing) -> None:
    if train.classes != test.classes:
        only = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(f"{where}: train and val must hold the same classes; only one holds {only[0]!r}")
    counts = np.bincount(train.labels)
    if len(counts) < 2 or counts.min() < FEWEST_PER_CLASS:
        lonely = few([name for name, count in zip(train.classes, counts, strict=True) if count < FEWEST_PER_CLASS])
        found = f"fewer are in {lonely}" if lonely else f"there is only {train.classes[0]}"
        raise ValueError(f"{where}: give at least 2 classes and {FEWEST_PER_CLASS} train images in each; {found}")
    shared = shared_images(train, test)
    if shared:
        raise ValueError(
            f"{where}: {len(shared):,} of the test images are training images too, the same file or a copy under the "
            f"same name: {few(shared)}"
        )


def _split(listing: Listing, rows: NDArray[np.int64]) -> PathSplit:
    names = np.array([os.fsencode(listing.names[row]) for row in rows.tolist()])
    return PathSplit(listing.folder, names, np.array(listing.labels, dtype=np.int64)[rows])


def _fingerprint(listing: Listing, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Fingerprint of names and sizes: reading the files' content would take as long as an epoch."""
    lines = (f"{listing.names[row]}\0{listing.sizes[row]}\0" for row in rows.tolist())
    return part_fingerprint(len(rows), *map(os.fsencode, lines))


def _most_pixels() -> int | None:
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{MAX_PIXELS_VARIABLE} = {text!r}: give a whole number of pixels above 0")
    return int(text)
