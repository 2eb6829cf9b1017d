"""Read all of a user's own images once, to know before a long run which are damaged, and which are in two splits."""

import hashlib
import os
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool

from study.datasets.image_folder import StreamedData
from study.datasets.image_views import SHOWN_FAULTS, DamagedImage, allow_pixels, read_image
from study.datasets.loading import ImageData
from study.terminal import plural

AT_ONCE = 16  # images that a thread takes at a time; Pillow decodes beside the interpreter's lock


class Inspection:
    """What was found; complete once `lines` has been read to its end."""

    def __init__(self, data: StreamedData) -> None:
        self._data = data
        self.images, self.damaged, self.copies = 0, 0, list[str]()

    def lines(self) -> Iterator[str]:
        """What to say: the folder, every damaged image when it is met, the first copies, and the sum."""
        yield self._data.summary
        allow_pixels(self._data.most_pixels)
        first: dict[bytes, tuple[str, str]] = {}
        with ThreadPool(os.cpu_count()) as pool:
            for split in ("train", "validation", "test"):
                part = getattr(self._data, split)
                paths = (part.path(row) for row in range(len(part.labels)))
                for path, digest, fault in pool.imap(_look, paths, AT_ONCE):
                    self.images += 1
                    if fault is not None:
                        self.damaged += 1
                        yield str(fault)
                        continue
                    other_split, other = first.setdefault(digest, (split, path))
                    if other_split != split:
                        self.copies.append(f"{path} ({split}) has the bytes of {other} ({other_split})")
        yield from self.copies[:SHOWN_FAULTS]
        read, copies = plural(self.images, "image"), len(self.copies)
        yield f"{read} read: {self.damaged:,} damaged, {copies:,} also in another split"


def held_copies(data: ImageData) -> int:
    """How many images of validation and test are, pixel for pixel, in a split before their own: train, validation."""
    seen: set[bytes] = set()
    copies = 0
    for split in (data.train, data.validation, data.test):
        digests = [hashlib.sha256(image.tobytes()).digest() for image in split.images]
        copies += sum(digest in seen for digest in digests)
        seen.update(digests)
    return copies


def _look(path: str) -> tuple[str, bytes, DamagedImage | None]:
    """The digest of a file's bytes, and what is wrong with its image."""
    try:
        read_image(path)
        with open(path, "rb") as file:
            return path, hashlib.file_digest(file, "sha256").digest(), None
    except DamagedImage as fault:
        return path, b"", fault
