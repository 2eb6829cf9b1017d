"""What else is done about gradients whose magnitudes differ between layers: the rivals of modulation.

All act in place on the gradients of a list of parameters, without a loop over layers and without reading a number back.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LARS_TRUST = 0.02
"""Trust coefficient. You et al. 2017 use 0.001 with learning rates of 2 to 32; at 0.02 the usual 0.1 to 1.6 serve."""


def clip_globally_(parameters: Sequence[nn.Parameter], max_norm: float) -> None:
    """Scale all gradients alike so that their joint norm is at most `max_norm` (Pascanu et al. 2013, algorithm 1)."""
    nn.utils.clip_grad_norm_(parameters, max_norm)


@torch.no_grad()
def clip_each_(parameters: Sequence[nn.Parameter], max_norm: float) -> None:
    """Scale each parameter's gradient by itself so that its norm is at most `max_norm`."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    _scale_(gradients, (max_norm / norms).clamp(max=1.0).nan_to_num(nan=1.0))


@torch.no_grad()
def lars_(parameters: Sequence[nn.Parameter], trust: float = LARS_TRUST) -> None:
    """Scale each weight's gradient to `trust` times the weight's own norm (LARS, You et al. 2017, eq. 6).

    The penalty's gradient is to be in `.grad` already: it stands where the paper has weight decay. Vectors (biases,
    normalisation) are left alone, as is usual, and so is a weight whose norm or gradient is zero.
    """
    weights = [parameter.detach() for parameter in parameters if parameter.ndim > 1 and parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters if parameter.ndim > 1 and parameter.grad is not None]
    weight_norms = torch.stack(torch._foreach_norm(weights))
    gradient_norms = torch.stack(torch._foreach_norm(gradients))
    moving = (weight_norms > 0.0) & (gradient_norms > 0.0)
    _scale_(gradients, torch.where(moving, trust * weight_norms / gradient_norms, 1.0))


def _scale_(tensors: Sequence[Tensor], factors: Tensor) -> None:
    """Multiply each tensor by its factor; (len(tensors),) factors."""
    torch._foreach_mul_(list(tensors), list(factors.unbind()))


CLIPS = {"global": clip_globally_, "layer": clip_each_}
