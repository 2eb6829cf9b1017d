"""Initialisers: each fills one convolution weight in place.

A weight (C_out, C_in, k, k) is read as a filter bank W of f_in = k * k * C_in rows and f_out = C_out columns, one
filter a column, and stored here as its transpose: one filter a row. Gains are those of the sources named below; batch
normalisation, which follows every convolution of this study, cancels any common gain in the forward pass.
With `generator=None` torch's default generator is used, as in `torch.nn.init`; the study always passes its own.
This module never touches biases, normalisation or linear layers.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

Initializer = Callable[[Tensor, Generator | None], None]

RELU_GAIN = math.sqrt(2.0)
"""He et al. 2015: ReLU halves the second moment of its symmetric input, so weights make up a factor 2."""


def gaussian(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal numbers, drawn where the generator lives so that they do not depend on the weight's device."""
    device = generator.device if generator is not None else like.device
    return torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


@torch.no_grad()
def he(weight: Tensor, generator: Generator | None = None) -> None:
    """Fill with N(0, 2 / (k * k * C_out)): fan-out, so that the backward variance is kept (He et al. 2015, eq. 14)."""
    fan_out = weight.shape[0] * weight[0, 0].numel()
    weight.copy_(gaussian(weight.shape, weight, generator) * (RELU_GAIN / math.sqrt(fan_out)))


@torch.no_grad()
def orthonormal(weight: Tensor, generator: Generator | None = None) -> None:
    """Make the filters orthonormal, gain 1: W^T W = I (Xie et al. 2017).

    QR of a Gaussian with the signs fixed is Gram-Schmidt done stably, and uniform over such banks. Where f_in < f_out
    no such W exists: the filters fall into groups of f_in, the last one smaller if need be, each orthonormal in itself.
    """
    rows = gaussian((weight.shape[0], weight[0].numel()), weight, generator)
    groups = [_orthonormal_columns(group.mT).mT for group in torch.split(rows, rows.shape[1])]
    weight.copy_(torch.cat(groups).reshape(weight.shape))


@torch.no_grad()
def delta_orthogonal(weight: Tensor, generator: Generator | None = None) -> None:
    """All taps zero but the centre, which is a random orthogonal matrix, gain 1 (Xiao et al. 2018).

    The convolution itself, not only its bank, then keeps norms: of its input where C_out >= C_in, of the error that
    passes backwards where C_out <= C_in.
    """
    channels_out, channels_in, height, width = weight.shape
    tall = gaussian((max(channels_out, channels_in), min(channels_out, channels_in)), weight, generator)
    centre = _orthonormal_columns(tall)
    weight.zero_()
    weight[:, :, height // 2, width // 2] = centre if channels_out >= channels_in else centre.mT


@torch.no_grad()
def dirac(weight: Tensor, generator: Generator | None = None) -> None:
    """Filter i passes on channel i mod C_in and nothing else, gain 1 (Zagoruyko and Komodakis 2017); draws nothing.

    `torch.nn.init.dirac_` leaves filters beyond C_in at zero, which batch normalisation could not normalise.
    """
    channels_out, channels_in, height, width = weight.shape
    filters = torch.arange(channels_out, device=weight.device)
    weight.zero_()
    weight[filters, filters % channels_in, height // 2, width // 2] = 1.0


def _orthonormal_columns(matrix: Tensor) -> Tensor:
    """Gram-Schmidt on the columns of a tall `matrix`: Q of its QR, with the signs that make R's diagonal positive."""
    q, r = torch.linalg.qr(matrix)
    return torch.mul(q, r.diagonal().sign())


INITIALIZERS: dict[str, Initializer] = {
    "he": he,
    "orthonormal": orthonormal,
    "delta_orthogonal": delta_orthogonal,
    "dirac": dirac,
}
