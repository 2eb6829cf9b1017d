"""Cheap stand-ins for a data set: what they keep of it, what is refused, and that trials train on them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import SIZE, small_streamed

from study.config import Proxy, TrialConfig
from study.datasets import AnyData, ImageData, ImageSplit, StreamedData, load_dataset
from study.forecast import kind_of
from study.planning.cost import multiply_adds
from study.trainer import Training, train
from study.training import proxies
from study.training.proxies import area_averaged, check_proxy, proxied, proxy_bytes, proxy_shape

CPU = torch.device("cpu")
SMALL = TrialConfig(image_size=4, train_images=200, depth=8, width=8, epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_dataset("digits")


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamedData:
    return small_streamed(tmp_path, monkeypatch)


def noise(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (count, 3, height, width), dtype=np.uint8)


def labelled(*counts: int) -> ImageData:
    """Images of one pixel, so many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    split = ImageSplit(np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1), labels)
    return ImageData("skewed", len(counts), split, split, split, (0.5,), (0.5,), mirror_keeps_class=False)


@pytest.mark.parametrize(("side", "size"), [(8, 4), (28, 14), (28, 7), (32, 4), (9, 3)])
def test_averaged_pixels_are_means_of_blocks(side: int, size: int) -> None:
    images, block = noise(5, side, side), side // size
    means = images.reshape(5, 3, size, block, size, block).mean(axis=(3, 5))
    np.testing.assert_array_equal(area_averaged(images, size, CPU), np.rint(means))


