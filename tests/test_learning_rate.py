"""The learning rate's schedules."""

import pytest

from study.config import TrialConfig
from study.training.learning_rate import learning_rate_at, phase_ends


def config(**fields: object) -> TrialConfig:
    return TrialConfig(epochs=1, learning_rate=0.4, **fields)


def test_steps_drop_to_a_tenth() -> None:
    rates = [learning_rate_at(config(learning_rate_drops=(0.5, 0.75)), progress) for progress in (0, 0.49, 0.5, 0.75)]
    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.004])


def test_warm_up_rises_linearly_and_meets_the_schedule() -> None:
    warm = config(learning_rate_schedule="cosine", warmup_fraction=0.2)
    assert learning_rate_at(warm, 0.1) == pytest.approx(0.2)
    assert learning_rate_at(warm, 0.2) == pytest.approx(0.4)
    assert learning_rate_at(warm, 0.6) == pytest.approx(0.2)
    assert learning_rate_at(warm, 1.0) == pytest.approx(0.0)


def test_phases_end_at_the_drops_and_at_the_end() -> None:
    assert phase_ends(config(learning_rate_drops=(0.5, 0.75))) == (0.5, 0.75, 1.0)
    assert phase_ends(config(learning_rate_schedule="constant")) == (1.0,)
