"""Regularisers of filter banks, and the penalty of a whole network.

Normalisation parameters and biases take no penalty of any kind. Training uses closed-form gradients; `value` is for
logs, and autograd through it is the tests' oracle. A `LayerPenalty` needs no closed form, and knows its layer.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from models import penalties
from models.networks import ConvNet, gradient_of


class BankFunction(Protocol):
    """What values and gradients look like."""

    def __call__(self, weight: Tensor, *, stride: int = 1) -> Tensor:
        """One number, or one gradient, a weight."""


ScaledGradient = Callable[[float | Tensor], Tensor]
"""A strength to the strength times the gradients of a penalty."""


@dataclass(frozen=True)
class Regularizer:
    """A penalty on one bank, or a hard constraint on it, which has neither value nor gradient.

    Attributes:
        value: weights (..., C_out, C_in, k, k) to penalties (...).
        gradient: weights to the gradients of their values, of the weights' shape.
        grouped: whether a bank with f_in < f_out is handled in groups of f_in filters.
        zero_set: in words, the banks on which the value is 0, or that satisfy the constraint.
        fast_gradient: a cheaper approximation of `gradient` for training, where there is one.
        scaled_gradient_of: takes a stack of weights and returns a function that answers a given strength times the
            `gradient` of what the stack then holds; where there is one, training uses it.
        project: moves weights onto the zero set, in place, from where a step has taken them; for constraints alone.
        start: does so once before training, from anywhere.
    """

    value: BankFunction | None
    gradient: BankFunction | None
    grouped: bool
    zero_set: str
    fast_gradient: BankFunction | None = None
    scaled_gradient_of: Callable[[Tensor], ScaledGradient] | None = None
    project: Callable[[Tensor], None] | None = None
    start: Callable[[Tensor], None] | None = None

    def total(self, banks: "Banks") -> Tensor:
        """The sum of the banks' penalties; 0 for a constraint."""
        stack = banks.stacked()
        return stack.new_zeros(()) if self.value is None else self.value(stack, stride=banks.stride).sum()

    def gradient_by(self, banks: "Banks") -> ScaledGradient | None:
        """What answers the gradients of the penalty on the weights that the stack holds; None for a constraint."""
        if self.scaled_gradient_of is not None:
            return self.scaled_gradient_of(banks.stack)
        gradient = self.fast_gradient or self.gradient
        if gradient is None:
            return None
        return lambda strength: strength * gradient(banks.stack, stride=banks.stride)


@dataclass(frozen=True)
class Layer:
    """Which convolution a weight belongs to: its index and stage, from 0, its stride, and the net's depth."""

    index: int
    stage: int
    stride: int
    depth: int


@dataclass(frozen=True)
class LayerPenalty:
    """A penalty that is given one weight at a time, and the layer that it belongs to.

    Attributes:
        value: a weight (C_out, C_in, k, k) and its layer to the penalty, ().
        gradient: the same to the gradient of that value; None: autograd's.
    """

    value: Callable[[Tensor, Layer], Tensor]
    gradient: Callable[[Tensor, Layer], Tensor] | None = None
    project: ClassVar[None] = None
    start: ClassVar[None] = None

    def total(self, banks: "Banks") -> Tensor:
        """The sum of the banks' penalties."""
        banks.stacked()
        return self._sum(banks.slots, banks.layers)

    def gradient_by(self, banks: "Banks") -> ScaledGradient:
        """What answers the gradients of the penalty on the weights that the stack holds."""
        return lambda strength: strength * torch.stack(self.gradients(banks.slots, banks.layers))

    def gradients(self, weights: Sequence[Tensor], layers: Sequence[Layer]) -> list[Tensor]:
        """The gradient at each weight, in one backward pass where there is no closed form."""
        if self.gradient is not None:
            return [self.gradient(weight, layer) for weight, layer in zip(weights, layers, strict=True)]
        return self.differentiated(weights, layers)

    @torch.enable_grad()
    def differentiated(self, weights: Sequence[Tensor], layers: Sequence[Layer]) -> list[Tensor]:
        """Autograd's gradients of the values; 0 where a value is a constant, as where a layer is spared."""
        leaves = [weight.detach().requires_grad_() for weight in weights]
        total = self._sum(leaves, layers)
        if not total.requires_grad:
            return [torch.zeros_like(weight) for weight in weights]
        return list(torch.autograd.grad(total, leaves, materialize_grads=True))

    def _sum(self, weights: Sequence[Tensor], layers: Sequence[Layer]) -> Tensor:
        values = [self.value(weight, layer) for weight, layer in zip(weights, layers, strict=True)]
        return torch.as_tensor(sum(values), dtype=weights[0].dtype, device=weights[0].device)


ORTHONORMAL_BANKS = "banks with orthonormal filters, in each group of f_in where f_in < f_out"

