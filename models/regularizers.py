"""Regularisers of filter banks: the value of each penalty and its gradient in closed form, strength left out.

A convolution weight (C_out, C_in, k, k) is the bank W of f_in = k * k * C_in rows and f_out = C_out columns, one filter
a column. Every function also takes a stack of equally shaped weights (..., C_out, C_in, k, k) and then answers one
value, or one gradient, a weight: training handles all banks of one shape at once, for a Python loop over layers costs
more than the arithmetic. Normalisation parameters and biases take no penalty of any kind. Training uses `gradient`;
`value` is for logs, and autograd through it is the tests' oracle.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from models.networks import ConvNet


class BankFunction(Protocol):
    """What values and gradients look like; `generator` draws starting vectors where a method needs them."""

    def __call__(self, weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
        """One number, or one gradient, a weight."""


@dataclass(frozen=True)
class Regularizer:
    """A penalty on one bank.

    Attributes:
        value: weights (..., C_out, C_in, k, k) to penalties (...).
        gradient: weights to the gradients of their values, of the weights' shape.
        grouped: whether a bank with f_in < f_out is penalised in groups of f_in filters.
        zero_set: in words, the banks on which the value is 0.
    """

    value: BankFunction
    gradient: BankFunction
    grouped: bool
    zero_set: str


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


def _none_value(weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
    """0 for every bank: the sum of none of its filters, so that autograd has something to differentiate."""
    return weight[..., :0, :, :, :].sum(dim=(-4, -3, -2, -1))


def _none_gradient(weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
    """0 everywhere."""
    return torch.zeros_like(weight)


def _l2_value(weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
    """1/2 ||W||_F^2, whose gradient step is weight decay."""
    return 0.5 * weight.square().sum(dim=(-4, -3, -2, -1))


def _l2_gradient(weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
    """W."""
    return weight


def _orthonormal_value(weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
    """1/2 ||W^T W - I||_F^2, summed over groups (Xie et al. 2017, eq. 9)."""
    squares = [gram_residual(group).square().sum(dim=(-2, -1)) for group in filter_groups(weight)]
    return 0.5 * torch.stack(squares).sum(dim=0)


def _orthonormal_gradient(weight: Tensor, *, stride: int = 1, generator: Generator | None = None) -> Tensor:
    """2 W (W^T W - I), group by group."""
    groups = [gram_residual(group).mul_(2.0) @ group for group in filter_groups(weight)]
    return from_filter_groups(groups, weight)


REGULARIZERS: dict[str, Regularizer] = {
    "none": Regularizer(_none_value, _none_gradient, grouped=False, zero_set="every bank"),
    "l2": Regularizer(_l2_value, _l2_gradient, grouped=False, zero_set="the zero bank alone"),
    "orthonormal": Regularizer(
        _orthonormal_value,
        _orthonormal_gradient,
        grouped=True,
        zero_set="banks with orthonormal filters, in each group of f_in where f_in < f_out",
    ),
}


class _Banks:
    """Equally shaped weights of one stride, with a stack to copy them into.

    The stack is kept, and of the weights' own memory format, because fresh memory costs more than the copy itself.
    """

    def __init__(self, weights: list[Tensor], stride: int) -> None:
        first = weights[0]
        self.stride = stride
        self._weights = weights
        self._stack = first.new_empty_strided((len(weights), *first.shape), (first.numel(), *first.stride()))
        self._slots = self._stack.unbind()

    def stacked(self) -> Tensor:
        """The weights as they are now, (banks, C_out, C_in, k, k)."""
        torch._foreach_copy_(self._slots, self._weights)
        return self._stack

    def add_to_gradients_(self, increments: Tensor, strength: float) -> None:
        """Add strength * increments[i] to the gradient of the i-th weight."""
        torch._foreach_add_([_gradient_of(weight) for weight in self._weights], increments.unbind(), alpha=strength)


def _gradient_of(weight: Tensor) -> Tensor:
    assert weight.grad is not None, "a penalty is added after the backward pass"
    return weight.grad


class NetworkPenalty:
    """One regulariser on every convolution of a network, and plain L2 of the same strength on its linear layer.

    Args:
        network: already on its device and in its memory format; its parameters are looked up once, here. They may
            change their values, not be replaced.
        regularizer_name: a name in REGULARIZERS; "none" leaves the linear layer alone too.
        generator: handed to the regulariser.

    Raises:
        ValueError: there is no regulariser of this name.
    """

    def __init__(self, network: ConvNet, regularizer_name: str, generator: Generator | None = None) -> None:
        if regularizer_name not in REGULARIZERS:
            raise ValueError(f"regularizer = {regularizer_name!r}: must be one of {', '.join(REGULARIZERS)}")
        self._regularizer = REGULARIZERS[regularizer_name]
        self._generator = generator
        self._acts = regularizer_name != "none"
        self._classifier = network.classifier.weight
        weights: dict[tuple[torch.Size, int], list[Tensor]] = defaultdict(list)
        for conv in network.convs:
            weights[conv.weight.shape, conv.stride[0]].append(conv.weight)
        self._banks = [_Banks(equals, stride) for (_, stride), equals in weights.items()]

    @torch.no_grad()
    def add_gradients_(self, strength: float) -> None:
        """Add strength times each penalty's gradient to `.grad`; call after modulation, which must not scale it."""
        if not self._acts or strength == 0.0:
            return
        for banks in self._banks:
            increments = self._regularizer.gradient(banks.stacked(), stride=banks.stride, generator=self._generator)
            banks.add_to_gradients_(increments, strength)
        _gradient_of(self._classifier).add_(self._classifier, alpha=strength)

    @torch.no_grad()
    def value(self) -> Tensor:
        """The sum of all penalties, strength left out."""
        total = self._classifier.new_zeros(())
        if self._acts:
            total += 0.5 * self._classifier.square().sum()
            for banks in self._banks:
                values = self._regularizer.value(banks.stacked(), stride=banks.stride, generator=self._generator)
                total += values.sum()
        return total
