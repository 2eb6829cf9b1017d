"""What a network is like, layer by layer: Gram defects, singular values, dead units.

Everything here only looks: weights, running statistics, modes, gradients and random generators are left as they were.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.filter_banks import filter_groups, gram_residual
from models.networks import ConvNet

BANK_STATISTICS = ("gram_defect", "singular_value_min", "singular_value_max", "singular_value_mean", "weight_norm")


@torch.no_grad()
def layer_statistics(network: ConvNet) -> list[dict[str, float | int]]:
    """One dict a convolution: `layer` (from 0), `stage` and the BANK_STATISTICS of its filter bank W (f_in x f_out).

    gram_defect is ||W^T W - I||_F / sqrt(f_out), see `gram_defect`. The singular values are the min(f_in, f_out) of W
    as a matrix, not those of the convolution as an operator. weight_norm is ||W||_F.
    """
    rows = torch.stack([_bank_statistics(conv.weight) for conv in network.convs]).tolist()
    return [
        {"layer": layer, "stage": stage, **dict(zip(BANK_STATISTICS, row, strict=True))}
        for layer, (stage, row) in enumerate(zip(network.stages, rows, strict=True))
    ]


def gram_defect(weight: Tensor) -> Tensor:
    """||W^T W - I||_F / sqrt(f_out) of one bank, group by group where f_in < f_out.

    It is the root mean square, over filters, of a filter's residual row: 0 for orthonormal filters, 1 for the zero
    bank, whatever the bank's size.
    """
    squares = [gram_residual(group).square().sum() for group in filter_groups(weight)]
    return (torch.stack(squares).sum() / weight.shape[0]).sqrt()


@torch.no_grad()
def orthonormality_defect(network: ConvNet) -> float:
    """The mean of `gram_defect` over the convolutions."""
    return float(torch.stack([gram_defect(conv.weight) for conv in network.convs]).mean())


@torch.no_grad()
def dead_fractions(network: ConvNet, images: Tensor) -> list[float]:
    """For each convolution the share of its channels whose activation is <= 0 at every pixel of every one of `images`.

    The activation is the first one that the convolution's output passes through (on residual nets, for the last of a
    block, the one after the addition). Runs in evaluation mode: running statistics normalise and are not updated.
    """
    dead: list[Tensor] = []
    with _evaluating(network), _watching(network.activations, lambda output: dead.append(_dead_fraction(output))):
        network(images)
    fractions: list[float] = torch.stack(dead).tolist()
    return fractions


def _dead_fraction(activation: Tensor) -> Tensor:
    """Share of the channels of (N, C, H, W) without one positive number."""
    return (activation.amax(dim=(0, 2, 3)) <= 0.0).float().mean()


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode within, each module's own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _watching(modules: Iterable[nn.Module], look: Callable[[Tensor], None]) -> Iterator[None]:
    """Calls `look` on each module's output, in the order of the forward pass."""
    handles = [module.register_forward_hook(lambda _module, _inputs, output: look(output)) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bank_statistics(weight: Tensor) -> Tensor:
    """The numbers that BANK_STATISTICS names, in its order; NaN for a bank that is not finite (a net that diverged)."""
    values = torch.linalg.svdvals(torch.nan_to_num(weight.flatten(1), posinf=0.0, neginf=0.0))  # LAPACK refuses NaN
    values = torch.where(weight.isfinite().all(), values, torch.nan)
    norm = torch.linalg.vector_norm(weight)
    return torch.stack([gram_defect(weight), values.amin(), values.amax(), values.mean(), norm])
