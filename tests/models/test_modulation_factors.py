"""The factors of modulation: the formula, its edges, and broken magnitudes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.modulation_factors import RULES, TARGETS, check_options, local_factors, modulation_factors


def factors_by_the_book(norms, rule, band, target, strength):
    """The recursion as it is defined, in plain Python."""
    factors = [1.0] * len(norms)
    for layer in reversed(range(len(norms) - 1)):
        above = factors[layer + 1]
        reference = norms[layer + 1] * above if rule == "pairwise" else norms[-1]
        factors[layer] = above
        usable = all(math.isfinite(norm) and norm > 0.0 for norm in (norms[layer], reference))
        if rule == "off" or not usable:
            continue
        ratio = norms[layer] * above / reference
        if not 1.0 / band <= ratio <= band:
            goal = 1.0 if target == "unit" else min(max(ratio, 1.0 / band), band)
            factors[layer] = above * (goal / ratio) ** strength
    return factors


# Powers of 1.1, so that no ratio lies within rounding of a band's edge: there the two may differ, and rightly.
magnitudes = st.integers(-40, 40).map(lambda power: 1.1**power) | st.sampled_from([0.0, math.inf, math.nan])


@given(
    norms=st.lists(magnitudes, min_size=1, max_size=12),
    rule=st.sampled_from(RULES),
    band=st.sampled_from([1.0, 1.02, 1.5, 4.0]),
    target=st.sampled_from(TARGETS),
    strength=st.sampled_from([0.0, 0.3, 1.0]),
    as_tensor=st.booleans(),
)
def test_factors_follow_the_definition(norms, rule, band, target, strength, as_tensor):
    given_strength = torch.tensor(strength, dtype=torch.float64) if as_tensor else strength
    given_norms = torch.tensor(norms, dtype=torch.float64)
    factors = modulation_factors(given_norms, rule=rule, band=band, target=target, strength=given_strength)
    expected = factors_by_the_book(norms, rule, band, target, strength)
    torch.testing.assert_close(factors, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_golden_factors():
    norms = torch.tensor([8.0, 4.0, 2.0, 2.0, 1.0], dtype=torch.float64)
    unit = modulation_factors(norms, rule="pairwise", band=1.5, target="unit", strength=1.0)
    assert unit.tolist() == [0.125, 0.25, 0.5, 0.5, 1.0]
    edge = modulation_factors(norms, rule="pairwise", band=1.5, target="edge", strength=1.0)
    assert edge.tolist() == pytest.approx([0.75**3, 0.75**2, 0.75, 0.75, 1.0])
    topmost = modulation_factors(norms, rule="cumulative", band=1.5, target="edge", strength=1.0)
    assert topmost.tolist() == pytest.approx([0.1875, 0.375, 0.75, 0.75, 1.0])
    half = modulation_factors(norms, rule="pairwise", band=1.5, target="unit", strength=0.5)
    assert half.tolist() == pytest.approx([0.125**0.5, 0.5, 0.5**0.5, 0.5**0.5, 1.0])


@pytest.mark.parametrize("rule", ["pairwise", "cumulative"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_ratio_on_the_edge_of_the_band_or_inside_is_left_exactly_alone(rule, target):
    norms = torch.tensor([6.0, 3.0, 6.0, 3.0])
    assert modulation_factors(norms, rule=rule, band=2.0, target=target, strength=1.0).tolist() == [1.0] * 4


@pytest.mark.parametrize("target", TARGETS)
def test_modulated_magnitudes_reach_their_goal(target):
    norms = torch.logspace(6, 0, 12, dtype=torch.float64)
    goal = 1.0 if target == "unit" else 1.1
    pairwise = norms * modulation_factors(norms, rule="pairwise", band=1.1, target=target, strength=1.0)
    torch.testing.assert_close(pairwise[:-1] / pairwise[1:], torch.full((11,), goal, dtype=torch.float64))
    cumulative = norms * modulation_factors(norms, rule="cumulative", band=1.1, target=target, strength=1.0)
    assert (cumulative <= norms[-1] * goal * (1 + 1e-12)).all()


def test_a_broken_magnitude_separates_the_layers_on_its_two_sides():
    """It is not corrected and corrects nobody, but those below it are still compared with each other."""
    norms = torch.tensor([4.0, 2.0, 0.0, 2.0, 1.0])
    local = local_factors(norms, rule="pairwise", band=1.0, target="unit", strength=1.0)
    assert local.tolist() == [0.5, 1.0, 1.0, 0.5, 1.0]


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_the_shortest_chains(rule, length):
    factors = modulation_factors(torch.arange(length, 0, -1.0), rule=rule, band=1.0, target="unit", strength=1.0)
    assert factors.tolist() == ([1.0] if length == 1 else [0.5 if rule != "off" else 1.0, 1.0])


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"rule": "always"}, "modulation = 'always': must be one of off, pairwise, cumulative"),
        ({"target": "middle"}, "modulation_target = 'middle': must be one of edge, unit"),
        ({"statistic": "max"}, "modulation_statistic = 'max': must be one of norm, mean"),
        ({"band": 0.9}, "modulation_band = 0.9: must be finite and at least 1"),
        ({"band": math.nan}, "modulation_band = nan: must be finite and at least 1"),
    ],
)
def test_impossible_options_are_refused(wrong, complaint):
    options = {"rule": "pairwise", "band": 1.02, "target": "edge", "statistic": "norm", **wrong}
    with pytest.raises(ValueError, match=complaint):
        check_options(**options)
