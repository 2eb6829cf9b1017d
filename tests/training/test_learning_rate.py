"""The learning rate's schedules."""

import pytest

from study.config import TrialConfig
from study.training.step_values import learning_rate_at, phase_ends


def config(**fields: object) -> TrialConfig:
    return TrialConfig(epochs=1, learning_rate=0.4, **fields)


def test_steps_drop_to_a_tenth() -> None:
    rates = [learning_rate_at(config(learning_rate_drops=(0.5, 0.75)), step, 100) for step in (1, 50, 51, 76)]
    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.004])


def test_warm_up_rises_linearly_and_meets_the_schedule() -> None:
    warm = config(learning_rate_schedule="cosine", warmup_fraction=0.2)
    rates = [learning_rate_at(warm, step, 100) for step in (10, 20, 21, 61, 101)]
    assert rates == pytest.approx([0.2, 0.4, 0.4, 0.2, 0.0])


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
@pytest.mark.parametrize("total_steps", [1, 3, 10, 30, 77, 440])
def test_no_step_has_rate_zero_and_the_warm_up_ends_at_the_whole_rate(schedule: str, total_steps: int) -> None:
    warm = config(learning_rate_schedule=schedule, warmup_fraction=0.1)
    rates = [learning_rate_at(warm, step, total_steps) for step in range(1, total_steps + 1)]
    assert min(rates) > 0.0
    count = round(0.1 * total_steps)
    assert rates[:count] == pytest.approx([0.4 * step / count for step in range(1, count + 1)])
    assert max(rates) == pytest.approx(0.4)


def test_phases_end_at_the_drops_and_at_the_end() -> None:
    assert phase_ends(config(learning_rate_drops=(0.5, 0.75))) == (0.5, 0.75, 1.0)
    assert phase_ends(config(learning_rate_schedule="constant")) == (1.0,)
