"""How a set is split into train, validation and test, and what tells its splits from any others. Reads nothing."""

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 1703  # of the paper's number, arXiv 1703.01827; another seed is another study, so it is no option

Split = TypeVar("Split")
Fingerprint = dict[str, Any]
"""`class_names`, and of `train`, `validation` and `test` the number of images and a digest; JSON values only."""


@dataclass(frozen=True)
class SplitData(Generic[Split]):
    """One set, split, whatever a split holds of it.

    Attributes:
        mean, std: per channel, of pixels in [0, 1].
        fingerprint: what tells the set as it was loaded from any other; a part of it keeps the whole set's.
    """

    name: str
    num_classes: int
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror_keeps_class: bool
    fingerprint: Fingerprint = field(default_factory=dict, kw_only=True)


def part_fingerprint(images: int, *content: bytes) -> dict[str, Any]:
    """What a fingerprint says of one split. 64 bits: a change is to be noticed, no forgery."""
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    return {"images": images, "sha256": digest.hexdigest()[:16]}


def stratified_split(labels: NDArray[np.int64], taken: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows kept and rows taken, ascending, disjoint and complete: one of each class first, then each class's share.

    A row's key is its place in a shuffled line-up of its class, as a fraction; the firsts of all line-ups are taken,
    and then the lowest keys. Where every class's share is an image or more, each gives its share to within one image.
    The outcome depends on the arguments and SPLIT_SEED alone: NumPy has frozen the stream of RandomState for all
    versions.
    """
    shuffled = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)[labels[by_class]]
    places = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])
    order = by_class[np.lexsort(((places + 0.5) / counts, places > 0))]
    return np.sort(order[taken:]), np.sort(order[:taken])


def drawn_split(
    names: list[str], labels: NDArray[np.int64], one_in: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows kept and rows taken, ascending: each image is drawn by its own name, one in `one_in`, and no other's.

    So an image that is added or removed moves no other. A class gives one image at least and keeps one: where none of
    its names is drawn, its first in the order of the draws is taken, and where all are drawn, its last is kept. Of such
    a class alone, an image that is added may move that one.

    Args:
        names: relative to the folder of all classes.
        labels: (N,); two images of each class at least.
        one_in: 10 for a tenth.
    """
    draws = np.array([_draw(name) for name in names])
    order = np.lexsort((draws, labels))
    firsts = np.unique(labels[order], return_index=True)[1]
    taken = draws < 1 / one_in
    taken[order[firsts]] = True
    taken[order[np.append(firsts[1:], len(order)) - 1]] = False
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _draw(name: str) -> float:
    """A uniform number in [0, 1) that depends on the name and SPLIT_SEED alone."""
    digest = hashlib.blake2b(os.fsencode(name), salt=str(SPLIT_SEED).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
