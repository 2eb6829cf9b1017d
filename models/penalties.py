"""Penalties on one filter bank and their gradients in closed form; `models.regularizers` holds their table.

A convolution weight (C_out, C_in, k, k) is the bank W of f_in = k * k * C_in rows and f_out = C_out columns, one filter
a column. Every function also takes a stack of equally shaped weights (..., C_out, C_in, k, k) and then answers one
value, or one gradient, a weight: training handles all banks of one shape at once. Never touches a network.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from models.filter_banks import filter_groups, from_filter_groups, gram_residual, with_stride, without_stride

SQUARINGS = 10
"""Squared so often, a matrix acts like 2^10 steps of power iteration: eigenvalues 1 % apart are told apart to 1e-8."""

NEWTON_SCHULZ_STEPS = 15
"""A step multiplies small singular values by 1.5, so that 11 of them lift 0.012 of the largest to 1; 4 polish."""


def none_value(weight: Tensor, *, stride: int = 1) -> Tensor:
    """0 for every bank: the sum of none of its filters, so that autograd has something to differentiate."""
    return weight[..., :0, :, :, :].sum(dim=(-4, -3, -2, -1))


def none_gradient(weight: Tensor, *, stride: int = 1) -> Tensor:
    """Gradient of no penalty: 0 everywhere."""
    return torch.zeros_like(weight)


def l2_value(weight: Tensor, *, stride: int = 1) -> Tensor:
    """1/2 ||W||_F^2, whose gradient step is weight decay."""
    return 0.5 * weight.square().sum(dim=(-4, -3, -2, -1))


def l2_gradient(weight: Tensor, *, stride: int = 1) -> Tensor:
    """Gradient of the L2 penalty: W itself."""
    return weight


def orthonormal_value(weight: Tensor, *, stride: int = 1) -> Tensor:
    """1/2 ||W^T W - I||_F^2, summed over groups (Xie et al. 2017)."""
    return _summed(lambda group: 0.5 * gram_residual(group).square().sum(dim=(-2, -1)), weight)


def orthonormal_gradient(weight: Tensor, *, stride: int = 1) -> Tensor:
    """2 W (W^T W - I), group by group."""
    return _groupwise(lambda group: gram_residual(group).mul_(2.0) @ group, weight)


def scaled_orthonormal_gradient_of(weight: Tensor) -> Callable[[float | Tensor], Tensor]:
    """A function that answers strength * gradient for what a stack of banks then holds.

    The stack (banks, ...) may be contiguous or channels_last. The function looks the groups up once and keeps its
    memory, which takes a tenth off a training step's penalty. The next call overwrites the answer of the last.
    """
    groups = filter_groups(weight)
    assert all(group.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr() for group in groups)
    residuals = [group.new_empty(*group.shape[:-1], group.shape[-2]) for group in groups]
    diagonals = [residual.diagonal(dim1=-2, dim2=-1) for residual in residuals]
    products = [torch.empty_like(group) for group in groups]

    def gradient(strength: float | Tensor) -> Tensor:
        factor = 2.0 * strength
        for group, residual, diagonal, product in zip(groups, residuals, diagonals, products, strict=True):
            torch.bmm(group, group.mT, out=residual)
            diagonal.sub_(1.0)
            torch.bmm(residual.mul_(factor), group, out=product)
        return from_filter_groups(products, weight)

    return gradient


def mutual_coherence_value(weight: Tensor, *, stride: int = 1) -> Tensor:
    """The largest entry of |W^T W - I|, summed over groups (Bansal et al. 2018)."""
    return _summed(lambda group: gram_residual(group).abs().amax(dim=(-2, -1)), weight)


def mutual_coherence_gradient(weight: Tensor, *, stride: int = 1) -> Tensor:
    """W (S + S^T), S the sign of W^T W - I at its largest entry and 0 elsewhere; equal entries share it evenly."""
    return _groupwise(_coherence_gradient, weight)


def spectral_isometry_value(weight: Tensor, *, stride: int = 1) -> Tensor:
    """sigma_max(W^T W - I), summed over groups (SRIP, Bansal et al. 2018)."""
    return _summed(lambda group: torch.linalg.eigvalsh(gram_residual(group)).abs().amax(dim=-1), weight)


def spectral_isometry_gradient(weight: Tensor, *, stride: int = 1) -> Tensor:
    """2 sign(mu) W v v^T, with mu the eigenvalue of W^T W - I of largest modulus and v its unit eigenvector."""
    return _groupwise(lambda group: _rank_one_gradient(group, _dominant_eigenvector(gram_residual(group))), weight)


def spectral_isometry_fast(weight: Tensor, *, stride: int = 1) -> Tensor:
    """The same gradient with v from power iteration, by repeated squaring: no decomposition and no random start."""
    return _groupwise(lambda group: _rank_one_gradient(group, _power_iterated(gram_residual(group))), weight)


def convolutional_value(weight: Tensor, *, stride: int = 1) -> Tensor:
    """1/2 ||Conv(K, K) - identity||^2 over all shifts by multiples of the stride (OCNN, Wang et al. 2020).

    This asks the convolution as an operator to have orthonormal rows, or columns where C_out > C_in * stride^2.
    """
    kernels = _rows(weight, stride)
    return 0.5 * _correlation_residual(kernels).square().flatten(1).sum(dim=1).reshape(weight.shape[:-4])


def convolutional_gradient(weight: Tensor, *, stride: int = 1) -> Tensor:
    """2 Conv(K, residual): each kernel gathers every other one at every shift, weighted with their residual there."""
    kernels = _rows(weight, stride)
    banks, rows, others, size, _ = kernels.shape
    residual = _correlation_residual(kernels).transpose(1, 2).flatten(0, 1)
    images = kernels.permute(2, 0, 1, 3, 4).reshape(others, banks * rows, size, size)
    gathered = functional.conv2d(images, residual, padding=size - 1, groups=banks)
    gradient = 2.0 * gathered.reshape(others, banks, rows, size, size).permute(1, 2, 0, 3, 4)
    transposed = rows != weight.shape[-4]
    return with_stride(gradient.transpose(1, 2) if transposed else gradient, weight, stride)


@torch.no_grad()
def newton_schulz_project(weight: Tensor) -> None:
    """Replace W, group by group and in place, by its polar factor W (W^T W)^(-1/2), whose columns are orthonormal.

    The coupled Newton-Schulz iteration, on the Gram matrix divided by a bound of its norm so that all singular values
    lie below sqrt(3), where it converges (ONI, Huang et al. 2020; the bound is the largest row sum, 1 on orthonormal
    banks, which therefore stay as they are). Singular values below 0.012 of the largest are only brought nearer to 1:
    a bank without full rank never gets there, a square random one may not. So training begins at `polar_start`.
    """
    weight.copy_(_groupwise(_newton_schulz, weight))


@torch.no_grad()
def polar_start(weight: Tensor) -> None:
    """Replace W, of any rank, group by group and in place, by a nearest bank with orthonormal columns.

    Of the singular value decomposition W = U S V^T it is U V^T: the polar factor where W has full rank, and else a
    completion of it, by the basis that the decomposition gives to the directions that W lacks.
    """
    weight.copy_(_groupwise(_polar_factor, weight))


def _summed(value: Callable[[Tensor], Tensor], weight: Tensor) -> Tensor:
    return torch.stack([value(group) for group in filter_groups(weight)]).sum(dim=0)


def _groupwise(function: Callable[[Tensor], Tensor], weight: Tensor) -> Tensor:
    return from_filter_groups([function(group) for group in filter_groups(weight)], weight)


def _coherence_gradient(filters: Tensor) -> Tensor:
    residual = gram_residual(filters)
    modulus = residual.abs()
    largest = modulus == modulus.amax(dim=(-2, -1), keepdim=True)
    signs = residual.sign() * largest / largest.sum(dim=(-2, -1), keepdim=True)
    return torch.matmul(signs + signs.mT, filters)


def _dominant_eigenvector(symmetric: Tensor) -> Tensor:
    """Unit eigenvectors (..., n, 1) to the eigenvalue of largest modulus of matrices (..., n, n)."""
    values, vectors = torch.linalg.eigh(symmetric)
    dominant: Tensor = vectors.take_along_dim(values.abs().argmax(dim=-1)[..., None, None], dim=-1)
    return dominant


def _power_iterated(symmetric: Tensor) -> Tensor:
    """What `_dominant_eigenvector` answers, by squaring until the largest eigenvalue drowns the others."""
    tiny = torch.finfo(symmetric.dtype).tiny
    power = symmetric
    for _ in range(SQUARINGS):
        power = power @ power
        power = power / power.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None].clamp_min(tiny)
    longest = power.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None]
    vector = power.take_along_dim(longest, dim=-1)
    return functional.normalize(vector, dim=-2, eps=tiny)


def _rank_one_gradient(filters: Tensor, vector: Tensor) -> Tensor:
    """2 sign(mu) v v^T applied to filters (..., n, f_in), mu = v^T (W^T W - I) v."""
    image = vector.mT @ filters
    sign = (image.square().sum(dim=-1, keepdim=True) - vector.square().sum(dim=-2, keepdim=True)).sign()
    return 2.0 * sign * vector * image


def _rows(weight: Tensor, stride: int) -> Tensor:
    """Kernels (banks, rows, others, k', k') of stride 1 whose rows are to be orthonormal.

    A convolution with more outputs than inputs cannot have orthonormal rows; there the two change places.
    """
    kernels = without_stride(weight.reshape(-1, *weight.shape[-4:]), stride)
    return kernels.transpose(1, 2) if kernels.shape[1] > kernels.shape[2] else kernels


def _correlation_residual(kernels: Tensor) -> Tensor:
    """Correlations of all pairs of rows at all shifts less the identity: (banks, rows, rows, 2k' - 1, 2k' - 1)."""
    banks, rows, others, size, _ = kernels.shape
    images = kernels.transpose(0, 1).reshape(rows, banks * others, size, size)
    filters = kernels.reshape(banks * rows, others, size, size)
    correlations = functional.conv2d(images, filters, padding=size - 1, groups=banks)
    residual = correlations.reshape(rows, banks, rows, *correlations.shape[-2:]).transpose(0, 1)
    residual[..., size - 1, size - 1].diagonal(dim1=-2, dim2=-1).sub_(1.0)
    return residual


def _polar_factor(filters: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(filters, full_matrices=False)
    factor: Tensor = left @ right
    return factor


def _newton_schulz(filters: Tensor) -> Tensor:
    gram = filters @ filters.mT
    bound = gram.abs().sum(dim=-1).amax(dim=-1)[..., None, None].clamp_min(torch.finfo(gram.dtype).tiny)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    square, inverse_root = gram / bound, identity
    for _ in range(NEWTON_SCHULZ_STEPS):
        step = 1.5 * identity - 0.5 * inverse_root @ square
        square, inverse_root = square @ step, step @ inverse_root
    return inverse_root @ (filters / bound.sqrt())
