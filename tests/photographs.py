"""A small folder of photographs for the tests, in torchvision's ImageFolder layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.datasets import DATASETS, StreamedData, load_dataset

SIZE = 64  # pixels a side of what a net sees
CLASSES = ("ape", "bear", "cat", "drongo")
TRAIN_PER_CLASS, TEST_PER_CLASS = 10, 3


def write_folder(data_dir: Path) -> Path:
    """Noise about a colour of the class, of various sizes, JPEG and PNG; the folder that was written."""
    generator = np.random.default_rng(1)
    folder = data_dir / "imagefolder"
    for part, count in (("train", TRAIN_PER_CLASS), ("val", TEST_PER_CLASS)):
        for label, name in enumerate(CLASSES):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                height, width = generator.integers(70, 120, 2)
                coarse = generator.integers(0, 120, (6, 6, 3), dtype=np.uint8)
                coarse[..., label % 3] += 40 * (label + 1) // 2
                suffix = "png" if number == 0 else "jpg"
                Image.fromarray(coarse).resize((width, height)).save(folder / part / name / f"ä{number}.{suffix}")
    return folder


def small_streamed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> StreamedData:
    """The folder, loaded, with images of SIZE."""
    write_folder(data_dir)
    shrink(monkeypatch)
    data = load_dataset("imagefolder", data_dir)
    assert isinstance(data, StreamedData)
    return data


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "imagefolder", replace(DATASETS["imagefolder"], image_size=SIZE))
