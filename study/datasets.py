"""The data sets of the study: which there are, whether they are here, and how they come as arrays.

`python -m study.datasets` lists them and `python -m study.datasets fetch NAME` brings one (`study.dataset_commands`).
A set is held whole as uint8, or, where it is too large for that, by the names of its images
(`study.data.image_folder`).
Augmenting and normalising are the trainer's. Never imports Ray, never uses the network.
"""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.data.image_folder import LAYOUT, ImageFolder, StreamedData
from study.data.readers import (
    Archive,
    Cifar,
    DamagedFile,
    Digits,
    FashionMnist,
    ImageSplit,
    Source,
    SplitData,
    Svhn,
    all_here,
    stratified_split,
)

__all__ = [
    "DATASETS",
    "AnyData",
    "Dataset",
    "ImageData",
    "ImageSplit",
    "MissingDataset",
    "StreamedData",
    "channel_moments",
    "find_dataset",
    "load_dataset",
    "missing_message",
    "resolve_data_dir",
]

DATA_DIR_VARIABLE = "STUDY_DATA_DIR"
OFFICIAL_VALIDATION_IMAGES = 5_000  # out of the official train set, as He et al. (2016) do on CIFAR-10: 45k/5k
DEFAULT_DATA_DIR = "data"  # of the working directory; git ignores it


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
    def held_bytes(self) -> int:
        """Memory that a trial holds for the set."""
        return sum(split.images.nbytes for split in (self.train, self.validation, self.test))


AnyData = ImageData | StreamedData


@dataclass(frozen=True)
class Dataset:
    """What is known of a set before it is read. Counts are those after the split, `size` is that of the download.

    Of a user's own folder they are ImageNet's, to list and to weigh cells; the true ones are the loaded set's.
    """

    title: str
    licence: str
    size: str
    num_classes: int
    channels: int
    image_size: int
    train_images: int
    validation_images: int
    test_images: int
    mirror_keeps_class: bool
    source: Source | ImageFolder
    other_way: str = ""

    @property
    def is_streamed(self) -> bool:
        """Whether it is a user's folder, of which names alone are held."""
        return isinstance(self.source, ImageFolder)

    def is_here(self, data_dir: Path | None = None) -> bool:
        """True where every file lies in its place; a look at names only, nothing is read."""
        return all_here(self.source.files(resolve_data_dir(data_dir)))

    def place(self, data_dir: Path | None = None) -> str:
        """The folder of its files, or `embedded`."""
        files = self.source.files(resolve_data_dir(data_dir))
        return str(files[0].parent) if files else "embedded"


DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        title="UCI, in scikit-learn",
        licence="CC BY 4.0",
        size="embedded",
        num_classes=10,
        channels=1,
        image_size=8,
        train_images=1_257,
        validation_images=270,
        test_images=270,
        mirror_keeps_class=False,
        source=Digits(),
    ),
    "fashion_mnist": Dataset(
        title="clothes (Zalando)",
        licence="MIT",
        size="31 MB",
        num_classes=10,
        channels=1,
        image_size=28,
        train_images=55_000,
        validation_images=OFFICIAL_VALIDATION_IMAGES,
        test_images=10_000,
        mirror_keeps_class=True,
        source=FashionMnist(),
        other_way="on Debian: apt-get install dataset-fashion-mnist",
    ),
    "cifar10": Dataset(
        title="tiny photographs",
        licence="none stated",
        size="170 MB",
        num_classes=10,
        channels=3,
        image_size=32,
        train_images=45_000,
        validation_images=OFFICIAL_VALIDATION_IMAGES,
        test_images=10_000,
        mirror_keeps_class=True,
        source=Cifar(
            "CIFAR10",
            "cifar-10-batches-py",
            (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"),
        ),
    ),
    "cifar100": Dataset(
        title="tiny photographs",
        licence="none stated",
        size="169 MB",
        num_classes=100,
        channels=3,
        image_size=32,
        train_images=45_000,
        validation_images=OFFICIAL_VALIDATION_IMAGES,
        test_images=10_000,
        mirror_keeps_class=True,
        source=Cifar("CIFAR100", "cifar-100-python", ("train", "test", "meta")),
    ),
    "svhn": Dataset(
        title="house numbers",
        licence="non-commercial",
        size="246 MB",
        num_classes=10,
        channels=3,
        image_size=32,
        train_images=68_257,
        validation_images=OFFICIAL_VALIDATION_IMAGES,
        test_images=26_032,
        mirror_keeps_class=False,
        source=Svhn(),
    ),
    "imagefolder": Dataset(
        title="your photographs",
        licence="the images'",
        size="your own",
        num_classes=1_000,
        channels=3,
        image_size=224,
        train_images=1_231_167,
        validation_images=50_000,
        test_images=50_000,
        mirror_keeps_class=True,
        source=ImageFolder(),
    ),
}


def resolve_data_dir(data_dir: Path | None = None) -> Path:
    """The absolute folder of the archives: `data_dir`, else $STUDY_DATA_DIR, else ./data."""
    return Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR).expanduser().resolve()


def find_dataset(name: str) -> Dataset:
    """The entry of `name`; a ValueError lists the known names."""
    if name not in DATASETS:
        raise ValueError(f"dataset = {name!r}: no such data set; known are {', '.join(DATASETS)}")
    return DATASETS[name]


def missing_message(name: str, data_dir: Path | None = None) -> str | None:
    """One line that says how `name` comes here, or None where it is here. Cheap: to be asked before a run starts."""
    dataset = find_dataset(name)
    if dataset.is_here(data_dir):
        return None
    other_way = f" ({dataset.other_way})" if dataset.other_way else ""
    way = LAYOUT if dataset.is_streamed else f"run {_fetch_command(name, data_dir)}{other_way}"
    return f"dataset = {name!r} is not in {dataset.place(data_dir)}: {way}"


def load_dataset(name: str, data_dir: Path | None = None) -> AnyData:
    """Read one set, or the names of its images where it is streamed, and split it.

    Test is the official test set and is never touched by the search. Validation is taken out of the official train set,
    stratified, with a fixed seed: 5,000 images (270 of digits, whose 270 test images are taken in the same way; a tenth
    of a folder's, at most 50,000).

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
    archive = dataset.source.read(folder)
    _check_archive(dataset, archive, f"dataset = {name!r} in {dataset.place(folder)}")
    return _split(name, dataset, archive)


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


def _split(name: str, dataset: Dataset, archive: Archive) -> ImageData:
    train_rows, validation_rows = stratified_split(archive.train.labels, dataset.validation_images)
    train = archive.train.take(train_rows)
    mean, std = channel_moments(train)
    validation, mirror = archive.train.take(validation_rows), dataset.mirror_keeps_class
    return ImageData(name, dataset.num_classes, train, validation, archive.test, mean, std, mirror)


def channel_moments(split: ImageSplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels in [0, 1]; the sums are of integers and so exact."""
    over = (0, 2, 3)
    count = split.labels.size * split.images.shape[2] * split.images.shape[3]
    mean = split.images.sum(axis=over, dtype=np.int64) / count
    square = np.square(split.images, dtype=np.uint16).sum(axis=over, dtype=np.int64) / count
    std = np.sqrt(square - mean**2)
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


if __name__ == "__main__":
    from study.dataset_commands import main

    sys.exit(main())
