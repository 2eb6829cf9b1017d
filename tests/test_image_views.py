"""Views of a photograph beside torchvision's transforms."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from study.datasets.image_views import (
    CROP_ATTEMPTS,
    TRAINING_DRAWS,
    evaluation_view,
    random_box,
    read_image,
    training_view,
)

SIZES = ((97, 71), (71, 97), (80, 80), (300, 40))
GENERATOR = np.random.default_rng(0)


def photograph(width: int, height: int) -> Image.Image:
    return Image.fromarray(GENERATOR.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("side", [56, 64])
def test_evaluation_is_torchvisions_resize_and_central_crop(size: tuple[int, int], side: int) -> None:
    image = photograph(*size)
    expected = v2.Compose([v2.Resize(round(side * 256 / 224)), v2.CenterCrop(side)])(image)
    np.testing.assert_array_equal(evaluation_view(image, side), np.asarray(expected))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_training_is_torchvisions_resized_crop(size: tuple[int, int]) -> None:
    image, draws = photograph(*size), GENERATOR.random(TRAINING_DRAWS).tolist()
    left, top, right, bottom = random_box(*size, draws[:-1])
    expected = np.asarray(v2.functional.resized_crop(image, top, left, bottom - top, right - left, [48, 48]))
    for last, mirror, view in ((0.4, True, expected[:, ::-1]), (0.4, False, expected), (0.6, True, expected)):
        np.testing.assert_array_equal(training_view(image, 48, [*draws[:-1], last], mirror=mirror), view)


def test_random_boxes_are_distributed_as_torchvisions() -> None:
    image, transform = photograph(500, 375), v2.RandomResizedCrop(224)
    ours = np.array([random_box(500, 375, GENERATOR.random(TRAINING_DRAWS - 1).tolist()) for _ in range(2_000)])
    places = [transform.make_params([image]) for _ in range(2_000)]
    theirs = np.array([(at["left"], at["top"], at["left"] + at["width"], at["top"] + at["height"]) for at in places])
    for statistic in (np.mean, np.std):
        np.testing.assert_allclose(statistic(ours, axis=0), statistic(theirs, axis=0), atol=12)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_boxes_lie_inside_and_keep_their_aspect(size: tuple[int, int]) -> None:
    for _ in range(200):
        left, top, right, bottom = random_box(*size, GENERATOR.random(TRAINING_DRAWS - 1).tolist())
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert 0.7 < (right - left) / (bottom - top) < 1.4


def test_where_no_attempt_fits_the_largest_central_crop_is_taken() -> None:
    """A whole image's area does not fit into a long strip at any allowed aspect."""
    left, top, right, bottom = random_box(300, 40, [math.nextafter(1.0, 0.0), 0.5, 0.0, 0.0] * CROP_ATTEMPTS)
    assert (right - left, bottom - top) == (53, 40)
    assert (left, top) == (123, 0)


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "truncated"])
def test_a_damaged_image_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    photograph(80, 80).save(path)
    path.write_bytes(path.read_bytes()[:-400] if content is None else content)
    with pytest.raises(ValueError, match=f"image {path} cannot be decoded: .") as caught:
        read_image(str(path))
    assert "\n" not in str(caught.value)


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (9, 9), 7).save(tmp_path / "grey.png")
    assert read_image(str(tmp_path / "grey.png")).getpixel((0, 0)) == (7, 7, 7)