REGULARIZERS: dict[str, Regularizer | LayerPenalty] = {
    "none": Regularizer(penalties.none_value, penalties.none_gradient, grouped=False, zero_set="every bank"),
    "l2": Regularizer(penalties.l2_value, penalties.l2_gradient, grouped=False, zero_set="the zero bank alone"),
    "orthonormal": Regularizer(
        penalties.orthonormal_value,
        penalties.orthonormal_gradient,
        grouped=True,
        zero_set=ORTHONORMAL_BANKS,
        scaled_gradient_of=penalties.scaled_orthonormal_gradient_of,
    ),
    "mutual_coherence": Regularizer(
        penalties.mutual_coherence_value,
        penalties.mutual_coherence_gradient,
        grouped=True,
        zero_set=ORTHONORMAL_BANKS,
    ),
    "spectral_isometry": Regularizer(
        penalties.spectral_isometry_value,
        penalties.spectral_isometry_gradient,
        grouped=True,
        zero_set=ORTHONORMAL_BANKS,
        fast_gradient=penalties.spectral_isometry_fast,
    ),
    "convolutional": Regularizer(
        penalties.convolutional_value,
        penalties.convolutional_gradient,
        grouped=False,
        zero_set="kernels that convolve with orthonormal rows (columns where C_out > C_in * stride^2), such as "
        "delta-orthogonal ones with C_out <= C_in; orthonormal filters are necessary for rows, not sufficient",
    ),
    "newton_schulz": Regularizer(
        None,
        None,
        grouped=True,
        zero_set=ORTHONORMAL_BANKS,
        project=penalties.newton_schulz_project,
        start=penalties.polar_start,
    ),
}


class Banks:
    """Equally shaped weights of one stride, with a stack to copy them into.

    The stack is kept, and of the weights' own memory format, because fresh memory costs more than the copy itself.

    Attributes:
        stack: (banks, C_out, C_in, k, k); slots: its weights, one by one.
        layers: to which each belongs.
    """

    def __init__(self, weights: Sequence[Tensor], layers: Sequence[Layer]) -> None:
        first = weights[0]
        self.layers, self.stride = layers, layers[0].stride
        self._weights = list(weights)
        self.stack = first.new_empty_strided((len(weights), *first.shape), (first.numel(), *first.stride()))
        self.slots = self.stack.unbind()

    def stacked(self) -> Tensor:
        """The stack, filled with the weights as they are now."""
        torch._foreach_copy_(self.slots, self._weights)
        return self.stack

    def write_back_(self) -> None:
        """Set the weights to what the stack holds."""
        torch._foreach_copy_(self._weights, self.slots)

    def add_to_gradients_(self, increments: Tensor) -> None:
        """Add increments[i] to the gradient of the i-th weight."""
        torch._foreach_add_([gradient_of(weight) for weight in self._weights], increments.unbind())


def layers_of(network: ConvNet) -> list[Layer]:
    """The layer of each convolution."""
    convs = zip(network.convs, network.stages, strict=True)
    return [Layer(index, stage, conv.stride[0], len(network.convs) + 1) for index, (conv, stage) in enumerate(convs)]


def start_on_constraint_(network: ConvNet, regularizer_name: str) -> None:
    """Move every convolution of a net that is just initialised onto a hard constraint; penalties change nothing."""
    start = REGULARIZERS[regularizer_name].start
    if start is not None:
        for conv in network.convs:
            start(conv.weight)


class NetworkPenalty:
    """One regulariser on every convolution of a network, and plain L2 of the same strength on its linear layer.

    Args:
        network: already on its device and in its memory format; its parameters are looked up once, here. They may
            change their values, not be replaced.
        regularizer_name: a name in REGULARIZERS; "none" leaves the linear layer alone too.

    Raises:
        ValueError: there is no regulariser of this name.
    """

    def __init__(self, network: ConvNet, regularizer_name: str) -> None:
        if regularizer_name not in REGULARIZERS:
            raise ValueError(f"regularizer = {regularizer_name!r}: must be one of {', '.join(REGULARIZERS)}")
        self._regularizer = REGULARIZERS[regularizer_name]
        self._acts = regularizer_name != "none"
        self._classifier = network.classifier.weight
        alike: dict[tuple[torch.Size, int], list[tuple[Tensor, Layer]]] = defaultdict(list)
        for conv, layer in zip(network.convs, layers_of(network), strict=True):
            alike[conv.weight.shape, layer.stride].append((conv.weight, layer))
        self._banks = [Banks(*zip(*members, strict=True)) for members in alike.values()]
        self._gradients = [self._regularizer.gradient_by(banks) for banks in self._banks]

    @torch.no_grad()
    def add_gradients_(self, strength: float | Tensor) -> None:
        """Add strength times each penalty's gradient to `.grad`; call after modulation, which must not scale it.

        A tensor () on the network's device is never read back to the host.
        """
        if not self._acts:
            return
        for banks, gradient in zip(self._banks, self._gradients, strict=True):
            if gradient is not None:
                banks.stacked()
                banks.add_to_gradients_(gradient(strength))
        gradient_of(self._classifier).add_(strength * self._classifier)

    @torch.no_grad()
    def project_(self) -> None:
        """Move every convolution onto a hard constraint; call after each optimiser step. Penalties do nothing here."""
        if self._regularizer.project is None:
            return
        for banks in self._banks:
            self._regularizer.project(banks.stacked())
            banks.write_back_()

    @torch.no_grad()
    def value(self) -> Tensor:
        """The sum of all penalties, strength left out."""
        total = 0.5 * self._classifier.square().sum() if self._acts else self._classifier.new_zeros(())
        for banks in self._banks:
            total += self._regularizer.total(banks)
        return total
