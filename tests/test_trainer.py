"""Training: records, determinism, divergence, what diagnostics must not change."""

import dataclasses
import math
import shutil

import pytest
import torch

from study.config import TrialConfig
from study.datasets import ImageData, load_dataset
from study.trainer import EpochRecord, Training, train

CLOCK = ("seconds", "images_per_second")
ISOMETRIC = {
    "initializer": "delta_orthogonal",
    "regularizer": "orthonormal",
    "modulation": "pairwise",
    "activation": "leaky_relu",
    "activation_slope": 0.3,
}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    torch.set_num_threads(1)
    return load_dataset("digits")


@pytest.fixture(scope="module")
def small(digits: ImageData) -> ImageData:
    """The first 200 digits of each split, for tests of form and not of learning."""
    cut = {
        name: dataclasses.replace(split, images=split.images[:200], labels=split.labels[:200])
        for name, split in (("train", digits.train), ("validation", digits.validation), ("test", digits.test))
    }
    return dataclasses.replace(digits, **cut)


def config(**fields: object) -> TrialConfig:
    return TrialConfig(**({"depth": 8, "batch_size": 64, "epochs": 2} | fields))


def without_clock(records: list[EpochRecord]) -> list[dict]:
    rows = [dataclasses.asdict(record) for record in records]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def test_a_net_learns_digits(digits: ImageData) -> None:
    *_, last = train(config(epochs=4, **ISOMETRIC), digits, evaluate_test=True)
    assert last.val_accuracy > 0.93
    assert last.test_accuracy > 0.93
    assert last.status == "ok"


@pytest.mark.parametrize("fields", [{}, ISOMETRIC, {"architecture": "residual", "precision": "bf16"}], ids=str)
def test_same_config_same_records(small: ImageData, fields: dict) -> None:
    first, second = (list(train(config(**fields), small)) for _ in range(2))
    assert without_clock(first) == without_clock(second)


def test_another_seed_is_another_run(small: ImageData) -> None:
    first, second = (list(train(config(seed=seed), small)) for seed in (0, 1))
    assert first[0].train_loss != second[0].train_loss


def test_a_profile_shows_the_parts_of_a_step(small: ImageData) -> None:
    training = Training(config(**ISOMETRIC), small, torch.device("cpu"))
    images, labels = next(training.batches.training(64))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        training.step(images, labels, record=False)
    shown = {event.key for event in profile.key_averages()}
    assert shown >= {"forward", "backward", "factors and rescale", "penalty", "optimiser"}


def test_diagnostics_do_not_change_training(small: ImageData) -> None:
    rare, often = (list(train(config(epochs=4, diagnostics_every_epochs=k, **ISOMETRIC), small)) for k in (4, 1))
    assert [record.train_loss for record in rare] == [record.train_loss for record in often]
    assert [record.val_loss for record in rare] == [record.val_loss for record in often]


def test_layers_are_measured_on_the_first_last_and_every_kth_epoch(small: ImageData) -> None:
    records = list(train(config(epochs=5, diagnostics_every_epochs=3), small))
    assert [record.epoch for record in records if record.layers] == [1, 3, 5]
    rows = records[0].layers
    assert [row["layer"] for row in rows] == list(range(7))
    assert all(row["error_norm"] > 0 and row["modulation_factor"] == 1.0 for row in rows)


def test_on_residual_nets_the_error_is_measured_at_block_outputs(small: ImageData) -> None:
    (record,) = train(config(epochs=1, architecture="residual"), small)
    assert ["error_norm" in row for row in record.layers] == [False, False, True] + [False, True] * 2


def test_a_test_accuracy_is_in_the_last_record_and_only_when_asked_for(small: ImageData) -> None:
    asked, unasked = (list(train(config(), small, evaluate_test=asked)) for asked in (True, False))
    assert [record.test_accuracy is None for record in asked] == [True, False]
    assert all(record.test_accuracy is None for record in unasked)


def test_a_run_that_diverges_stops_and_says_so(small: ImageData) -> None:
    records = list(train(config(epochs=9), _broken(small), evaluate_test=True))
    assert len(records) == 1
    assert records[0].status == "diverged"
    assert records[0].train_loss is None
    assert records[0].test_accuracy is None


def _broken(data: ImageData) -> ImageData:
    """Data whose normalised pixels overflow: the loss is not finite from the first step."""
    return dataclasses.replace(data, std=(1e-45,) * len(data.std))


def test_steps_bound_the_run_and_cut_the_last_epoch(small: ImageData) -> None:
    records = list(train(config(epochs=None, steps=6), small))
    assert [record.steps for record in records] == [4, 6]


def test_clipping_bounds_the_step(small: ImageData) -> None:
    clipped = config(epochs=None, steps=1, gradient_clip=1e-12, regularizer="none")
    fresh, trained = (Training(clipped, small, torch.device("cpu")) for _ in range(2))
    trained.run_epoch(1, last=True, evaluate_test=False)
    for before, after in zip(fresh.network.parameters(), trained.network.parameters(), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=1e-10)


def test_the_penalty_pulls_banks_towards_orthonormality(small: ImageData) -> None:
    defects = {
        name: list(train(config(epochs=4, regularizer=name, regularizer_strength=0.1), small))[-1].orthonormality_defect
        for name in ("none", "orthonormal")
    }
    assert defects["orthonormal"] < 0.5 * defects["none"]


def test_modulation_acts_and_is_counted(small: ImageData) -> None:
    modulated = {"depth": 20, "epochs": 1, "modulation": "pairwise"}
    (tight,) = train(config(modulation_band=1.0, **modulated), small)
    (loose,) = train(config(modulation_band=100.0, **modulated), small)
    assert tight.modulated_fraction > 0.8
    assert loose.modulated_fraction == 0.0
    assert any(row["modulation_factor"] != 1.0 for row in tight.layers)
    assert any(row["modulation_fired"] for row in tight.layers)
    assert not any(row["modulation_fired"] for row in loose.layers)
    assert math.isclose(tight.layers[-1]["modulation_factor"], 1.0)


@pytest.mark.parametrize("architecture", ["plain", "residual"])
def test_imagenet_size_nets_train_through_the_same_door(small: ImageData, architecture: str) -> None:
    images = {"network_size": "imagenet", "depth": 18, "width": 8, "architecture": architecture}
    (record,) = train(config(epochs=None, steps=2, **images), small)
    assert record.status == "ok"
    assert len(record.layers) == 17


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_step_is_the_same_step(small: ImageData) -> None:
    compiled, eager = (list(train(config(compile_step=flag, epochs=1, **ISOMETRIC), small)) for flag in (True, False))
    assert compiled[0].train_loss == pytest.approx(eager[0].train_loss, rel=1e-4)
    assert compiled[0].error_norm_ratio == pytest.approx(eager[0].error_norm_ratio, rel=1e-3)
