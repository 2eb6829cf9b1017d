"""A data set too large to hold, in batches: images are decoded when they are wanted, in worker processes or here.

The counterpart of `study.training.batches.Batches`. What an image looks like depends on seed, epoch and image
alone, never on who decodes it, so that the number of workers changes no record. Draws from no global generator.
"""

import multiprocessing
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from study.datasets import AnyData, ImageData
from study.datasets.image_folder import StreamedData
from study.datasets.image_views import (
    TRAINING_DRAWS,
    DamagedImage,
    allow_pixels,
    evaluation_view,
    faults_told,
    read_image,
    training_view,
)
from study.training.batches import Batches, Normalizer, full_rows, generator_for

EVALUATION_BATCH = 64  # photographs are large: the first activation of 64 is 200 MB in an ImageNet-size net
START_METHOD = "forkserver"  # a trial's process has threads, which a plain fork does not survive
BATCHES_AHEAD = 2  # that each worker keeps ready


def open_batches(
    data: AnyData, device: torch.device, *, augment: bool, seed: int, loader_workers: int = 0
) -> "Batches | StreamedBatches":
    """The batches of a set, held or streamed; `loader_workers` matters to a streamed one alone."""
    if isinstance(data, ImageData):
        return Batches(data, device, augment=augment, seed=seed)
    return StreamedBatches(data, device, augment=augment, seed=seed, loader_workers=loader_workers)


class BatchKey(NamedTuple):
    """A batch that is wanted: rows of a split, and the epoch where they are to be augmented."""

    split: str
    rows: NDArray[np.int64]
    epoch: int | None


class StreamedBatches:
    """Normalised batches of one streamed data set on one device. One iterator at a time: a new one ends the last.

    Args:
        data: names and labels.
        device: where batches go.
        augment: whether training images are cropped at random and mirrored; else they are seen as in evaluation.
        seed: of the order and augmentation streams.
        loader_workers: processes that decode, kept from epoch to epoch; 0: this process does.
    """

    def __init__(
        self, data: StreamedData, device: torch.device, *, augment: bool, seed: int, loader_workers: int = 0
    ) -> None:
        self._data, self._device, self._augment = data, device, augment
        self._seed, self._order, self._epoch = seed, generator_for(seed, "order"), 0
        self._normalize = Normalizer(data.mean, data.std, device)
        self._wanted = Wanted()
        self._loader: DataLoader[Any] = DataLoader(
            Decoder(data, seed),
            batch_size=None,  # a key is a whole batch
            sampler=self._wanted,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # else the loader would draw its workers' seeds, unused, from the global one
            **(_worker_options(loader_workers) if loader_workers else {}),
        )

    def training(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every training image once, in a fresh order. Images (B, C, H, W) float32, labels (B,)."""
        order = torch.randperm(len(self._data.train.labels), generator=self._order)
        self._epoch += 1
        yield from self._batches("train", torch.split(order, batch_size), self._epoch if self._augment else None)

    def evaluation(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """`validation` or `test` in order, never augmented."""
        rows = torch.arange(self._count(split))
        yield from self._batches(split, torch.split(rows, EVALUATION_BATCH), None)

    def full(self, split: str, size: int, at_least: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of exactly `size`, see `full_rows`, in an order that is the same each time; never augmented."""
        order = torch.randperm(self._count(split), generator=generator_for(self._seed, "full batches"))
        yield from self._batches(split, full_rows(order, size, at_least), None)

    def state(self) -> dict[str, Any]:
        """What the next epochs' order and augmentation depend on."""
        return {"order": self._order.get_state(), "epoch": self._epoch}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where other batches of the same data and seed were."""
        self._order.set_state(state["order"])
        self._epoch = state["epoch"]

    def _count(self, split: str) -> int:
        return len(getattr(self._data, split).labels)

    def _batches(self, split: str, batches: Iterable[Tensor], epoch: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        self._wanted.keys = [BatchKey(split, rows.numpy(), epoch) for rows in batches]
        for batch in self._loader:
            if isinstance(batch, ValueError):
                raise batch
            images, labels = (part.to(self._device, non_blocking=True) for part in batch)
            yield self._normalize(images), labels


class Wanted(Sampler[BatchKey]):
    """The batches that the loader gives next, in order."""

    def __init__(self) -> None:
        self.keys: list[BatchKey] = []

    def __iter__(self) -> Iterator[BatchKey]:
        return iter(self.keys)


class Decoder(Dataset[Any]):
    """Decodes the batch of a key; the part of a streamed set that lives in the workers."""

    def __init__(self, data: StreamedData, seed: int) -> None:
        self._data, self._seed = data, seed

    def __getitem__(self, key: BatchKey) -> tuple[Tensor, Tensor] | ValueError:
        """Images uint8 (B, C, H, W) in channels_last order, and labels. Damaged files' error is returned, not raised.

        Raised, it would reach the user wrapped in the loader's own and in a traceback of another process.
        """
        allow_pixels(self._data.most_pixels)
        split = getattr(self._data, key.split)
        views, faults = [], []
        for row in key.rows.tolist():
            try:
                views.append(self._view(split.path(row), row, key.epoch))
            except DamagedImage as fault:
                faults.append(fault)
        if faults:
            return faults_told(faults)
        return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2), torch.from_numpy(split.labels[key.rows])

    def _view(self, path: str, row: int, epoch: int | None) -> NDArray[np.uint8]:
        image = read_image(path)
        if epoch is None:
            return evaluation_view(image, self._data.image_size)
        generator = generator_for(self._seed, f"augmentation of image {row} in epoch {epoch}")
        draws = torch.rand(TRAINING_DRAWS, generator=generator).tolist()
        return training_view(image, self._data.image_size, draws, mirror=self._data.mirror_keeps_class)


def _worker_options(loader_workers: int) -> dict[str, Any]:
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload([__name__])  # torch is imported once and not by every worker
    return {
        "num_workers": loader_workers,
        "multiprocessing_context": context,
        "persistent_workers": True,
        "prefetch_factor": BATCHES_AHEAD,
    }
