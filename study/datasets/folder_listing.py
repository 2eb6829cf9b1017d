"""Which images lie in a folder of classes, and what is left out of them. Reads names and sizes alone, never an image.

The order is that of `torchvision.datasets.ImageFolder`. A file counts once, whatever links lead to it.
"""

import filecmp
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from study.terminal import plural

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
LEFT_BY_SYSTEMS = {  # beside names that begin with a dot
    *("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
    *("@eaDir", "#recycle", "Thumbs.db", "ehthumbs.db", "desktop.ini", "__pycache__"),
}
SHOWN = 8  # reasons, classes or files that a message names

FileKey = str | tuple[int, int]
"""What tells two files apart: the real path, or device and number where a file has several names."""


@dataclass(frozen=True)
class Listing:
    """What one folder holds: images, classes, and what is left out.

    Attributes:
        folder: absolute, as it was given.
        classes: in the order of their names; their places are the labels.
        names: relative to the folder, with slashes.
        labels, sizes: of each image; sizes in bytes.
        left_out: reason to the number of names that were left out for it.
        files: what each image is on disk, to its name.
    """

    folder: str
    classes: list[str]
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    files: dict[FileKey, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Path of the image with that name."""
        return os.path.join(self.folder, name)


def list_folder(folder: str) -> Listing:
    """All images of all classes.

    Raises:
        OSError: a folder cannot be read, there is no class, or a class without images.
        ValueError: one file is in two classes.
    """
    left_out: Counter[str] = Counter()
    with os.scandir(folder) as entries:
        visible = [entry for entry in sorted(entries, key=lambda entry: entry.name) if _is_visible(entry, left_out)]
    listing = Listing(folder, [entry.name for entry in visible if entry.is_dir()], left_out=left_out)
    left_out["in no class folder"] += len(visible) - len(listing.classes)
    for label, name in enumerate(listing.classes):
        _list_class(listing, name, label)
    filled = set(listing.labels)
    empty = [name for label, name in enumerate(listing.classes) if label not in filled]
    if empty or not listing.classes:
        what = f"no image in the class folders {few(empty)}" if empty else "no class folders, train/CLASS/IMAGE,"
        raise FileNotFoundError(
            f"{what} of {folder} (images end in {', '.join(IMAGE_SUFFIXES)}){told_left_out(left_out)}"
        )
    return listing


def _list_class(listing: Listing, class_name: str, label: int) -> None:
    above = listing.path("")
    images = _images(listing.path(class_name), set(), listing.left_out)
    for parent, entry, key in sorted(images, key=lambda image: (image[0], image[1].name)):
        name = os.path.join(parent, entry.name).removeprefix(above).replace(os.sep, "/")
        known = listing.files.setdefault(key, name)
        if known == name:
            listing.names.append(name)
            listing.labels.append(label)
            listing.sizes.append(entry.stat().st_size)
        elif known.partition("/")[0] == class_name:
            listing.left_out["met twice"] += 1
        else:
            raise ValueError(f"{name} and {known} in {listing.folder} are one file, in two classes")


def _images(
    folder: str, entered: set[str], left_out: Counter[str]
) -> Iterator[tuple[str, "os.DirEntry[str]", FileKey]]:
    """Images below a folder: their folders, their entries and what they are on disk. A folder is entered once."""
    real = os.path.realpath(folder)
    if real in entered:
        left_out["met twice"] += 1
        return
    entered.add(real)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not _is_visible(entry, left_out):
                continue
            if entry.is_dir():
                yield from _images(entry.path, entered, left_out)
            elif not entry.name.lower().endswith(IMAGE_SUFFIXES):
                left_out[os.path.splitext(entry.name)[1].lower() or "without a suffix"] += 1
            elif not entry.is_file():
                left_out["links to nothing" if entry.is_symlink() else "no files"] += 1
            else:
                yield folder, entry, _key(entry, real)


def _is_visible(entry: "os.DirEntry[str]", left_out: Counter[str]) -> bool:
    hidden = entry.name.startswith(".") or entry.name in LEFT_BY_SYSTEMS
    left_out["hidden"] += hidden
    return not hidden


def _key(entry: "os.DirEntry[str]", real_folder: str) -> FileKey:
    found = entry.stat()
    if found.st_nlink > 1:
        return found.st_dev, found.st_ino
    return os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real_folder, entry.name)


def shared_images(train: Listing, test: Listing) -> list[str]:
    """Names of test images that are training images too: the same file, or a copy under the same name."""
    sizes = dict(zip(train.names, train.sizes, strict=True))
    return [
        name
        for (key, name), size in zip(test.files.items(), test.sizes, strict=True)
        if key in train.files
        or (sizes.get(name) == size and filecmp.cmp(train.path(name), test.path(name), shallow=False))
    ]


def told_left_out(left_out: Counter[str]) -> str:
    """`; left out: 3 hidden, 2 .gif`, or nothing."""
    parts = [f"{count:,} {reason}" for reason, count in left_out.most_common() if count]
    if not parts:
        return ""
    others = parts[SHOWN:]
    return "; left out: " + ", ".join([*parts[:SHOWN], *([plural(len(others), "other reason")] if others else [])])


def few(names: Sequence[str]) -> str:
    """The first names of a list, and how many others there are."""
    return ", ".join([*names[:SHOWN], *([f"and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else [])])
