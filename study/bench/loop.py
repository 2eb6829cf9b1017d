"""The study's trainer beside the loop that people usually write; and whether training in bf16 costs accuracy."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from scipy import stats
from torch.utils.data import DataLoader

from study.bench.measurement import Estimate, Row, Setting, Target, clock_for, estimate, interleave, ratio
from study.bench.steps import BATCH, ENDLESS, METHOD, made_up_images
from study.bench.usual_loop import Images, UsualLoop, plain_net
from study.config import TrialConfig
from study.datasets import ImageData, load_dataset
from study.trainer import Training, train

DEPTH = 44
TARGET = Target(2.0, at_most=False)
MADE_UP_IMAGES = 512  # of 32x32: four steps an epoch
ROUNDS = {"digits": (8, 30), "32x32": (4, 15)}
USUAL, OURS, OURS_BF16 = "usual", "fp32", "bf16"

SEEDS = 5
EPOCHS = (6, 20)
TOLERANCE = 0.01  # of test accuracy: within two standard errors of a share of 0.97 of digits' 270 test images
FIELDS: dict[str, Any] = {
    "depth": 20,
    "batch_size": 32,
    "learning_rate": 0.1,
    "initializer": "orthonormal",
    "regularizer": "orthonormal",
    "modulation": "pairwise",
    "modulation_band": 1.025,
}


def measure(setting: Setting) -> Iterator[Row]:
    """Seconds of an epoch and how many times faster the study's own loop is."""
    for name, rounds in ROUNDS.items():
        setting.say(f"plain-{DEPTH} on {name}")
        data = load_dataset("digits", None) if name == "digits" else made_up_images(32, MADE_UP_IMAGES)
        assert isinstance(data, ImageData)
        yield from measure_loop(setting, data, DEPTH, setting.rounds(*rounds))


def measure_loop(setting: Setting, data: ImageData, depth: int, rounds: int) -> Iterator[Row]:
    """The rows of one data set."""
    subjects = {
        USUAL: usual_epoch(data, depth, setting.device),
        OURS: own_epoch(data, depth, setting.device, OURS),
        OURS_BF16: own_epoch(data, depth, setting.device, OURS_BF16),
    }
    seconds = interleave(subjects, rounds, clock_for(setting.device), warm_rounds=1)
    size = data.train.images.shape[-1]
    where = f"plain-{depth}, {data.name} ({len(data.train.labels)} images of {size}x{size})"
    yield Row(f"{where}: epoch of the usual loop", estimate(seconds[USUAL]), "s")
    for own in (OURS, OURS_BF16):
        target = TARGET if own == OURS_BF16 and setting.on_cpu else None  # the section `precision` shows that it may
        yield Row(f"{where}: usual loop / ours in {own}", ratio(seconds[USUAL], seconds[own]), "x", target)


def own_epoch(data: ImageData, depth: int, device: torch.device, precision: str) -> Callable[[], object]:
    """Trains an epoch as the trainer does, its sums read once at the end."""
    fields: dict[str, Any] = ENDLESS | METHOD | {"augmentation": "standard", "precision": precision}
    training = Training(TrialConfig(depth=depth, batch_size=BATCH, **fields), data, device)
    training.network.train()

    def epoch() -> list[float]:
        sums = [training.step(images, labels, record=False) for images, labels in training.batches.training(BATCH)]
        return list(torch.stack(sums).sum(0).tolist())

    return epoch


def usual_epoch(data: ImageData, depth: int, device: torch.device) -> Callable[[], float]:
    """Trains an epoch of the same method in the usual way."""
    images = data.train.images.transpose(0, 2, 3, 1)
    dataset = Images(images, data.train.labels, mirror=data.mirror_keeps_class)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    loop = UsualLoop(
        plain_net(depth, images.shape[-1], data.num_classes).to(device),
        learning_rate=ENDLESS["learning_rate"],
        strength=METHOD["regularizer_strength"],
        band=METHOD["modulation_band"],
    )
    return lambda: loop.run_epoch(loader, device)


def measure_precision(setting: Setting) -> Iterator[Row]:
    """Test accuracies in both precisions, and the mean paired difference with Student's 95 % interval."""
    data = load_dataset("digits", None)
    assert isinstance(data, ImageData)
    yield from compare_precisions(setting, data, FIELDS | {"epochs": setting.rounds(*EPOCHS)})


def compare_precisions(setting: Setting, data: ImageData, fields: dict[str, Any]) -> Iterator[Row]:
    """The rows of one net and data set."""
    accuracies: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for seed in range(SEEDS):
        for precision, reached in accuracies.items():
            setting.say(f"seed {seed}, {precision}")
            config = TrialConfig(**(fields | {"seed": seed, "precision": precision}))
            *_, last = train(config, data, device=setting.device.type, evaluate_test=True)
            reached.append(last.test_accuracy or 0.0)  # a diverged run has none
    where = f"plain-{fields['depth']} on {data.name}, {SEEDS} seeds"
    for precision, reached in accuracies.items():
        yield Row(f"{where}: test accuracy in {precision}", mean_with_interval(reached))
    differences = [low - full for low, full in zip(accuracies["bf16"], accuracies["fp32"], strict=True)]
    yield Row(
        f"{where}: bf16 - fp32, paired (the mean)",
        mean_with_interval(differences),
        target=Target(-TOLERANCE, at_most=False),
    )


def mean_with_interval(values: Sequence[float]) -> Estimate:
    """The mean, in the place of a median, with Student's 95 % interval."""
    mean, n = statistics.fmean(values), len(values)
    half = float(stats.t.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)
