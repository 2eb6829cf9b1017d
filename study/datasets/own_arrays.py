"""Images that the user holds as arrays: of a .npz file, or given from Python. Sizes and classes are read from them.

They become what every held set is: uint8 (N, C, H, W) and labels 0, 1, ... What cannot be told for certain (which axis
holds the channels, what range floats have) is refused with the array's name. Nothing is ever unpickled.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.datasets.folder_listing import few
from study.datasets.readers import ImageSplit

Array = NDArray[Any]
SUFFIX = ".npz"
SPLITS = {"train": ("X_train", "y_train"), "validation": ("X_val", "y_val"), "test": ("X_test", "y_test")}
ARRAYS = tuple(name for pair in SPLITS.values() for name in pair)
REQUIRED = (*SPLITS["train"], *SPLITS["test"])  # and the order of a tuple; without validation, some of train are taken
FEWEST_PIXELS = 4  # a side, as of image_size
FEWEST_PER_CLASS = 2  # train images, where validation is taken out of them
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError)  # the last of object arrays, which are pickles
LABEL_KINDS = "biuSU"  # numpy's letters for truth values, integers and strings
LAYOUT = (
    f"let --data-dir name a {SUFFIX} file, or a folder that holds exactly one, with the arrays {', '.join(REQUIRED)}"
)


class OwnSplits(NamedTuple):
    """What was read; validation is None where it is to be taken out of train."""

    train: ImageSplit
    validation: ImageSplit | None
    test: ImageSplit
    class_names: list[str]


@dataclass(frozen=True)
class OwnArrays:
    """A set of the user's.

    Attributes:
        give: answers (X, y, X_test, y_test) or a dict by the names of ARRAYS; None: a .npz file in data_dir has them.
    """

    give: Callable[[], Any] | None = None

    def files(self, data_dir: Path) -> tuple[Path, ...]:
        """The file: data_dir itself, or the only one in it. None for arrays that are given."""
        if self.give is not None:
            return ()
        found = self._found(data_dir)
        return (found[0],) if len(found) == 1 else (data_dir / f"*{SUFFIX}",)

    def found_instead(self, data_dir: Path) -> str:
        """What makes the file hard to tell, for the message that it is not there."""
        found = self._found(data_dir)
        return f"; {data_dir} holds {few([path.name for path in found])}" if found else ""

    def read(self, data_dir: Path) -> OwnSplits:
        """Read all arrays.

        Raises:
            ValueError: one of them cannot be used; the message names it.
            OSError: the file cannot be read.
        """
        return own_splits(_read_file(self.files(data_dir)[0]) if self.give is None else _named(self._given()))

    def _given(self) -> Any:
        assert self.give is not None
        try:
            return self.give()
        except Exception as error:  # the user's function may raise anything
            raise ValueError(
                f"its function does not work: {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error

    @staticmethod
    def _found(data_dir: Path) -> list[Path]:
        if data_dir.suffix == SUFFIX and data_dir.is_file():
            return [data_dir]
        return sorted(data_dir.glob(f"*{SUFFIX}")) if data_dir.is_dir() else []


def _read_file(path: Path) -> dict[str, Array]:
    """The arrays of a .npz file that have a name of ours."""
    with path.open("rb") as file:  # by its name, numpy would leave a damaged one open
        try:
            content = np.load(file, allow_pickle=False)
        except UNREADABLE as error:
            raise ValueError(f"it is no {SUFFIX} file: {error}") from None
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError(f"it holds one array without a name: save them with np.savez, as {', '.join(REQUIRED)}")
        return {name: _member(content, name) for name in ARRAYS if name in content.files}


def _member(content: Mapping[str, Array], name: str) -> Array:
    try:
        return content[name]
    except UNREADABLE as error:
        raise ValueError(f"{name} cannot be read: {error}") from None


def _named(given: Any) -> dict[str, Array]:
    """The arrays by name, of a dict or of the four."""
    if not isinstance(given, Mapping):
        if not isinstance(given, tuple | list) or len(given) != len(REQUIRED):
            raise ValueError(f"give a tuple (X, y, X_test, y_test), or a dict with some of {', '.join(ARRAYS)}")
        given = dict(zip(REQUIRED, given, strict=True))
    unknown = [str(name) for name in given if name not in ARRAYS]
    if unknown:
        raise ValueError(f"unknown array {unknown[0]}: known are {', '.join(ARRAYS)}")
    return {name: np.asarray(array) for name, array in given.items()}


def own_splits(arrays: Mapping[str, Array]) -> OwnSplits:
    """The splits, of images and labels in any of the forms that `docs/own-data.md` describes.

    Raises:
        ValueError: an array is missing or cannot be used; the message names it.
    """
    splits = {split: pair for split, pair in SPLITS.items() if split != "validation" or any(n in arrays for n in pair)}
    missing = [name for pair in splits.values() for name in pair if name not in arrays]
    if missing:
        raise ValueError(f"{', '.join(missing)} is missing: it must hold {', '.join(REQUIRED)}")
    for pair in splits.values():
        _check(*pair, *(arrays[name] for name in pair))
    pixels = _pixels({images: arrays[images] for images, _ in splits.values()})
    classes, labels = _classes({names: arrays[names].reshape(-1) for _, names in splits.values()})
    read = {split: ImageSplit(pixels[images], labels[names]) for split, (images, names) in splits.items()}
    _check_classes(classes, labels["y_train"], whole="validation" in read)
    return OwnSplits(read["train"], read.get("validation"), read["test"], classes)


def _check(images_name: str, labels_name: str, images: Array, labels: Array) -> None:
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"{images_name} is of {images.dtype}: give uint8 from 0 to 255, or floats from 0 to 1")
    if labels.dtype.kind not in LABEL_KINDS:
        raise ValueError(f"{labels_name} is of {labels.dtype}: give integers or strings, one an image")
    if labels.shape not in {(labels.size,), (labels.size, 1)}:
        raise ValueError(f"{labels_name} has the shape {labels.shape}: give one label an image, (N,)")
    if images.ndim not in {3, 4} or not images.size:
        raise ValueError(f"{images_name} has the shape {images.shape}: give (N, H, W), (N, H, W, C) or (N, C, H, W)")
    if len(images) != len(labels):
        raise ValueError(f"{images_name} has {len(images):,} images and {labels_name} {len(labels):,} labels")


def _pixels(images: Mapping[str, Array]) -> dict[str, NDArray[np.uint8]]:
    """All as uint8 (N, C, H, W) of one size."""
    shaped = {name: _channels_first(name, array) for name, array in images.items()}
    first, *others = shaped
    wanted = shaped[first]
    for name in others:
        found = shaped[name]
        if (found.dtype.kind, found.shape[1:]) != (wanted.dtype.kind, wanted.shape[1:]):
            raise ValueError(
                f"{first} and {name} must be alike: one has {wanted.dtype} images of {wanted.shape[1:]}, the other "
                f"{found.dtype} of {found.shape[1:]} (C, H, W)"
            )
    if wanted.dtype == np.uint8:
        return {name: np.ascontiguousarray(array) for name, array in shaped.items()}
    scale = _scale(shaped)
    return {name: np.ascontiguousarray(np.rint(array * scale).astype(np.uint8)) for name, array in shaped.items()}


def _channels_first(name: str, images: Array) -> Array:
    """(N, C, H, W): the channels are the second axis or the last, whichever is smaller than both other ones."""
    if images.ndim == 3:
        images = images[:, np.newaxis]
    elif images.shape[3] < min(images.shape[1:3]):
        images = images.transpose(0, 3, 1, 2)
    elif images.shape[1] >= min(images.shape[2:]):
        raise ValueError(
            f"{name} has the shape {images.shape}, of which axis 2 or 4 holds the channels, and which one is not to be "
            "told: an image must have more pixels a side than channels"
        )
    if min(images.shape[2:]) < FEWEST_PIXELS:
        raise ValueError(
            f"{name} has images of {images.shape[2]}x{images.shape[3]}: give {FEWEST_PIXELS} pixels a side"
        )
    return images


def _scale(images: Mapping[str, Array]) -> np.float32:
    """What makes 0..255 of floats: 255 where all lie in [0, 1], 1 where all are whole numbers from 0 to 255."""
    for name, array in images.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity in {np.sum(~np.isfinite(array)):,} places")
    if all(array.min() >= 0 and array.max() <= 1 for array in images.values()):
        return np.float32(255)
    for name, array in images.items():
        if array.min() < 0 or array.max() > 255 or not np.array_equal(array, np.rint(array)):
            raise ValueError(
                f"{name} holds floats from {array.min():g} to {array.max():g}: give floats from 0 to 1, or whole "
                "numbers from 0 to 255; normalising is done here"
            )
    return np.float32(1)


def _classes(labels: Mapping[str, Array]) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """The classes' names, in the order of the train labels' values, and all labels as their places in it."""
    values = np.unique(labels["y_train"])
    for name, array in labels.items():
        if array.dtype.kind != values.dtype.kind and not {array.dtype.kind, values.dtype.kind} <= set("biu"):
            raise ValueError(f"{name} is of {array.dtype} and y_train of {labels['y_train'].dtype}: give one kind")
        strange = np.setdiff1d(array, values)
        if len(strange):
            raise ValueError(f"{name} has a class that y_train lacks: {few([_name(value) for value in strange])}")
    return [_name(value) for value in values], {
        name: np.searchsorted(values, array).astype(np.int64) for name, array in labels.items()
    }


def _name(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _check_classes(classes: list[str], train_labels: NDArray[np.int64], *, whole: bool) -> None:
    fewest = 1 if whole else FEWEST_PER_CLASS
    lonely = [classes[label] for label in np.flatnonzero(np.bincount(train_labels) < fewest)]
    if len(classes) < 2:
        raise ValueError(f"y_train has one class, {classes[0]}: give at least 2")
    if lonely:
        raise ValueError(f"y_train has one image of {few(lonely)}: give 2, or X_val and y_val")


def validation_images(images: int, classes: int) -> int:
    """How many are taken out of the train images: a tenth, at most 5,000, and one of each class at least."""
    return max(classes, min(5_000, math.ceil(images / 10)))
