"""A data set on the trial's device: whole as uint8, drawn, augmented and normalised in batches. No DataLoader."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.nn import functional

from study.datasets import ImageData, ImageSplit

PAD_DIVISOR = 8  # pad-4 of a 32x32 image (He et al. 2016), in proportion for other sizes
EVALUATION_BATCH = 512  # large enough that calls do not dominate, small enough for any device


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A random stream of its own for each purpose, so that changing one (say augmentation) leaves the others alone."""
    return torch.Generator().manual_seed(crc32(f"{seed}:{purpose}".encode()))


def full_rows(order: Tensor, size: int, at_least: int | None = None) -> list[Tensor]:
    """The rows of batches that hold exactly `size` images; of a single smaller one where there are fewer.

    A short last batch would be normalised by statistics of another kind, so it is filled in front with rows of the
    batch before.

    Args:
        order: rows (N,), each once.
        size: images a batch.
        at_least: so many rows suffice; None: all.
    """
    count = len(order)
    ends = range(size, min(count, at_least or count) + size, size)
    return [order[max(0, min(end, count) - size) : min(end, count)] for end in ends]


class Normalizer:
    """Images uint8 to float32, each channel with mean 0 and variance 1, in channels_last order.

    Args:
        mean, std: per channel, of pixels in [0, 1].
        device: of the images.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> None:
        scale = 255.0 * torch.tensor(std, device=device)
        self.scale = (1.0 / scale).view(1, -1, 1, 1)
        self.shift = (torch.tensor(mean, device=device) * 255.0 / scale).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images (B, C, H, W)."""
        return (images * self.scale - self.shift).contiguous(memory_format=torch.channels_last)


class Batches:
    """Normalised batches of one data set on one device.

    Args:
        data: the arrays, uint8 (N, C, H, W).
        device: where batches are made.
        augment: whether training batches are padded, cropped and, where mirror images keep their class, flipped.
        seed: of the order and augmentation streams.
    """

    def __init__(self, data: ImageData, device: torch.device, *, augment: bool, seed: int) -> None:
        self._device, self._augment, self._flip = device, augment, data.mirror_keeps_class
        self._seed = seed
        self._order, self._augmentation = generator_for(seed, "order"), generator_for(seed, "augmentation")
        self._normalize = Normalizer(data.mean, data.std, device)
        self._splits = {name: self._load(getattr(data, name)) for name in ("train", "validation", "test")}

    def training(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every training image once, in a fresh order. Images (B, C, H, W) float32, labels (B,)."""
        images, labels = self._splits["train"]
        order = torch.split(torch.randperm(len(labels), generator=self._order).to(self._device), batch_size)
        views = self._views(images, [len(chosen) for chosen in order]) if self._augment else ()
        for chosen, view in zip_longest(order, views):
            batch = images[chosen]
            yield self._normalize(batch if view is None else _crop_and_flip(batch, view)), labels[chosen]

    def evaluation(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """`validation` or `test` in order, never augmented."""
        images, labels = self._splits[split]
        for start in range(0, len(labels), EVALUATION_BATCH):
            chosen = slice(start, start + EVALUATION_BATCH)
            yield self._normalize(images[chosen]), labels[chosen]

    def full(self, split: str, size: int, at_least: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of exactly `size`, see `full_rows`, in an order that is the same each time; never augmented."""
        images, labels = self._splits[split]
        order = torch.randperm(len(labels), generator=generator_for(self._seed, "full batches"))
        for rows in full_rows(order.to(self._device), size, at_least):
            yield self._normalize(images[rows]), labels[rows]

    def state(self) -> dict[str, Any]:
        """What the next epochs' order and augmentation depend on."""
        return {"order": self._order.get_state(), "augmentation": self._augmentation.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where other batches of the same data and seed were."""
        self._order.set_state(state["order"])
        self._augmentation.set_state(state["augmentation"])

    def _load(self, split: ImageSplit) -> tuple[Tensor, Tensor]:
        # A copy: arrays mapped from the object store are read-only, which torch does not support.
        images = torch.tensor(split.images, device=self._device)
        return images, torch.tensor(split.labels, device=self._device)

    def _views(self, images: Tensor, counts: list[int]) -> tuple[Tensor, ...]:
        """How each image of an epoch's batches is seen, (B, 3): row and column of its crop, and whether it is mirrored.

        Drawn batch by batch, and brought to the device once: a copy at each step would make it wait for the host.
        """
        places = 2 * (images.shape[2] // PAD_DIVISOR) + 1
        limits = (places, places, 2) if self._flip else (places, places)
        drawn = [torch.cat([self._draw(limit, count) for limit in limits], dim=1) for count in counts]
        return torch.split(torch.cat(drawn).to(self._device), counts)

    def _draw(self, below: int, count: int) -> Tensor:
        """Integers in [0, below), one an image, as a column (count, 1)."""
        return torch.randint(below, (count, 1), generator=self._augmentation)


def _crop_and_flip(images: Tensor, view: Tensor) -> Tensor:
    """Pad images (B, C, H, W) by size // 8, crop them, and mirror them where `view` has a third column that says so."""
    count, _, height, width = images.shape
    pad = height // PAD_DIVISOR
    padded = functional.pad(images, (pad, pad, pad, pad))
    rows = view[:, 0:1] + torch.arange(height, device=images.device)
    columns = view[:, 1:2] + torch.arange(width, device=images.device)
    if view.shape[1] > 2:
        columns = torch.where(view[:, 2:3].bool(), columns.flip(1), columns)
    each = torch.arange(count, device=images.device)
    return padded[each[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
