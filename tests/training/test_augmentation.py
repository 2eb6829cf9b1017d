"""The switch that says whether mirror images are shown: for a held set and for a folder of one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import SIZE, shrink
from PIL import Image

from study.config import TrialConfig
from study.datasets import AnyData, ImageData, ImageSplit, load_dataset
from study.trainer import Training

RISING = np.tile(np.linspace(40, 250, SIZE).astype(np.uint8), (3, SIZE, 1))  # (C, H, W), darker on the left
PER_CLASS = 20


def held(tmp_path: Path) -> AnyData:
    del tmp_path
    split = ImageSplit(np.stack([RISING] * 2 * PER_CLASS), np.arange(2 * PER_CLASS) % 2)
    return ImageData("rising", 2, split, split, split, (0.5,) * 3, (0.2,) * 3, mirror_keeps_class=True)


def streamed(tmp_path: Path) -> AnyData:
    for part, first in (("train", 0), ("val", PER_CLASS)):
        for name in ("arrow", "letter"):
            folder = tmp_path / "imagefolder" / part / name
            folder.mkdir(parents=True)
            for number in range(PER_CLASS):
                Image.fromarray(RISING.transpose(1, 2, 0)).save(folder / f"{first + number}.png")
    return load_dataset("imagefolder", tmp_path)


@pytest.mark.parametrize(("augmentation", "mirrored"), [("none", False), ("crop", False), ("standard", True)])
@pytest.mark.parametrize("open_set", [held, streamed])
def test_crops_are_mirrored_only_where_that_is_asked_for(
    open_set: object, augmentation: str, mirrored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 36 images or more, half would be mirrored."""
    shrink(monkeypatch)
    config = TrialConfig(augmentation=augmentation, epochs=1, depth=8, width=1, learning_rate_drops=())
    images = torch.cat(
        [batch for batch, _ in Training(config, open_set(tmp_path), torch.device("cpu")).batches.training(8)]
    )
    brightness = images.mean(dim=(1, 2))
    falls = int((brightness[:, SIZE // 4] > brightness[:, 3 * SIZE // 4]).sum())
    assert (0 < falls < len(images)) if mirrored else falls == 0
    assert (len(images.flatten(1).unique(dim=0)) > 1) == (augmentation != "none")
