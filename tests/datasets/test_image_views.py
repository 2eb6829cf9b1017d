"""Views of a photograph beside torchvision's transforms."""

import copy
import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from study.datasets.image_views import (
    CROP_ATTEMPTS,
    TRAINING_DRAWS,
    DamagedImage,
    allow_pixels,
    evaluation_view,
    faults_told,
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


SUFFIXES = ("jpg", "png", "tif", "webp")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_image(str(path))).astype(int)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_levels_of_16_bits_keep_their_order_and_range(suffix: str, tmp_path: Path) -> None:
    levels = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / f"deep.{suffix}")
    expected = np.repeat(np.rint(levels / 257.0)[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(pixels(tmp_path / f"deep.{suffix}"), expected)


def test_a_pgm_is_scaled_by_its_own_maximum(tmp_path: Path) -> None:
    (tmp_path / "ten_bits.pgm").write_bytes(b"P5 3 1 1000\n" + np.array([0, 500, 1000], ">u2").tobytes())
    assert pixels(tmp_path / "ten_bits.pgm")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("bits", "white", "white_is_zero"), [(12, 4_095, False), (16, 65_535, False), (16, 65_535, True)]
)
def test_a_tiff_is_scaled_by_its_bits_and_white_may_be_zero(
    bits: int, white: int, white_is_zero: bool, tmp_path: Path
) -> None:
    """Two pixels, black and white as Pillow would write them: 12 bits are packed, three bytes to two pixels."""
    content = bytes([0, 0x0F, 0xFF]) if bits == 12 else np.array([0, white], "<u2").tobytes()
    tags = {256: 2, 257: 1, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 273: 122, 277: 1, 278: 1}
    entries = sorted({**tags, 279: len(content)}.items())
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    (tmp_path / "grey.tif").write_bytes(head + content)
    assert len(head) == 122
    expected = [255, 0] if white_is_zero else [0, 255]
    assert pixels(tmp_path / "grey.tif")[0, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_grey_levels_of_unknown_range_are_refused_by_name(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "field.tif"
    Image.fromarray(np.ones((4, 4), kind)).save(path)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} cannot be decoded: its grey levels are .* 16 bits"):
        read_image(str(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_is_turned_as_a_viewer_turns_it(orientation: int, suffix: str, tmp_path: Path) -> None:
    """Blocks of 16 pixels, so that what JPEG and WebP lose is no matter."""
    image = Image.fromarray(GENERATOR.integers(0, 2, (3, 2), dtype=np.uint8) * 255).resize((32, 48), 0).convert("RGB")
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"turned.{suffix}"
    image.save(path, exif=exif)
    expected = np.asarray(image.transpose(TURNS[orientation])).astype(int)
    assert pixels(path).shape == expected.shape
    assert np.abs(pixels(path) - expected).mean() < 8


@pytest.mark.filterwarnings("ignore:(Corrupt|Possibly corrupt) EXIF")  # Pillow's word to who looks for it
def test_metadata_that_are_damaged_turn_nothing(tmp_path: Path) -> None:
    for number, damaged in enumerate((b"Exif\0\0no tiff", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*")):
        path = tmp_path / f"{number}.jpg"
        Image.new("RGB", (8, 4)).save(path, exif=damaged)
        assert pixels(path).shape == (4, 8, 3)


def half_clear(mode: str) -> Image.Image:
    """Two pixels: one is shown, one is not, and both are red below."""
    if mode == "P":
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 250, 0, 0])
        image.putdata([0, 1])
        return image
    red = Image.new(mode, (2, 1), 0 if mode == "LA" else "red")
    red.putalpha(Image.fromarray(np.array([[255, 0]], np.uint8)))
    return red


@pytest.mark.parametrize(
    ("mode", "options", "seen"),
    [("RGBA", {}, [255, 0, 0]), ("LA", {}, [0, 0, 0]), ("P", {"transparency": 1}, [255, 0, 0])],
)
def test_what_is_transparent_is_white(mode: str, options: dict[str, int], seen: list[int], tmp_path: Path) -> None:
    half_clear(mode).save(tmp_path / "clear.png", **options)
    assert pixels(tmp_path / "clear.png")[0].tolist() == [seen, [255, 255, 255]]


def test_the_clear_level_of_a_16_bit_image_is_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1_000]], np.uint16)).save(tmp_path / "clear.png", transparency=1_000)
    assert pixels(tmp_path / "clear.png")[0, :, 0].tolist() == [0, 255]


def test_an_opaque_image_is_what_it_was(tmp_path: Path) -> None:
    image = photograph(9, 7)
    image.save(tmp_path / "opaque.png")
    image.convert("RGBA").save(tmp_path / "alpha.png")
    for name in ("opaque.png", "alpha.png"):
        np.testing.assert_array_equal(pixels(tmp_path / name), np.asarray(image))


@pytest.mark.parametrize("size", [(2, 6_000), (6_000, 2), (1, 3_000)], ids=str)
def test_a_thin_image_takes_no_memory_for_what_is_cut_off(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle is what it was; resized as a whole, the first of them takes 600 MB."""
    image = Image.new("RGB", size)
    image.paste("white", (*(side // 2 - 1 if side > 2 else 0 for side in size), *(side // 2 + 1 for side in size)))
    resized, resize = [], Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, to, *rest: resized.append(to[0] * to[1]) or resize(self, to, *rest)
    )
    view = evaluation_view(image, 224)
    assert resized == [8 * 256**2]
    assert view.shape == (224, 224, 3)
    assert view[112, 112].tolist() == [255] * 3


def test_an_image_of_many_pixels_names_the_way_to_allow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / "large.png"
    photograph(30, 20).save(path)
    with pytest.raises(ValueError, match=r"large.png cannot be decoded: .*600 pixels.*set STUDY_MAX_IMAGE_PIXELS=PIXE"):
        read_image(str(path))
    allow_pixels(600)
    assert pixels(path).shape == (20, 30, 3)


def test_the_first_twenty_damaged_images_are_named_in_one_line() -> None:
    faults = [DamagedImage(f"/set/{number}.jpg", "truncated") for number in range(25)]
    assert faults_told(faults[:1]) is faults[0]
    told = str(faults_told(faults))
    assert told.startswith("25 images cannot be decoded: /set/0.jpg (truncated); /set/1.jpg (truncated)")
    assert told.count("(truncated)") == 20
    assert str(copy.copy(faults[0])) == str(faults[0])
