"""Where the archives of the data sets lie, how they are read and how they are fetched.

A source reads official train and test sets as they are published; it takes no validation set out and normalises
nothing. Looking whether files are here imports neither torch nor scikit-learn: both are imported where a set is
really read. Nothing is read from the network but by `fetch`.
"""

import gzip
import hashlib
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from study.datasets.splits import stratified_split

DIGITS_TEST_IMAGES = 270  # 15 % of 1,797: digits has no official test set
DIGITS_TOP_GREY = 16  # digits counts the dark dots of a 4 x 4 block
DIGIT_NAMES = tuple("0123456789")
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
FASHION_MNIST_MD5 = {  # of the four files unpacked: Debian packs them anew, so those of the published .gz do not help
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
FASHION_MNIST_FILES = tuple(FASHION_MNIST_MD5)
FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class DamagedFile(ValueError):  # noqa: N818  (says what is there, as MissingDataset does)
    """A file of an archive is not what its format or checksum says."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")


@dataclass(frozen=True)
class ImageSplit:
    """Images, uint8 (N, C, H, W), and their labels, int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "ImageSplit":
        """The images and labels at `rows`, copied."""
        return ImageSplit(np.ascontiguousarray(self.images[rows]), self.labels[rows])


class Archive(NamedTuple):
    """A data set as published."""

    train: ImageSplit
    test: ImageSplit


class Source(Protocol):
    """One archive on disk. `data_dir` is absolute."""

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """Files that `read` needs; none where the set comes with an installed package."""

    def read(self, data_dir: Path) -> Archive:
        """Read the whole set. Raises DamagedFile."""

    def class_names(self, data_dir: Path) -> tuple[str, ...]:
        """What the labels 0, 1, .. stand for. The set has been read, so its files are sound."""

    def fetch(self, data_dir: Path) -> None:
        """Bring the files that are missing or damaged. Raises OSError or RuntimeError where that fails."""


def all_here(paths: tuple[Path, ...]) -> bool:
    """True where each is there; a folder that may not be entered counts as empty, which `Path.exists` would raise."""
    return all(os.path.exists(path) for path in paths)


class Digits:
    """The 1,797 digits of 8 x 8 that scikit-learn carries (UCI optdigits); the test set is a stratified 270 of them."""

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """No files: the images are embedded."""
        return ()

    def read(self, data_dir: Path) -> Archive:
        """Grey levels 0..16 become 0..255."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey = np.rint(digits.images * (255 / DIGITS_TOP_GREY)).astype(np.uint8)
        everything = ImageSplit(grey[:, np.newaxis], digits.target.astype(np.int64))
        kept, taken = stratified_split(everything.labels, DIGITS_TEST_IMAGES)
        return Archive(everything.take(kept), everything.take(taken))

    def class_names(self, data_dir: Path) -> tuple[str, ...]:
        """The digits themselves."""
        return DIGIT_NAMES

    def fetch(self, data_dir: Path) -> None:
        """Fetch nothing: the images are embedded."""


class FashionMnist:
    """Four idx files: Debian's where its package is installed, else those that torchvision unpacks under data_dir."""

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """Train images and labels, then test images and labels."""
        packaged = tuple(DEBIAN_FASHION_MNIST / f"{name}.gz" for name in FASHION_MNIST_FILES)
        if all_here(packaged):
            return packaged
        return tuple(data_dir / "FashionMNIST" / "raw" / name for name in FASHION_MNIST_FILES)

    def read(self, data_dir: Path) -> Archive:
        """Read without torchvision: it knows the unpacked files only, and looks at no checksum of theirs."""
        train_images, train_labels, test_images, test_labels = map(_read_idx, self.files(data_dir))
        return Archive(_idx_split(train_images, train_labels), _idx_split(test_images, test_labels))

    def class_names(self, data_dir: Path) -> tuple[str, ...]:
        """The class names that torchvision gives."""
        return FASHION_MNIST_CLASSES

    def fetch(self, data_dir: Path) -> None:
        """Download and unpack what is missing or has another MD5."""
        wanted = [path for path in self.files(data_dir) if not path.exists() or _is_damaged(path)]
        if not wanted:
            return
        from torchvision.datasets import FashionMNIST
        from torchvision.datasets.utils import download_and_extract_archive

        (mirror,), published = FashionMNIST.mirrors, dict(FashionMNIST.resources)
        for path in wanted:
            name = f"{path.name.removesuffix('.gz')}.gz"
            download_and_extract_archive(f"{mirror}{name}", path.parent, filename=name, md5=published[name])


def _idx_split(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> ImageSplit:
    return ImageSplit(images[:, np.newaxis], labels.astype(np.int64))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file, gzipped or not: two zeros, type, number of axes, one big-endian uint32 an axis, then the values."""
    content, checksum = _read_bytes(path), FASHION_MNIST_MD5[path.name.removesuffix(".gz")]
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
        raise DamagedFile(path, f"the MD5 of its content is not {checksum}")
    header = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()  # the buffer itself is read-only


def _is_damaged(path: Path) -> bool:
    try:
        _read_idx(path)
    except DamagedFile:
        return True
    return False


def _read_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedFile(path, str(error)) from error


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100 in its Python form, read by torchvision's class of that name.

    The batches are pickles: torchvision unpickles them only after it has compared their MD5 with the published one.
    """

    class_name: str
    folder: str
    file_names: tuple[str, ...]

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """Batches and the names of the classes."""
        return tuple(data_dir / self.folder / name for name in self.file_names)

    def read(self, data_dir: Path) -> Archive:
        """Read training and test images, channels first."""
        reader = self._reader()
        listed = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
        for name, checksum in listed:
            _check_md5(data_dir / self.folder / name, checksum)
        train, test = (_open_cifar(reader, data_dir, train=train) for train in (True, False))
        return Archive(_cifar_part(train), _cifar_part(test))

    def class_names(self, data_dir: Path) -> tuple[str, ...]:
        """Read the class names from the set's own file."""
        return tuple(_open_cifar(self._reader(), data_dir, train=False).classes)

    def fetch(self, data_dir: Path) -> None:
        """Download and unpack what is missing or has another MD5."""
        _open_cifar(self._reader(), data_dir, download=True)

    def _reader(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.class_name)


def _open_cifar(reader: Any, data_dir: Path, **options: bool) -> Any:
    with warnings.catch_warnings():
        # The published pickles come from Python 2 and give the integer align=0, of which some NumPy 2.4 releases warn.
        warnings.filterwarnings("ignore", r"dtype\(\): align should be passed", np.exceptions.VisibleDeprecationWarning)
        return reader(data_dir, **options)


def _cifar_part(part: Any) -> ImageSplit:
    return ImageSplit(np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)), np.asarray(part.targets, dtype=np.int64))


