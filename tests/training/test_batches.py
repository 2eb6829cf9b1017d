"""Batches on the device: order, normalisation, augmentation."""

import numpy as np
import pytest
import torch
from host_reads import HostCopies

from study.datasets import ImageData, ImageSplit
from study.training.batches import Batches, generator_for

CPU = torch.device("cpu")


def random_data(count: int = 50, size: int = 16, *, mirror: bool = False) -> ImageData:
    draw = np.random.default_rng(0)
    split = ImageSplit(
        images=draw.integers(1, 256, (count, 3, size, size), dtype=np.uint8), labels=np.arange(count, dtype=np.int64)
    )
    return ImageData("random", count, split, split, split, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), mirror)


def test_an_epoch_shows_every_image_once_and_epochs_differ() -> None:
    batches = Batches(random_data(), CPU, augment=False, seed=0)
    first, second = ([labels for _, labels in batches.training(16)] for _ in range(2))
    assert [len(labels) for labels in first] == [16, 16, 16, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(50))
    assert torch.cat(first).tolist() != torch.cat(second).tolist()


def test_images_are_normalised_by_channel() -> None:
    data = random_data()
    images, _ = next(Batches(data, CPU, augment=False, seed=0).evaluation("validation"))
    pixels = data.validation.images / 255.0
    expected = (pixels - np.reshape(data.mean, (1, 3, 1, 1))) / np.reshape(data.std, (1, 3, 1, 1))
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
def test_augmented_images_are_crops_of_the_padded_original(mirror: bool) -> None:
    data = random_data(mirror=mirror)
    batches = Batches(data, CPU, augment=True, seed=0)
    flipped = 0
    for image, label in zip(*batches_of(batches), strict=True):
        original = np.pad(data.train.images[label], ((0, 0), (2, 2), (2, 2)))
        seen = {False: image, True: image[:, :, ::-1]}
        found = [
            is_flipped
            for is_flipped in (False, True)
            for row in range(5)
            for column in range(5)
            if np.array_equal(seen[is_flipped], original[:, row : row + 16, column : column + 16])
        ]
        assert found
        flipped += found[0]
    assert (10 < flipped < 40) if mirror else flipped == 0


def batches_of(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """One epoch's images as uint8 again, and labels."""
    images, labels = next(batches.training(50))
    pixels = (images + batches._normalize.shift) / batches._normalize.scale
    return pixels.round().to(torch.uint8).numpy(), labels.numpy()


def test_augmentation_does_not_change_the_order() -> None:
    plain, augmented = (Batches(random_data(), CPU, augment=augment, seed=3) for augment in (False, True))
    for _ in range(2):
        orders = [torch.cat([labels for _, labels in batches.training(16)]) for batches in (plain, augmented)]
        assert torch.equal(*orders)


@pytest.mark.parametrize("batch_size", [5, 25])
def test_an_epoch_is_brought_to_the_device_at_once(batch_size: int) -> None:
    """However many batches it has: the order, and how each image is seen."""
    batches = Batches(random_data(mirror=True), torch.device("meta"), augment=True, seed=0)
    with HostCopies() as copies:
        count = sum(1 for _ in batches.training(batch_size))
    assert (count, copies.count) == (50 // batch_size, 2)


def test_views_are_drawn_as_if_batch_by_batch() -> None:
    """Rows, columns and mirrors of one batch, then those of the next: records of earlier versions come out again."""
    batches, generator = Batches(random_data(mirror=True), CPU, augment=True, seed=3), generator_for(3, "augmentation")
    assert len(list(batches.training(30))) == 2
    for count in (30, 20):
        for below in (5, 5, 2):
            torch.randint(below, (count, 1), generator=generator)
    assert torch.equal(batches.state()["augmentation"], generator.get_state())


def test_evaluation_is_never_augmented() -> None:
    plain, augmented = (Batches(random_data(), CPU, augment=augment, seed=3) for augment in (False, True))
    assert torch.equal(next(plain.evaluation("test"))[0], next(augmented.evaluation("test"))[0])


def test_streams_differ_by_purpose_and_seed() -> None:
    draws = {torch.rand(1, generator=generator_for(seed, purpose)).item() for seed in (0, 1) for purpose in ("a", "b")}
    assert len(draws) == 4


def test_read_only_arrays_are_accepted() -> None:
    """Arrays mapped from the object store are."""
    data = random_data()
    data.train.images.setflags(write=False)
    next(Batches(data, CPU, augment=True, seed=0).training(4))
