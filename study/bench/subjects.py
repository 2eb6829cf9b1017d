"""What is measured: trainings of the study's own trainer on made-up images, one step at a time."""

from typing import Any

import numpy as np
import torch

from study.config import TrialConfig
from study.datasets import ImageData, ImageSplit
from study.trainer import Training

BATCH = 128
CHANNELS = {8: 1, 32: 3}  # of images of this size: those of digits and of CIFAR
EVALUATED_IMAGES = 16  # nothing here is evaluated; a split may not be empty

WITHOUT: dict[str, Any] = {"initializer": "orthonormal", "regularizer": "none", "modulation": "off"}
ORTHONORMAL: dict[str, Any] = WITHOUT | {"regularizer": "orthonormal", "regularizer_strength": 1e-4}
MODULATED: dict[str, Any] = WITHOUT | {"modulation": "pairwise", "modulation_band": 1.02}
METHOD: dict[str, Any] = ORTHONORMAL | MODULATED | {"regularizer": "orthonormal"}
ENDLESS: dict[str, Any] = {"epochs": 10**6, "learning_rate": 1e-4, "learning_rate_schedule": "constant"}
"""As many steps as are wanted, so small that weights stay of ordinary size: labels are noise and teach nothing."""


def made_up_images(size: int, count: int) -> ImageData:
    """Noise of the shape of digits (8) or CIFAR (32), `count` training images."""
    generator = np.random.default_rng(0)

    def split(images: int) -> ImageSplit:
        shape = (images, CHANNELS[size], size, size)
        return ImageSplit(generator.integers(0, 256, shape, dtype=np.uint8), generator.integers(0, 10, images))

    middle = (0.5,) * CHANNELS[size]
    small = split(EVALUATED_IMAGES)
    return ImageData("made-up", 10, split(count), small, small, middle, middle, mirror_keeps_class=size == 32)


class Stepper:
    """Calls `Training.step` on one batch, over and over.

    Args:
        fields: of the config, beside batch size and length.
        size: of the images, 8 or 32.
        recording: whether error magnitudes are recorded even where modulation is off.
    """

    def __init__(self, fields: dict[str, Any], size: int, device: torch.device, *, recording: bool = False) -> None:
        config = TrialConfig(batch_size=BATCH, **(ENDLESS | fields))
        self.training = Training(config, made_up_images(size, BATCH), device)
        self.training.network.train()
        self._images, self._labels = next(iter(self.training.batches.training(BATCH)))
        self._recording = recording

    def __call__(self) -> None:
        """One step: forward, backward, modulation, penalty, optimiser."""
        self.training.step(self._images, self._labels, record=self._recording)
