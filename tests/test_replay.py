"""A recorded trial repeats itself, and a record that was changed is noticed."""

from dataclasses import asdict
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from study.config import TrialConfig
from study.datasets import load_dataset
from study.records import TableWriter, locate_run, read_arrow
from study.replay import recorded_config, replay
from study.store.schemas import SCHEMAS
from study.store.storage import Storage, write_json
from study.trainer import train

REFERENCE = Path(__file__).parent.parent / "results" / "reference"
CONFIG = TrialConfig(depth=8, batch_size=256, epochs=2, learning_rate_drops=(0.4,), modulation="pairwise")


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage.at(tmp_path / "run")


def record(storage: Storage, unknown: str | None = None, **changes: object) -> None:
    """Train CONFIG and write what the Recorder would, but for a field `unknown` to it; `changes` to the last epoch."""
    torch.set_num_threads(1)  # as trials on a CPU run; another number sums in another order
    write_json(storage, "run.json", {})
    rows = [asdict(epoch) for epoch in train(CONFIG, load_dataset("digits"))]
    kept = [{name: row[name] for name in SCHEMAS["epochs"].names if name in row} for row in rows]
    kept[-1] |= changes
    TableWriter(storage, "epochs", {}).append([{"trial_id": "t:0", **row} for row in kept])
    row = {**CONFIG.model_dump(), "trial_id": "t:0", "status": "ok", "device": "cpu", "commit": "abc"}
    row.pop(unknown, None)
    TableWriter(storage, "trials", {}).append([row])


def repeat(storage: Storage, trial_id: str = "t:0") -> tuple[bool, str]:
    out = StringIO()
    return replay(storage.root, trial_id, None, Console(file=out, width=200)), out.getvalue()


def test_a_trial_repeats_itself(storage: Storage) -> None:
    record(storage)
    identical, said = repeat(storage)
    assert identical
    assert "t:0: 2 epochs, identical; recorded at commit abc" in said


@pytest.mark.parametrize("unknown", ["checkpoint_every_epochs", "compile_step", "gradient_clip_scope"])
def test_a_trial_that_was_recorded_before_a_field_existed_repeats_itself(storage: Storage, unknown: str) -> None:
    record(storage, unknown=unknown)
    assert repeat(storage)[0]


def test_rows_of_committed_runs_are_configs_with_the_hashes_of_then() -> None:
    for run in REFERENCE.iterdir():
        for row in read_arrow(locate_run(run), "trials").to_pylist():
            assert recorded_config(row).config_hash == row["config_hash"]
            assert recorded_config(row).checkpoint_every_epochs is None


def test_a_difference_is_named(storage: Storage) -> None:
    record(storage, val_accuracy=0.123)
    identical, said = repeat(storage)
    assert not identical
    assert "epoch 1: identical" in said
    assert "epoch 2: val_accuracy was 0.123 and is" in said


def test_an_unknown_trial_is_refused_with_an_example(storage: Storage) -> None:
    record(storage)
    with pytest.raises(ValueError, match=r"no trial 't:9' .* looks like t:0"):
        repeat(storage, "t:9")