class Svhn:
    """Street View House Numbers, cropped, in MATLAB's form, read by torchvision; the extra set is left out."""

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """The files of the training and of the test images."""
        return data_dir / "train_32x32.mat", data_dir / "test_32x32.mat"

    def read(self, data_dir: Path) -> Archive:
        """Read both parts; torchvision maps the label 10 to the digit 0."""
        from torchvision.datasets import SVHN

        for part in ("train", "test"):
            _, name, checksum = SVHN.split_list[part]
            _check_md5(data_dir / name, checksum)
        train, test = (SVHN(data_dir, split=part) for part in ("train", "test"))
        return Archive(_svhn_part(train), _svhn_part(test))

    def class_names(self, data_dir: Path) -> tuple[str, ...]:
        """The digits themselves."""
        return DIGIT_NAMES

    def fetch(self, data_dir: Path) -> None:
        """Download what is missing or has another MD5."""
        from torchvision.datasets import SVHN

        for part in ("train", "test"):
            SVHN(data_dir, split=part, download=True)


def _svhn_part(part: Any) -> ImageSplit:
    return ImageSplit(np.ascontiguousarray(part.data), part.labels)


def _check_md5(path: Path, checksum: str) -> None:
    """The readers of torchvision check too, but do not say which file is wrong."""
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(path, checksum):
        raise DamagedFile(path, f"its MD5 is not {checksum}")
