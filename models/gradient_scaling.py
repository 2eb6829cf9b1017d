"""What else is done about gradients whose magnitudes differ between layers: the rivals of modulation.

All act in place on the gradients of a list of parameters, without a loop over layers and without reading a number back.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.networks import gradient_of

LARS_TRUST = 0.02
"""Trust coefficient. You et al. 2017 use 0.001 with learning rates of 2 to 32; at 0.02 the usual 0.1 to 1.6 serve."""

Gradients = Sequence[Tensor]


def clip_globally_(parameters: Sequence[nn.Parameter], max_norm: float) -> None:
    """Scale all gradients alike so that their joint norm is at most `max_norm` (Pascanu et al. 2013, algorithm 1)."""
    nn.utils.clip_grad_norm_(parameters, max_norm)


@torch.no_grad()
def clip_each_(parameters: Sequence[nn.Parameter], max_norm: float) -> None:
    """Scale each parameter's gradient by itself so that its norm is at most `max_norm`."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    _scale_(gradients, (max_norm / _norms(gradients)).clamp(max=1.0).nan_to_num(nan=1.0))


def norms_apart(losses: Gradients, penalties: Gradients) -> Tensor:
    """||g|| + ||d|| of each pair of a loss's and a penalty's gradient (LARS, You et al. 2017, eq. 6)."""
    return _norms(losses) + _norms(penalties)


def norm_of_sum(losses: Gradients, penalties: Gradients) -> Tensor:
    """||g + d|| of each pair: every weight's step then has the same length in proportion to the weight."""
    return _norms(torch._foreach_add(list(losses), list(penalties)))


TRUST_NORMS: dict[str, Callable[[Gradients, Gradients], Tensor]] = {"lars": norms_apart, "lars_joint": norm_of_sum}
"""Optimiser to the denominator of its trust ratio."""


@torch.no_grad()
def add_in_trust_(parameters: Sequence[nn.Parameter], penalties: Gradients, optimizer: str) -> None:
    """Turn each weight's `.grad` g into (g + d) LARS_TRUST ||w|| / (||g|| + ||d||), d the penalty's gradient.

    The denominator is the optimiser's in TRUST_NORMS. The penalty stands where You et al. have weight decay, d = b w.
    A weight whose norm or gradient is zero has ratio 1; vectors (biases, normalisation) have no penalty and are left
    alone, as is usual.
    """
    matrices = [(w.detach(), gradient_of(w), d) for w, d in zip(parameters, penalties, strict=True) if w.ndim > 1]
    weights, losses, decays = zip(*matrices, strict=True)
    weight_norms, gradient_norms = _norms(weights), TRUST_NORMS[optimizer](losses, decays)
    moving = (weight_norms > 0.0) & (gradient_norms > 0.0)
    torch._foreach_add_(losses, decays)
    _scale_(losses, torch.where(moving, LARS_TRUST * weight_norms / gradient_norms, 1.0))


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm(list(tensors)))


def _scale_(tensors: Sequence[Tensor], factors: Tensor) -> None:
    """Multiply each tensor by its factor; (len(tensors),) factors."""
    torch._foreach_mul_(list(tensors), list(factors.unbind()))


CLIPS = {"global": clip_globally_, "layer": clip_each_}
