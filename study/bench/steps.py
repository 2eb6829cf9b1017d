"""A training step with orthonormality and modulation beside the same step without either, on made-up images."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.profiler import record_function

from study.bench.measurement import WARM_ROUNDS, Row, Setting, Target, clock_for, estimate, interleave, ratio
from study.config import TrialConfig
from study.datasets import ImageData, ImageSplit
from study.trainer import PartOfStep, Training

BATCH = 128
CHANNELS = {8: 1, 32: 3}  # of images of this size: those of digits and of CIFAR
EVALUATED_IMAGES = 16  # nothing here is evaluated; a split may not be empty

WITHOUT: dict[str, Any] = {"initializer": "orthonormal", "regularizer": "none", "modulation": "off"}
ORTHONORMAL: dict[str, Any] = WITHOUT | {"regularizer": "orthonormal", "regularizer_strength": 1e-4}
MODULATED: dict[str, Any] = WITHOUT | {"modulation": "pairwise", "modulation_band": 1.02}
METHOD: dict[str, Any] = MODULATED | {"regularizer": "orthonormal", "regularizer_strength": 1e-4}
ENDLESS: dict[str, Any] = {"epochs": 10**6, "learning_rate": 1e-4, "learning_rate_schedule": "constant"}
"""As many steps as are wanted, so small that weights stay of ordinary size: labels are noise and teach nothing."""

DEPTHS = (44, 110)
TARGETS = {8: 1.08, 32: 1.03}  # of the ratio, by image size
ROUNDS = {8: (60, 300), 32: (10, 40)}  # quick and thorough, by image size
PART_STEPS = {8: 20, 32: 4}
REST = "rest"  # of a step beside the trainer's own parts: schedules, loss, zeroing gradients, sums for the record
PLAIN, RECORDING, PENALTY, MODULATION, BOTH = "without", "recording", "penalty", "modulation", "both"
COMPILED = "compiled"  # left out of a quick bench on a CPU, where the compiler takes most of a minute a net
WORDS = {
    RECORDING: "recording error magnitudes alone",
    PENALTY: "orthonormality alone",
    MODULATION: "pairwise modulation alone",
    BOTH: "orthonormality and pairwise modulation",
}


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
        self._training = Training(config, made_up_images(size, BATCH), device)
        self._training.network.train()
        self._images, self._labels = next(iter(self._training.batches.training(BATCH)))
        self._recording = recording

    def __call__(self, part: PartOfStep = record_function) -> None:
        """One step: forward, backward, modulation, penalty, optimiser."""
        self._training.step(self._images, self._labels, record=self._recording, part=part)


def measure(setting: Setting) -> Iterator[Row]:
    """The ratio of each ingredient and of both, by depth and image size, and the parts of a step."""
    for size in TARGETS:
        for depth in DEPTHS:
            setting.say(f"plain-{depth} at {size}x{size}")
            yield from measure_step(setting, depth, size, setting.rounds(*ROUNDS[size]))


def measure_step(setting: Setting, depth: int, size: int, rounds: int) -> Iterator[Row]:
    """The rows of one net."""
    clock = clock_for(setting.device)
    subjects = _subjects(setting, depth, size)
    seconds = interleave(subjects, rounds, clock)
    where = f"plain-{depth}, {size}x{size}"
    milliseconds = estimate([1e3 * one for one in seconds[PLAIN]])
    yield Row(
        f"{where}: step without either",
        milliseconds,
        "ms",
        parts=step_parts(subjects[PLAIN], PART_STEPS[size], clock),
    )
    for name, words in WORDS.items():
        both = name == BOTH
        yield Row(
            f"{where}: {words}",
            ratio(seconds[name], seconds[PLAIN]),
            "x",
            Target(TARGETS[size]) if both and setting.on_cpu else None,
            step_parts(subjects[name], PART_STEPS[size], clock) if both else {},
        )
    if COMPILED in subjects:
        yield Row(f"{where}: the last, compiled / not compiled", ratio(seconds[COMPILED], seconds[BOTH]), "x")


def _subjects(setting: Setting, depth: int, size: int) -> dict[str, Stepper]:
    fields = {PLAIN: WITHOUT, RECORDING: WITHOUT, PENALTY: ORTHONORMAL, MODULATION: MODULATED, BOTH: METHOD}
    if not (setting.quick and setting.on_cpu):
        fields[COMPILED] = METHOD | {"compile_step": True}
    return {
        name: Stepper(chosen | {"depth": depth}, size, setting.device, recording=name == RECORDING)
        for name, chosen in fields.items()
    }


def step_parts(stepper: Stepper, steps: int, clock: Callable[[], float]) -> dict[str, float]:
    """Shares of a step, in its order: part to a number in [0, 1]; backward includes the recording of magnitudes."""
    seconds: Counter[str] = Counter()

    @contextmanager
    def stopwatch(part: str) -> Iterator[None]:
        started = clock()
        yield
        seconds[part] += clock() - started  # type: ignore[assignment]

    for _ in range(WARM_ROUNDS):
        stepper()
    started = clock()
    for _ in range(steps):
        stepper(stopwatch)
    total = clock() - started
    shares = {part: spent / total for part, spent in seconds.items()}
    return shares | {REST: 1.0 - sum(shares.values())}
