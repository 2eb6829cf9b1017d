"""Schedules: range, ends and moments of change."""

import pytest

from models.schedules import SCHEDULES

STEPS = [step / 1000 for step in range(1001)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("cutoff", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("phase_ends", [(), (0.5, 0.75), (0.5, 0.75, 1.0)])
def test_every_schedule_stays_within_zero_and_one_and_starts_at_one(name, cutoff, phase_ends):
    values = [SCHEDULES[name](progress, cutoff, phase_ends) for progress in STEPS]
    assert values[0] == 1.0
    assert all(0.0 <= value <= 1.0 for value in values)


@pytest.mark.parametrize("name", ["until_cutoff", "linear", "cosine"])
def test_decays_never_rise_and_end_at_the_cutoff(name):
    values = [SCHEDULES[name](progress, 0.4, ()) for progress in STEPS]
    assert values == sorted(values, reverse=True)
    assert all(value > 0.0 for value in values[:400])
    assert all(value == pytest.approx(0.0, abs=1e-15) for value in values[400:])


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_decays_are_at_one_half_midway(name):
    assert SCHEDULES[name](0.2, 0.4, ()) == pytest.approx(0.5)


def test_constant_is_one():
    assert {SCHEDULES["constant"](progress, 0.1, (0.5,)) for progress in STEPS} == {1.0}


@pytest.mark.parametrize("phase_ends", [(0.5, 0.75), (0.5, 0.75, 1.0)])
def test_phase_start_acts_in_the_first_part_of_each_phase(phase_ends):
    acting = [progress for progress in STEPS if SCHEDULES["phase_start"](progress, 0.2, phase_ends)]
    assert acting == [p for p in STEPS if p < 0.1 or 0.5 <= p < 0.55 or 0.75 <= p < 0.8]


def test_spectral_isometry_steps_are_the_published_ones():
    moments = [0.0, 0.0999, 0.1, 0.2499, 0.25, 0.3499, 0.35, 0.5999, 0.6, 1.0]
    values = [SCHEDULES["spectral_isometry_steps"](moment, 1.0, ()) for moment in moments]
    assert values == [1.0, 1.0, 1e-3, 1e-3, 1e-4, 1e-4, 1e-6, 1e-6, 0.0, 0.0]
