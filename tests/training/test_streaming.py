"""Streamed batches: the same whoever decodes them, augmented where they should be, never all held."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import SIZE, small_streamed
from PIL import Image

from study.config import TrialConfig
from study.datasets import StreamedData
from study.datasets.image_views import evaluation_view, read_image
from study.trainer import EpochRecord, train
from study.training import streaming
from study.training.streaming import StreamedBatches

CPU = torch.device("cpu")
CLOCK = ("seconds", "images_per_second")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamedData:
    torch.set_num_threads(1)
    return small_streamed(tmp_path, monkeypatch)


def batches_of(data: StreamedData, *, augment: bool = True, seed: int = 0, workers: int = 0) -> StreamedBatches:
    return StreamedBatches(data, CPU, augment=augment, seed=seed, loader_workers=workers)


def epoch_of(batches: StreamedBatches, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*batches.training(size), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_batches_are_float_images_in_channels_last_order(data: StreamedData) -> None:
    images, labels = next(batches_of(data).training(8))
    assert images.shape == (8, 3, SIZE, SIZE)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_an_epoch_shows_every_image_once_and_epochs_differ(data: StreamedData) -> None:
    batches = batches_of(data, augment=False)
    first, second = epoch_of(batches), epoch_of(batches)
    for images, labels in (first, second):
        assert torch.equal(labels.sort().values, torch.from_numpy(data.train.labels).sort().values)
        assert len(images.flatten(1).unique(dim=0)) == len(data.train.labels)
    assert not torch.equal(first[0], second[0])


def test_evaluation_shows_the_centre_in_order_and_is_never_augmented(data: StreamedData) -> None:
    plain, augmented = (batches_of(data, augment=augment) for augment in (False, True))
    for split in ("validation", "test"):
        ((images, labels),) = augmented.evaluation(split)
        assert torch.equal(images, next(plain.evaluation(split))[0])
        part = getattr(data, split)
        assert labels.tolist() == part.labels.tolist()
        pixels = np.stack([evaluation_view(read_image(part.path(row)), SIZE) for row in range(len(labels))]) / 255.0
        expected = ((pixels - data.mean) / data.std).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def test_augmentation_does_not_change_the_order(data: StreamedData) -> None:
    plain, augmented = (epoch_of(batches_of(data, augment=augment)) for augment in (False, True))
    assert torch.equal(plain[1], augmented[1])
    assert not torch.equal(plain[0], augmented[0])


def test_what_an_image_looks_like_depends_on_seed_epoch_and_image_alone(data: StreamedData) -> None:
    batches = batches_of(data)
    first, second = epoch_of(batches), epoch_of(batches)
    assert torch.equal(first[0], epoch_of(batches_of(data), size=5)[0])
    for other in (second, epoch_of(batches_of(data, seed=1))):
        seen = torch.cat((first[0], other[0])).flatten(1)
        assert len(seen.unique(dim=0)) == len(seen)


def test_workers_change_nothing_and_survive_an_epoch_that_is_cut_short(data: StreamedData) -> None:
    here, there = batches_of(data), batches_of(data, workers=2)
    for batches in (here, there):
        next(batches.training(8))
    for _ in range(2):
        for ours, theirs in zip(epoch_of(here), epoch_of(there), strict=True):
            assert torch.equal(ours, theirs)
    assert torch.equal(next(here.evaluation("test"))[0], next(there.evaluation("test"))[0])


def test_nothing_is_drawn_from_a_global_generator(data: StreamedData) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    epoch_of(batches_of(data))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


def test_only_the_batches_that_are_wanted_are_decoded(data: StreamedData, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(streaming, "read_image", lambda path: decoded.append(path) or read_image(path))
    epoch = batches_of(data).training(4)
    for count in (4, 8):
        next(epoch)
        assert len(decoded) == count


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_in_one_line(data: StreamedData, workers: int) -> None:
    path = Path(data.train.path(3))
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"^image {re.escape(str(path))} cannot be decoded: [^\n]*$"):
        epoch_of(batches_of(data, workers=workers))


def test_the_damaged_images_of_a_batch_are_named_together(data: StreamedData) -> None:
    for row in (3, 5):
        Path(data.train.path(row)).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"^2 images cannot be decoded: [^\n]*$") as caught:
        epoch_of(batches_of(data), size=len(data.train.labels))
    assert all(data.train.path(row) in str(caught.value) for row in (3, 5))


@pytest.mark.parametrize("workers", [0, 1])
def test_whoever_decodes_knows_how_many_pixels_are_allowed(
    data: StreamedData, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process and in workers alike: the set itself carries the bound."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    small = dataclasses.replace(data, most_pixels=100)
    with pytest.raises(ValueError, match="exceeds limit of 200 pixels"):
        epoch_of(batches_of(small, workers=workers))


def without_clock(records: list[EpochRecord]) -> list[dict]:
    rows = [dataclasses.asdict(record) for record in records]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def test_an_imagenet_size_net_trains_and_workers_change_no_record(data: StreamedData) -> None:
    shape = {"network_size": "imagenet", "depth": 18, "width": 4, "batch_size": 16}
    config = TrialConfig(dataset="imagefolder", augmentation="standard", epochs=2, **shape)
    here, there = (list(train(config, data, evaluate_test=True, loader_workers=workers)) for workers in (0, 2))
    assert without_clock(here) == without_clock(there)
    assert [record.steps for record in here] == [3, 6]
    assert here[-1].status == "ok"
    assert here[-1].test_accuracy is not None
