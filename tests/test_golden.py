"""Golden records and pages: what a refactoring must not change.

In the tests numbers may differ by TOLERANCE, since processors and libraries round differently. Between two commits on
one machine `GOLDEN=exact python -m pytest tests/test_golden.py` compares bit for bit, once the older commit has written
its own by `python tests/test_golden.py`. Who changes a record on purpose writes them anew, and says why.
"""

import json
import math
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from photographs import write_folder

from study.config import TrialConfig
from study.datasets import AnyData, ImageData, load_dataset
from study.report.opened_run import open_run
from study.report.page import FAILED, render_page
from study.trainer import train

GOLDEN = Path(__file__).parent / "golden"
RECORDS = GOLDEN / "records.json"
REFERENCE = Path(__file__).parent.parent / "results" / "reference"
RUNS = sorted(run.name for run in REFERENCE.iterdir())
TOLERANCE = 0.02  # relative, and as much in absolute terms: two epochs amplify the last digit by far less
CLOCK = ("seconds", "images_per_second")
UNTOLD = ("written", "commit")  # lines of a page that no two times share
FAILURE = FAILED.partition(" ({kind}")[0]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pairwise": {
        **{"initializer": "delta_orthogonal", "regularizer": "orthonormal", "modulation": "pairwise"},
        **{"activation": "leaky_relu", "activation_slope": 0.5, "gradient_clip": 1.0},
    },
    "cumulative residual": {
        **{"architecture": "residual", "modulation": "cumulative", "modulation_target": "unit"},
        **{"modulation_statistic": "mean", "modulation_schedule": "cosine", "modulation_cutoff": 0.9},
    },
    "bfloat16": {
        **{"precision": "bf16", "initializer": "orthonormal", "regularizer": "spectral_isometry"},
        **{"optimizer": "adamw", "learning_rate": 0.003, "learning_rate_schedule": "cosine"},
    },
    "streamed": {"dataset": "imagefolder", "augmentation": "standard", "batch_size": 8, "image_size": 32},
}


def data_of(name: str, folder: Path) -> AnyData:
    """The first 320 digits, or a few photographs of two classes."""
    if name == "imagefolder":
        write_folder(folder)
        return load_dataset(name, folder)
    digits = load_dataset(name)
    assert isinstance(digits, ImageData)
    return ImageData(**{**vars(digits), "train": digits.train.take(np.arange(320))})


def records_of(name: str, folder: Path) -> list[dict[str, Any]]:
    """Two epochs of one of CONFIGS."""
    fields = {"depth": 8, "width": 4, "batch_size": 64, "epochs": 2, "learning_rate": 0.05} | CONFIGS[name]
    config = TrialConfig(**fields)
    records = [asdict(record) for record in train(config, data_of(config.dataset, folder), evaluate_test=True)]
    return json.loads(json.dumps([{key: record[key] for key in record if key not in CLOCK} for record in records]))


def page_of(run: str) -> list[str]:
    """The lines of a committed run's page that a reader sees."""
    page = render_page(open_run(REFERENCE / run))
    body = re.sub(r"<(script|style|head).*?</\1>", "", page, flags=re.DOTALL)
    lines = (" ".join(line.split()) for line in re.sub(r"<[^>]+>", "\n", body).splitlines())
    return [line for line in lines if line and not any(word in line.lower() for word in UNTOLD)]


def close(old: Any, new: Any) -> bool:
    """Equal, or numbers that differ by TOLERANCE; all the way down."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(close(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(close, old, new))
    if isinstance(old, float) and isinstance(new, float) and os.environ.get("GOLDEN") != "exact":
        return math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(old == new)


def parts(line: str) -> list[Any]:
    """A line's words and numbers, in turn."""
    return [*NUMBER.split(line), *map(float, NUMBER.findall(line))]


@pytest.mark.parametrize("name", CONFIGS)
def test_records_are_what_they_were(name: str, tmp_path: Path) -> None:
    for old, new in zip(json.loads(RECORDS.read_text())[name], records_of(name, tmp_path), strict=True):
        assert {key: value for key, value in new.items() if not close(old[key], value)} == {}


@pytest.mark.parametrize("run", RUNS)
def test_pages_say_what_they_said(run: str) -> None:
    old, new = (GOLDEN / f"{run}.txt").read_text().splitlines(), page_of(run)
    assert "What to distrust" in new
    assert not any(line.startswith(FAILURE) for line in new)
    assert [line for line, other in zip(new, old, strict=False) if not close(parts(other), parts(line))] == []
    assert len(old) == len(new)


def write() -> None:
    """Write all of them anew."""
    GOLDEN.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        records = {name: records_of(name, Path(folder) / name) for name in CONFIGS}
    RECORDS.write_text(json.dumps(records, indent=1) + "\n")
    for run in RUNS:
        (GOLDEN / f"{run}.txt").write_text("\n".join(page_of(run)) + "\n")


if __name__ == "__main__":
    sys.exit(write())
