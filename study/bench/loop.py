"""An epoch of the study's trainer beside an epoch of the loop that people usually write."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from study.bench.rows import Row, Target
from study.bench.setting import Setting
from study.bench.subjects import BATCH, ENDLESS, METHOD, made_up_images
from study.bench.timing import clock_for, estimate, interleave, ratio
from study.bench.usual_loop import Images, UsualLoop, plain_net
from study.config import TrialConfig
from study.datasets import ImageData, load_dataset
from study.trainer import Training

DEPTH = 44
TARGET = Target(2.0, at_most=False)
MADE_UP_IMAGES = 512  # of 32x32: four steps an epoch
ROUNDS = {"digits": (8, 30), "32x32": (4, 15)}
USUAL, OURS, OURS_BF16 = "usual", "fp32", "bf16"


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
