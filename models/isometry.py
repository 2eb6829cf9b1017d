"""What a network is like, layer by layer: Gram defects, singular values, cosines, dead units, errors.

Everything here only looks: weights, running statistics, modes, gradients and random generators are left as they were.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.filter_banks import filter_groups, gram_residual, without_stride
from models.initializers import gaussian
from models.modulation import build_modulation
from models.networks import ConvNet

BANK_STATISTICS = ("gram_defect", "singular_value_min", "singular_value_max", "singular_value_mean", "weight_norm")

POWER_STEPS = 100
"""Enough for 1 % on random kernels, whose largest singular values lie close together."""


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


def mean_cosine(weight: Tensor) -> Tensor:
    """Mean modulus of the cosine between two different filters of one bank, 0 where they are orthogonal.

    Xie et al. 2017 plot it for the layers of a trained net; signed cosines would cancel.
    """
    filters = functional.normalize(weight.flatten(1), dim=1)
    cosines = (filters @ filters.mT).abs()
    pairs = max(len(filters) * (len(filters) - 1), 1)
    return (cosines.sum() - cosines.diagonal().sum()) / pairs


@torch.no_grad()
def mean_cosines(network: ConvNet) -> list[float]:
    """`mean_cosine` of each convolution."""
    cosines: list[float] = torch.stack([mean_cosine(conv.weight) for conv in network.convs]).tolist()
    return cosines


@torch.no_grad()
def circular_singular_values(weight: Tensor, size: int, stride: int = 1) -> Tensor:
    """All singular values of a convolution on size x size images with circular padding, in descending order.

    A Fourier transform splits it into one C_out x C_in matrix a frequency (Sedghi et al. 2019).

    Raises:
        ValueError: size is no multiple of the stride, or the kernel would overlap itself.
    """
    kernels = without_stride(weight, stride)
    if size % stride or size // stride < kernels.shape[-1]:
        raise ValueError(f"size = {size}: must be a multiple of {stride} and at least {stride * kernels.shape[-1]}")
    transfer = torch.fft.fft2(kernels, s=(size // stride, size // stride)).permute(2, 3, 0, 1)
    values: Tensor = torch.linalg.svdvals(transfer).flatten().sort(descending=True).values
    return values


@torch.no_grad()
def padded_singular_value_max(weight: Tensor, size: int, stride: int = 1) -> Tensor:
    """The largest singular value of a convolution on size x size images with zero padding k // 2.

    By POWER_STEPS of power iteration from a fixed random image, so never above the true value. Scalar.
    """
    padding = weight.shape[-1] // 2
    left_over = (size + 2 * padding - weight.shape[-1]) % stride
    image = gaussian((1, weight.shape[1], size, size), weight, torch.Generator().manual_seed(0))
    output = image
    for _ in range(POWER_STEPS):
        unit = image / torch.linalg.vector_norm(image).clamp_min(torch.finfo(image.dtype).tiny)
        output = functional.conv2d(unit, weight, None, stride, padding)
        image = functional.conv_transpose2d(output, weight, None, stride, padding, output_padding=left_over)
    largest: Tensor = torch.linalg.vector_norm(output)
    return largest


def operator_statistics(network: ConvNet, images: Tensor) -> list[dict[str, float | int]]:
    """Each convolution as an operator on the images that reach it: one dict with the following keys.

    `layer`; `circular_max` and `circular_min`, its extreme singular values under circular padding (the image size
    rounded up to a multiple of the stride and to the kernel's size); `padded_max`, the largest under zero padding.
    """
    sizes: list[int] = []
    with _evaluating(network), _watching(network.convs, lambda output: sizes.append(output.shape[-1])), torch.no_grad():
        network(images)
    rows = torch.stack([_operator_row(conv, size) for conv, size in zip(network.convs, sizes, strict=True)]).tolist()
    return [
        {"layer": layer, "circular_max": largest, "circular_min": smallest, "padded_max": padded}
        for layer, (largest, smallest, padded) in enumerate(rows)
    ]


def error_profile(
    network: ConvNet, images: Tensor, labels: Tensor, *, statistic: str = "norm"
) -> list[dict[str, float | int]]:
    """The back-propagated error of the cross-entropy at each error site, in training mode and without modulation.

    One dict a site: `layer` (index of its convolution), `error_norm` n_l (its `statistic` as in `build_modulation`) and
    `error_ratio` n_l / n_{l+1}, 1 for the topmost: the curve of Xie et al. 2017.
    """
    probe = copy.deepcopy(network).train()
    for module in probe.modules():
        module._forward_hooks.clear()  # a modulation's would write into the buffers of the original
    watch = build_modulation(probe, rule="off", band=1.0, target="edge", statistic=statistic)
    watch.recording = True
    functional.cross_entropy(probe(images), labels).backward()  # type: ignore[no-untyped-call]
    watch.finish_backward()
    norms = watch.error_norms
    ratios = functional.pad(norms[:-1] / norms[1:], (0, 1), value=1.0)
    layers = [site.layer for site in probe.error_sites()]
    return [
        {"layer": layer, "error_norm": norm, "error_ratio": ratio}
        for layer, norm, ratio in zip(layers, norms.tolist(), ratios.tolist(), strict=True)
    ]


def _operator_row(conv: nn.Conv2d, output_size: int) -> Tensor:
    """Largest and smallest circular singular value and the largest zero-padded one of a convolution."""
    stride = conv.stride[0]
    size = stride * max(output_size, math.ceil(conv.kernel_size[0] / stride))
    circular = circular_singular_values(conv.weight, size, stride)
    return torch.stack([circular[0], circular[-1], padded_singular_value_max(conv.weight, size, stride)])


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
