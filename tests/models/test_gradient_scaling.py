"""Clipping and LARS, each against its definition."""

import pytest
import torch
from torch import nn

from models.gradient_scaling import CLIPS, LARS_TRUST, TRUST_NORMS, add_in_trust_, clip_each_, clip_globally_

SHAPES = [(4, 3, 3, 3), (8, 4, 1, 1), (8,), (10, 8)]


@pytest.fixture
def parameters() -> list[nn.Parameter]:
    """Weights and a bias with gradients of very different size."""
    draw = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64)) for shape in SHAPES]
    for scale, parameter in zip((1e-3, 1.0, 10.0, 1e3), made, strict=True):
        parameter.grad = scale * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return made


def gradients(parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in parameters]


def decays(parameters: list[nn.Parameter], strength: float) -> list[torch.Tensor]:
    """The gradients of weight decay, which vectors do not have."""
    return [strength * (parameter.ndim > 1) * parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("scope", CLIPS)
def test_clipping_keeps_directions_and_leaves_what_is_short(parameters: list[nn.Parameter], scope: str) -> None:
    before = gradients(parameters)
    CLIPS[scope](parameters, 1e9)
    for old, new in zip(before, gradients(parameters), strict=True):
        torch.testing.assert_close(new, old)
    CLIPS[scope](parameters, 0.5)
    for old, new in zip(before, gradients(parameters), strict=True):
        assert torch.cosine_similarity(old.flatten(), new.flatten(), dim=0) > 1 - 1e-12


def test_global_clipping_bounds_the_joint_norm(parameters: list[nn.Parameter]) -> None:
    clip_globally_(parameters, 0.5)
    joint = torch.cat([gradient.flatten() for gradient in gradients(parameters)]).norm()
    assert joint.item() == pytest.approx(0.5, rel=1e-4)


def test_layer_clipping_bounds_each_norm(parameters: list[nn.Parameter]) -> None:
    before = [gradient.norm().item() for gradient in gradients(parameters)]
    clip_each_(parameters, 0.5)
    after = [gradient.norm().item() for gradient in gradients(parameters)]
    assert after == pytest.approx([min(norm, 0.5) for norm in before])


def test_a_zero_gradient_survives_clipping(parameters: list[nn.Parameter]) -> None:
    parameters[0].grad.zero_()
    clip_each_(parameters, 0.5)
    assert parameters[0].grad.abs().max() == 0


def test_lars_takes_the_norms_of_loss_and_weight_decay_apart(parameters: list[nn.Parameter]) -> None:
    """You et al. 2017, algorithm 1: the local rate trust ||w|| / (||g|| + beta ||w||), applied to g + beta w."""
    beta, before = 0.3, gradients(parameters)
    add_in_trust_(parameters, decays(parameters, beta), "lars")
    for parameter, gradient in zip(parameters, before, strict=True):
        weight = parameter.detach()
        rate = LARS_TRUST * weight.norm() / (gradient.norm() + beta * weight.norm())
        expected = rate * (gradient + beta * weight) if weight.ndim > 1 else gradient
        torch.testing.assert_close(parameter.grad, expected)


def test_joint_lars_gives_every_weight_a_gradient_in_proportion_to_itself(parameters: list[nn.Parameter]) -> None:
    bias = gradients(parameters)[2]
    add_in_trust_(parameters, decays(parameters, 0.3), "lars_joint")
    for parameter in parameters:
        if parameter.ndim > 1:
            assert parameter.grad.norm().item() == pytest.approx(LARS_TRUST * parameter.norm().item())
    torch.testing.assert_close(parameters[2].grad, bias)


@pytest.mark.parametrize("optimizer", TRUST_NORMS)
def test_lars_leaves_a_zero_gradient(parameters: list[nn.Parameter], optimizer: str) -> None:
    parameters[0].grad.zero_()
    add_in_trust_(parameters, decays(parameters, 0.0), optimizer)
    assert parameters[0].grad.abs().max() == 0
