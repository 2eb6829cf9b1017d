"""Photographs of any size as square uint8 arrays: decoded, cut and resized. Pillow and numpy alone, never torch.

An image is taken as a viewer shows it: turned as its EXIF orientation says, grey levels of any depth scaled to bytes,
transparent pixels on white. The views are those of `torchvision.transforms.v2`: RandomResizedCrop and a flip for
training, Resize and CenterCrop for evaluation. What is random comes in as numbers, so that nothing is drawn from a
generator that somebody else may move.
"""

import math
import struct
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

DECODER_FAULTS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
METADATA_FAULTS = (*DECODER_FAULTS, struct.error, LookupError, TypeError)  # of EXIF that is no EXIF
MAX_PIXELS_VARIABLE = "STUDY_MAX_IMAGE_PIXELS"  # who sets it vouches for images larger than Pillow takes
TIFF_BITS_PER_SAMPLE, TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
SHOWN_FAULTS = 20  # damaged images that one message names
RESIZE_RATIO = 256 / 224  # the shorter side before the central crop (Krizhevsky et al. 2012)
LONGEST = 8  # times the shorter side: what lies further out never comes into an evaluation view
AREA, ASPECT = (
    (0.08, 1.0),
    (3 / 4, 4 / 3),
)  # of a random crop: share of the image, width to height (Szegedy et al. 2015)
CROP_ATTEMPTS, DRAWS_PER_ATTEMPT = 10, 4  # as torchvision's; area, aspect, top and left
TRAINING_DRAWS = CROP_ATTEMPTS * DRAWS_PER_ATTEMPT + 1  # the last one says whether the image is mirrored

Box = tuple[int, int, int, int]
"""left, top, right, bottom"""


class DamagedImage(ValueError):  # noqa: N818  (says what is there, as DamagedFile does)
    """A file that is missing, damaged, no image, or one whose grey levels cannot be told."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"image {path} cannot be decoded: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Let the error travel from the processes that decode."""
        return DamagedImage, (self.path, self.reason)


def faults_told(faults: Sequence[DamagedImage]) -> ValueError:
    """One error of one line that names the damaged images, the first SHOWN_FAULTS of them."""
    if len(faults) == 1:
        return faults[0]
    named = "; ".join(f"{fault.path} ({fault.reason})" for fault in faults[:SHOWN_FAULTS])
    return ValueError(f"{len(faults)} images cannot be decoded: {named}")


def allow_pixels(most: int | None) -> None:
    """Let this process decode images of `most` pixels without a warning, and up to twice as many; None: Pillow's own.

    Pillow's bound is one of the process: its `Image.crop` asks for it too.
    """
    if most is not None:
        Image.MAX_IMAGE_PIXELS = most


def read_image(path: str) -> Image.Image:
    """Decode one file to RGB, as a viewer shows it.

    Raises:
        DamagedImage: the file is missing, damaged or no image, or the range of its grey levels is unknown.
    """
    try:
        # Not by its name: Pillow 13 then maps an uncompressed TIFF, and scrambles one that lies on its side.
        with open(path, "rb") as file, Image.open(file) as image:
            image.load()
            with suppress(*METADATA_FAULTS):  # damaged metadata turns nothing
                ImageOps.exif_transpose(image, in_place=True)
            return _on_white(_in_bytes(image))
    except UnidentifiedImageError as error:
        raise DamagedImage(path, "it is no image of a known format") from error
    except Image.DecompressionBombError as error:
        way = f"set {MAX_PIXELS_VARIABLE}=PIXELS in the driver's environment to allow so many"
        raise DamagedImage(path, f"{error}; {way}") from error
    except DECODER_FAULTS as error:
        raise DamagedImage(path, " ".join(str(error).split()) or type(error).__name__) from error


def _in_bytes(image: Image.Image) -> Image.Image:
    """The image, its grey levels of more than 8 bits scaled to 0..255."""
    if image.mode[0] not in "IF":
        return image
    top, tags = _top_level(image), getattr(image, "tag_v2", {})
    levels = np.asarray(image)
    scaled = np.rint(levels.astype(np.float32) * np.float32(255 / top)).astype(np.uint8)
    grey = Image.fromarray(255 - scaled if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO else scaled)
    if "transparency" in image.info:  # of PNG: the one level that is not shown
        grey.putalpha(Image.fromarray(np.where(levels == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _top_level(image: Image.Image) -> int:
    """The level of white. ValueError where the file does not tell it."""
    if image.mode.startswith("I;16"):
        (bits,) = getattr(image, "tag_v2", {}).get(TIFF_BITS_PER_SAMPLE, (16,))
        return int(2**bits - 1)
    if image.mode == "I" and image.format in {"PNG", "PPM"}:
        return 2**16 - 1  # to which Pillow scales a PGM of any maximum
    kind = "floating-point" if image.mode == "F" else "signed or 32-bit"
    raise ValueError(f"its grey levels are {kind} numbers, of which nothing says what is white: save them with 16 bits")


def _on_white(image: Image.Image) -> Image.Image:
    """The image as RGB, what is transparent of it on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def evaluation_view(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The centre, (size, size, 3): shorter side resized to size * 256 / 224, then a central crop."""
    image = _without_ends(image)
    short = round(size * RESIZE_RATIO)
    scale = short / min(image.size)
    width, height = (short if side == min(image.size) else int(side * scale) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _without_ends(image: Image.Image) -> Image.Image:
    """A thin image's middle, so that resizing it does not take memory for what is then cut off."""
    most = LONGEST * min(image.size)
    across, down = (max(0, (side - most) // 2) for side in image.size)
    return image.crop((across, down, image.width - across, image.height - down)) if across or down else image


def training_view(image: Image.Image, size: int, draws: Sequence[float], *, mirror: bool) -> NDArray[np.uint8]:
    """A random crop, resized to (size, size, 3), half of the time mirrored.

    Args:
        image: RGB.
        size: pixels a side.
        draws: TRAINING_DRAWS independent uniform numbers in [0, 1).
        mirror: whether mirror images keep their class.
    """
    box = random_box(*image.size, draws[:-1])
    view = np.asarray(image.crop(box).resize((size, size), Image.Resampling.BILINEAR))
    return view[:, ::-1] if mirror and draws[-1] < 0.5 else view


def random_box(width: int, height: int, draws: Sequence[float]) -> Box:
    """Where a random crop lies: uniform area, log-uniform aspect, uniform place; the first attempt that fits.

    Where none of the ten fits, the largest central crop whose aspect is allowed.
    """
    low, high = (math.log(aspect) for aspect in ASPECT)
    for attempt in range(CROP_ATTEMPTS):
        area_draw, aspect_draw, top_draw, left_draw = draws[DRAWS_PER_ATTEMPT * attempt :][:DRAWS_PER_ATTEMPT]
        area = width * height * (AREA[0] + area_draw * (AREA[1] - AREA[0]))
        aspect = math.exp(low + aspect_draw * (high - low))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = int(left_draw * (width - wide + 1)), int(top_draw * (height - tall + 1))
            return left, top, left + wide, top + tall
    return _central_box(width, height)


def _central_box(width: int, height: int) -> Box:
    wide, tall = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall
