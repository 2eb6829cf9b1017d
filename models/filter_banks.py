"""Filter banks: a convolution weight read as a matrix, in groups where it is wider than tall.

A weight (C_out, C_in, k, k) is the bank W of f_in = k * k * C_in rows and f_out = C_out columns, one filter a column.
It is stored here as its transpose, one filter a row, and every function also takes a stack (..., C_out, C_in, k, k).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def filter_groups(weight: Tensor) -> tuple[Tensor, ...]:
    """The bank as matrices (..., filters, f_in), one filter a row: all filters, or groups of f_in where f_in < f_out.

    The last group is smaller where f_in does not divide f_out. Penalising a wide bank as a whole would pull a
    group-orthonormal one away from itself. A filter's entries come in the order of memory, so that a channels_last
    weight is not copied; `from_filter_groups` undoes it all.
    """
    matrix = (weight.movedim(-3, -1) if _is_channels_last(weight) else weight).flatten(-3)
    groups: tuple[Tensor, ...] = torch.split(matrix, matrix.shape[-1], dim=-2)
    return groups


def from_filter_groups(groups: list[Tensor], weight: Tensor) -> Tensor:
    """Put matrices as `filter_groups(weight)` gives them back together in the shape and order of `weight`."""
    matrix = groups[0] if len(groups) == 1 else torch.cat(groups, dim=-2)
    if _is_channels_last(weight):
        return matrix.reshape(weight.movedim(-3, -1).shape).movedim(-1, -3)
    return matrix.reshape(weight.shape)


def _is_channels_last(weight: Tensor) -> bool:
    return weight.stride(-3) < weight.stride(-1)


def gram_residual(filters: Tensor) -> Tensor:
    """W^T W - I, (..., filters, filters), of filters (..., filters, f_in) given one a row."""
    residual = filters @ filters.mT
    residual.diagonal(dim1=-2, dim2=-1).sub_(1.0)
    return residual


def without_stride(weight: Tensor, stride: int) -> Tensor:
    """The kernels (..., C_out, C_in * stride^2, k', k') of stride 1 that do what `weight` does at `stride`.

    A convolution of stride s is one of stride 1 on images whose s x s squares have become channels; k' = ceil(k / s).
    """
    cells = math.ceil(weight.shape[-1] / stride)
    missing = cells * stride - weight.shape[-1]
    squares = functional.pad(weight, (0, missing, 0, missing)).reshape(-1, *weight.shape[-4:-2], *(cells, stride) * 2)
    return squares.permute(0, 1, 2, 4, 6, 3, 5).reshape(*weight.shape[:-3], -1, cells, cells)


def with_stride(kernels: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Undo `without_stride(weight, stride)`: put such kernels back in the shape of `weight`."""
    outputs, inputs, size = weight.shape[-4:-1]
    cells = kernels.shape[-1]
    squares = kernels.reshape(-1, outputs, inputs, stride, stride, cells, cells).permute(0, 1, 2, 5, 3, 6, 4)
    padded = squares.reshape(*weight.shape[:-2], cells * stride, cells * stride)
    return padded[..., :size, :size]