@pytest.mark.parametrize(("side", "size"), [(8, 5), (28, 16), (7, 4)])
def test_blocks_share_rows_where_the_size_does_not_divide(side: int, size: int) -> None:
    images = noise(2, side, side)
    ends = [(place * side // size, -(-(place + 1) * side // size)) for place in range(size)]
    for row, (top, bottom) in enumerate(ends):
        for column, (left, right) in enumerate(ends):
            means = images[:, :, top:bottom, left:right].mean(axis=(2, 3))
            np.testing.assert_array_equal(area_averaged(images, size, CPU)[:, :, row, column], np.rint(means))


def test_images_are_averaged_in_parts_and_their_own_size_changes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(7, 8, 8)
    whole = area_averaged(images, 4, CPU)
    monkeypatch.setattr(proxies, "AVERAGED_AT_ONCE", 3)
    np.testing.assert_array_equal(area_averaged(images, 4, CPU), whole)
    np.testing.assert_array_equal(area_averaged(images, 8, CPU), images)


def test_all_splits_are_averaged_and_normalised_by_the_images_trained_on(digits: ImageData) -> None:
    small = proxied(digits, Proxy("digits", 4, 200), CPU)
    assert small.image_shape == (1, 4, 4)
    assert len(small.train.labels) == 200
    for name in ("validation", "test"):
        split, whole = getattr(small, name), getattr(digits, name)
        np.testing.assert_array_equal(split.labels, whole.labels)
        np.testing.assert_array_equal(split.images, area_averaged(whole.images, 4, CPU))
    assert small.mean[0] == pytest.approx(small.train.images.mean() / 255)
    assert small.std[0] == pytest.approx(small.train.images.std() / 255)


def test_a_proxy_that_asks_for_nothing_is_the_set_itself(digits: ImageData) -> None:
    assert proxied(digits, Proxy("digits"), CPU) is digits


@pytest.mark.parametrize("count", [10, 57, 200, 1_256])
def test_every_class_gives_its_share_and_smaller_parts_lie_in_larger_ones(digits: ImageData, count: int) -> None:
    part, larger = (proxied(digits, Proxy("digits", None, images), CPU).train for images in (count, count + 1))
    shares = np.bincount(digits.train.labels) * count / len(digits.train.labels)
    assert np.all(np.abs(np.bincount(part.labels) - shares) <= 1)
    assert {image.tobytes() for image in part.images} <= {image.tobytes() for image in larger.images}


def test_the_part_does_not_depend_on_the_trials_seed(digits: ImageData) -> None:
    def shown(seed: int) -> list[bytes]:
        training = Training(SMALL.model_copy(update={"seed": seed}), digits, CPU)
        return sorted(image.numpy().tobytes() for batch, _ in training.batches.training(64) for image in batch)

    assert shown(0) == shown(1)


@pytest.mark.parametrize("counts", [(5, 5, 5), (100, 3), (1, 40, 200), (30, 10, 11)])
def test_the_least_count_that_is_allowed_holds_every_class(counts: tuple[int, ...]) -> None:
    data = labelled(*counts)
    allowed = [count for count in range(1, sum(counts) + 1) if is_allowed(data, Proxy("skewed", None, count))]
    assert allowed[-1] == sum(counts)
    for count in allowed:
        assert set(proxied(data, Proxy("skewed", None, count), CPU).train.labels) == set(range(len(counts)))


def is_allowed(data: AnyData, proxy: Proxy) -> bool:
    try:
        check_proxy(data, proxy)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (Proxy("digits", 9), "image_size = 9: digits allows 4 to 8, its own size"),
        (Proxy("digits", None, 1_258), r"train_images = 1258: digits allows 10 \(.*\) to 1257, its training split"),
        (Proxy("digits", None, 9), r"train_images = 9: digits allows 10 \(so that each of its 10 classes has one\)"),
    ],
)
def test_what_the_set_lacks_is_refused(digits: ImageData, proxy: Proxy, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        proxied(digits, proxy, CPU)


def test_images_that_are_not_square_are_not_averaged(digits: ImageData) -> None:
    split = ImageSplit(noise(20, 8, 10), np.arange(20) % 2)
    data = ImageData("wide", 2, split, split, split, (0.5,) * 3, (0.5,) * 3, mirror_keeps_class=False)
    with pytest.raises(ValueError, match="image_size = 4: wide has images of 8x10, not square"):
        proxied(data, Proxy("wide", 4), CPU)


@pytest.mark.parametrize("proxy", [Proxy("digits"), Proxy("digits", 5), Proxy("digits", 4, 30)])
def test_shape_and_bytes_are_told_without_averaging(digits: ImageData, proxy: Proxy) -> None:
    seen = proxied(digits, proxy, CPU)
    assert proxy_shape(digits, proxy) == seen.image_shape
    assert proxy_bytes(digits, proxy) == seen.held_bytes


def test_names_tell_proxies_apart() -> None:
    given = [Proxy("digits"), Proxy("digits", 4), Proxy("digits", None, 200), Proxy("digits", 4, 200)]
    assert [proxy.name for proxy in given] == ["digits", "digits@4x4", "digits/200", "digits@4x4/200"]
    assert SMALL.proxy == given[-1]


def test_steps_follow_from_the_images_trained_on(digits: ImageData) -> None:
    assert SMALL.steps_per_epoch(1_257) == 4  # 64, 64, 64 and 8
    assert Training(SMALL, digits, CPU).total_steps == 8


def test_cost_follows_from_size_and_count_and_kinds_of_forecast_from_size_alone() -> None:
    whole = TrialConfig(epochs=1, batch_size=2)
    half, fewer = (whole.model_copy(update=update) for update in ({"image_size": 4}, {"train_images": 314}))
    assert multiply_adds(half) == multiply_adds(whole) / 4
    assert multiply_adds(fewer) == multiply_adds(whole) / 4  # 157 steps of 628
    assert kind_of(half) != kind_of(whole) == kind_of(fewer)
    with pytest.raises(ValueError, match="batch_size = 256: digits/200 has 200 training images"):
        multiply_adds(TrialConfig(epochs=1, batch_size=256, train_images=200))


def test_a_net_trains_on_the_proxy_alone(digits: ImageData) -> None:
    records = list(train(SMALL, digits, evaluate_test=True))
    assert [record.steps for record in records] == [4, 8]
    assert records[-1].val_accuracy > 0.2
    assert records[-1].test_accuracy is not None
    there = proxied(digits, SMALL.proxy, CPU)
    plain = SMALL.model_copy(update={"image_size": None, "train_images": None})
    assert losses(train(plain, there)) == losses(iter(records))


def losses(records: object) -> list[tuple[float | None, float | None]]:
    return [(record.train_loss, record.val_loss) for record in records]


def test_streamed_images_are_cut_to_the_size_when_they_are_read(photographs: StreamedData) -> None:
    seen = proxied(photographs, Proxy("imagefolder", 16, 8), CPU)
    assert isinstance(seen, StreamedData)
    assert (seen.image_shape, seen.mean) == ((3, 16, 16), photographs.mean)
    assert np.bincount(seen.train.labels).tolist() == [2, 2, 2, 2]
    shape = {"network_size": "cifar", "depth": 8, "width": 4, "batch_size": 4}
    config = TrialConfig(
        dataset="imagefolder", image_size=16, train_images=8, epochs=1, augmentation="standard", **shape
    )
    training = Training(config, photographs, CPU)
    assert {tuple(images.shape) for images, _ in training.batches.training(4)} == {(4, 3, 16, 16)}
    (record,) = training.epochs(evaluate_test=True)
    assert record.steps == 2
    with pytest.raises(ValueError, match=f"image_size = {SIZE + 1}: imagefolder allows 4 to {SIZE}, its own size"):
        check_proxy(photographs, Proxy("imagefolder", SIZE + 1))


def test_the_number_of_classes_bounds_a_streamed_part(photographs: StreamedData) -> None:
    refused = [count for count in (3, 4, 36, 37) if not is_allowed(photographs, Proxy("imagefolder", None, count))]
    assert refused == [3, 37]
