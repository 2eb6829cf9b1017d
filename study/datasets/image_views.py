"""Photographs of any size as square uint8 arrays: decoded, cut and resized. Pillow and numpy alone, never torch.

The views are those of `torchvision.transforms.v2`: RandomResizedCrop and a flip for training, Resize and CenterCrop for
evaluation. What is random comes in as numbers, so that nothing is drawn from a generator that somebody else may move.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DECODER_FAULTS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
RESIZE_RATIO = 256 / 224  # the shorter side before the central crop (Krizhevsky et al. 2012)
AREA, ASPECT = (
    (0.08, 1.0),
    (3 / 4, 4 / 3),
)  # of a random crop: share of the image, width to height (Szegedy et al. 2015)
CROP_ATTEMPTS, DRAWS_PER_ATTEMPT = 10, 4  # as torchvision's; area, aspect, top and left
TRAINING_DRAWS = CROP_ATTEMPTS * DRAWS_PER_ATTEMPT + 1  # the last one says whether the image is mirrored

Box = tuple[int, int, int, int]
"""left, top, right, bottom"""


def read_image(path: str) -> Image.Image:
    """Decode one file to RGB.

    Raises:
        ValueError: the file is missing, damaged or no image; the message names it.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except DECODER_FAULTS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"image {path} cannot be decoded: {reason}") from error


def evaluation_view(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The centre, (size, size, 3): shorter side resized to size * 256 / 224, then a central crop."""
    short = round(size * RESIZE_RATIO)
    scale = short / min(image.size)
    width, height = (short if side == min(image.size) else int(side * scale) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


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
