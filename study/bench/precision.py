"""Whether bf16 costs accuracy: the same seeds trained in fp32 and in bf16, on digits."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from scipy import stats

from study.bench.rows import Row, Target
from study.bench.setting import Setting
from study.bench.timing import Estimate
from study.config import TrialConfig
from study.datasets import ImageData, load_dataset
from study.trainer import train

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
    """Test accuracies in both precisions, and the mean paired difference with Student's 95 % interval."""
    data = load_dataset("digits", None)
    assert isinstance(data, ImageData)
    yield from compare(setting, data, FIELDS | {"epochs": setting.rounds(*EPOCHS)})


def compare(setting: Setting, data: ImageData, fields: dict[str, Any]) -> Iterator[Row]:
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
