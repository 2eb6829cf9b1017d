"""The table of data sets: what is known of each before it is read, and where its files lie."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.datasets.image_folder import ImageFolder
from study.datasets.own_arrays import OwnArrays
from study.datasets.readers import Cifar, Digits, FashionMnist, Source, Svhn, all_here

DATA_DIR_VARIABLE = "STUDY_DATA_DIR"
OFFICIAL_VALIDATION_IMAGES = 5_000  # out of the official train set, as He et al. (2016) do on CIFAR-10: 45k/5k
DEFAULT_DATA_DIR = "data"  # of the working directory; git ignores it


@dataclass(frozen=True)
class Dataset:
    """What is known of a set before it is read. Counts are those after the split, `size` is that of the download.

    Of a user's own folder they are ImageNet's, and of own arrays CIFAR-10's, to weigh cells; the true ones are the
    loaded set's.
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
    source: Source | ImageFolder | OwnArrays
    other_way: str = ""

    @property
    def is_streamed(self) -> bool:
        """Whether it is a user's folder, of which names alone are held."""
        return isinstance(self.source, ImageFolder)

    @property
    def is_own(self) -> bool:
        """Whether the user brings it, so that its numbers are known once it is loaded."""
        return isinstance(self.source, ImageFolder | OwnArrays)

    def is_here(self, data_dir: Path | None = None) -> bool:
        """True where every file lies in its place; a look at names only, nothing is read."""
        return all_here(self.source.files(resolve_data_dir(data_dir)))

    def place(self, data_dir: Path | None = None) -> str:
        """The folder of its files, of own arrays the file itself, or `embedded`."""
        files = self.source.files(resolve_data_dir(data_dir))
        if isinstance(self.source, OwnArrays):
            return str(files[0]) if files else "memory"
        return str(files[0].parent) if files else "embedded"


def own_arrays(give: Callable[[], Any] | None = None) -> Dataset:
    """The entry of arrays that the user gives, see `OwnArrays`."""
    return Dataset(
        title="your arrays",
        licence="the images'",
        size="your own",
        num_classes=10,
        channels=3,
        image_size=32,
        train_images=45_000,
        validation_images=OFFICIAL_VALIDATION_IMAGES,
        test_images=10_000,
        mirror_keeps_class=True,
        source=OwnArrays(give),
    )


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
    "npz": own_arrays(),
}


def resolve_data_dir(data_dir: Path | None = None) -> Path:
    """The absolute folder of the archives: `data_dir`, else $STUDY_DATA_DIR, else ./data.

    A link stays a link, since every node follows it by itself. ValueError where it is in a home that there is not.
    """
    wish = Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR)
    try:
        return wish.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"data folder {wish}: {error}") from None


def find_dataset(name: str) -> Dataset:
    """The entry of `name`; a ValueError lists the known names."""
    if name not in DATASETS:
        raise ValueError(
            f"dataset = {name!r}: no such data set; known are {', '.join(DATASETS)}; arrays of your own are given at "
            f"every start, run_sweep(..., data={{{name!r}: (X, y, X_test, y_test)}}), or as npz"
        )
    return DATASETS[name]
