"""Initialisers: properties that each table entry must have, and those that name it."""

import math

import pytest
import torch
from torch.nn import functional

from models.filter_banks import filter_groups
from models.initializers import INITIALIZERS

SHAPES = [(16, 3, 3, 3), (16, 1, 3, 3), (7, 2, 3, 3), (8, 8, 3, 3), (4, 16, 3, 3), (64, 16, 1, 1)]


def filled(name, shape, seed=0, dtype=torch.float64):
    weight = torch.full(shape, math.nan, dtype=dtype)
    INITIALIZERS[name](weight, torch.Generator().manual_seed(seed))
    return weight


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_initialiser_fills_every_shape_in_place(name, shape):
    assert filled(name, shape).isfinite().all()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initialiser_draws_from_the_given_generator_alone(name):
    before = torch.get_rng_state()
    assert torch.equal(filled(name, (8, 4, 3, 3)), filled(name, (8, 4, 3, 3)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initialiser_works_on_parameters_and_without_a_generator(name):
    weight = torch.nn.Parameter(torch.full((8, 4, 3, 3), math.nan))
    with torch.random.fork_rng(devices=[]):
        INITIALIZERS[name](weight)
    assert weight.isfinite().all()
    assert weight.requires_grad


@pytest.mark.parametrize("shape", SHAPES)
def test_orthonormal_filters_are_orthonormal_in_each_group(shape):
    for group in filter_groups(filled("orthonormal", shape)):
        torch.testing.assert_close(group @ group.mT, torch.eye(len(group), dtype=group.dtype), rtol=0, atol=1e-12)


def test_orthonormal_groups_are_full_but_for_the_last():
    assert [len(group) for group in filter_groups(filled("orthonormal", (16, 1, 3, 3)))] == [9, 7]


def test_orthonormal_banks_are_uniform():
    """An entry has mean 0 and variance 1 / f_in; QR's own signs would make the first one's mean -0.3."""
    entries = torch.stack([filled("orthonormal", (6, 2, 2, 2), seed)[0, 0, 0, 0] for seed in range(200)])
    assert abs(entries.mean()) < 4 / math.sqrt(8 * 200)
    assert entries.square().mean().item() == pytest.approx(1 / 8, abs=0.04)


@pytest.mark.parametrize("shape", [(8, 8, 3, 3), (16, 3, 3, 3), (8, 8, 5, 5)])
def test_delta_orthogonal_convolution_keeps_the_norm_of_its_input(shape):
    images = torch.randn(2, shape[1], 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    output = functional.conv2d(images, filled("delta_orthogonal", shape), padding=shape[2] // 2)
    torch.testing.assert_close(output.norm(), images.norm(), rtol=1e-12, atol=0)


def test_delta_orthogonal_with_fewer_filters_keeps_the_norm_of_the_error():
    errors = torch.randn(2, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    passed = functional.conv_transpose2d(errors, filled("delta_orthogonal", (4, 16, 3, 3)), padding=1)
    torch.testing.assert_close(passed.norm(), errors.norm(), rtol=1e-12, atol=0)


def test_he_has_the_variance_of_fan_out():
    weight = filled("he", (64, 32, 3, 3))
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)
    assert abs(weight.mean().item()) < 4 * weight.std().item() / math.sqrt(weight.numel())


def test_dirac_convolution_is_the_identity_on_as_many_channels_as_there_are():
    images = torch.randn(2, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(functional.conv2d(images, filled("dirac", (3, 3, 3, 3)), padding=1), images)
    wider = functional.conv2d(images, filled("dirac", (7, 3, 3, 3)), padding=1)
    assert torch.equal(wider, torch.cat([images, images, images[:, :1]], dim=1))
