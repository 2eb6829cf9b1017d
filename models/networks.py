"""Very deep plain convolutional nets and their residual twins.

A net is a chain of triples convolution - batch normalisation - activation, a global average pool, one linear layer.
Plain and residual nets of one depth hold the same convolutions and the same number of parameters; the residual one
adds shortcuts that have none. CIFAR-size nets have depth 6n + 2, ImageNet-size ones 18, 34, 50 or 101; see
`models.layouts`. This module never draws from a global random generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from models.initializers import Initializer, gaussian, he
from models.layers import UNFILLED, ConvUnit, ResidualBlock
from models.layouts import Layout, cifar_layout, imagenet_layout

SHIFT = -1.0
"""Floor of the shifted ReLU: one standard deviation below the mean of a normalised input."""

DEFAULT_SEED = 0
"""A net that nobody initialises is He-initialised from this seed rather than from torch's global generator."""


def _relu(slope: float) -> nn.Module:
    """ReLU, max(x, 0); it has no slope."""
    _refuse_slope("relu", slope)
    return nn.ReLU(inplace=True)


def _leaky_relu(slope: float) -> nn.Module:
    """max(x, slope * x) for a slope in [0, 1]: 0 is ReLU, 1 the identity."""
    if not 0.0 <= slope <= 1.0:
        raise ValueError(f"activation_slope = {slope}: must lie in [0, 1]")
    return nn.LeakyReLU(slope, inplace=True)


def _shifted_relu(slope: float) -> nn.Module:
    """max(x, -1), nearly the identity on normalised inputs (ISONet, Qi et al. 2020).

    There the shift is learned from -1 on; here the bias of the normalisation before it does that already.
    """
    _refuse_slope("shifted_relu", slope)
    return nn.Threshold(SHIFT, SHIFT, inplace=True)


def without_slope(name: str, make: Callable[[], nn.Module]) -> Callable[[float], nn.Module]:
    """The entry of an activation that has no slope."""

    def activation(slope: float) -> nn.Module:
        _refuse_slope(name, slope)
        return make()

    return activation


def _refuse_slope(name: str, slope: float) -> None:
    if slope != 0.0:
        raise ValueError(f"activation_slope = {slope}: must be 0 for {name}; leaky_relu takes one")


TORCH_ACTIVATIONS = (  # of torch.nn: those that keep the shape, need no argument and draw nothing
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Mish", "PReLU"),
    *("ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink"),
)

ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "shifted_relu": _shifted_relu,
    **{name: without_slope(name, getattr(nn, name)) for name in TORCH_ACTIVATIONS},
}


@dataclass(frozen=True, eq=False)
class ErrorSite:
    """A place where the back-propagated error is measured and may be scaled.

    Attributes:
        module: the module whose output's gradient is the error.
        layer: index in `ConvNet.convs` of the convolution that this output belongs to.
        parameters: those that lie between the site below and this one; their gradient carries every factor applied at
            this site and above it, and none applied below.
    """

    module: nn.Module
    layer: int
    parameters: tuple[nn.Parameter, ...]


def gradient_of(parameter: Tensor) -> Tensor:
    """The gradient that a finished backward pass has left."""
    assert parameter.grad is not None, "there is no gradient before a backward pass"
    return parameter.grad


class ConvNet(nn.Module, ABC):
    """What the plain net and its residual twin share.

    Args:
        depth: weighted layers: the convolutions and the linear layer.
        width: channels of the first stage.
        in_channels: channels of the images.
        num_classes: outputs of the linear layer.
        activation: a name in ACTIVATIONS.
        activation_slope: slope of the activation below zero, for those that have one.
        norm_bias_init: where every batch normalisation's bias starts; 1 keeps ReLUs mostly open in very deep nets.

    Attributes:
        class_names: what the outputs stand for, where whoever gave the net its weights knew.

    Raises:
        ValueError: the depth, the activation or its slope cannot be built.
    """

    class_names: tuple[str, ...] = ()

    def __init__(
        self,
        depth: int,
        width: int = 16,
        in_channels: int = 3,
        num_classes: int = 10,
        activation: str = "relu",
        activation_slope: float = 0.0,
        norm_bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation = {activation!r}: must be one of {', '.join(ACTIVATIONS)}")
        layout = self._layout(depth, width, in_channels)
        self.stages = tuple(spec.stage for spec in layout.convs)
        self.norm_bias_init = norm_bias_init
        self.body = self._build_body(layout, lambda: ACTIVATIONS[activation](activation_slope))
        self.classifier = nn.Linear(layout.convs[-1].out_channels, num_classes, device=UNFILLED)
        self.to_empty(device=torch.get_default_device())
        self.initialize(he, torch.Generator().manual_seed(DEFAULT_SEED))

    @staticmethod
    def _layout(depth: int, width: int, in_channels: int) -> Layout:
        """Which convolutions to build; nets of another size override this."""
        return cifar_layout(depth, width, in_channels)

    @abstractmethod
    def _build_body(self, layout: Layout, make_activation: Callable[[], nn.Module]) -> nn.Sequential:
        """Chain the convolutions of `layout`; `make_activation` gives a fresh activation module."""

    @abstractmethod
    def error_sites(self) -> tuple[ErrorSite, ...]:
        """Where modulation measures and scales the back-propagated error, from the input up."""

    @property
    def convs(self) -> tuple[nn.Conv2d, ...]:
        """The convolutions from the first to the last."""
        return tuple(unit.conv for unit in self._units())

    @property
    def norms(self) -> tuple[nn.BatchNorm2d, ...]:
        """The batch normalisations; the l-th follows the l-th convolution."""
        return tuple(unit.norm for unit in self._units())

    @property
    def activations(self) -> tuple[nn.Module, ...]:
        """The activations; the l-th is the first that the l-th convolution's output passes through."""
        return tuple(unit.activation for unit in self._units())

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        features = self.body(images).mean(dim=(2, 3))
        logits: Tensor = self.classifier(features)
        return logits

    @torch.no_grad()
    def initialize(self, initializer: Initializer, generator: Generator | None) -> None:
        """Start afresh, in place: convolutions by `initializer`, in order, and all else as follows.

        Batch normalisation gets weight 1, bias `norm_bias_init` and empty running statistics. The linear layer gets
        N(0, 1 / f_in) (LeCun et al. 1998: logits of the order of its inputs) and bias 0. An activation with parameters
        resets them itself.
        """
        for unit in self._units():
            initializer(unit.conv.weight, generator)
            unit.norm.reset_parameters()
            unit.norm.bias.fill_(self.norm_bias_init)
            if next(unit.activation.parameters(), None) is not None:
                unit.activation.reset_parameters()  # type: ignore[operator]
        weight = self.classifier.weight
        weight.copy_(gaussian(weight.shape, weight, generator) / weight.shape[1] ** 0.5)
        self.classifier.bias.zero_()

    def _units(self) -> Iterator[ConvUnit]:
        return (module for module in self.body.modules() if isinstance(module, ConvUnit))


class PlainCNN(ConvNet):
    """A chain of triples without a shortcut of any kind."""

    def _build_body(self, layout: Layout, make_activation: Callable[[], nn.Module]) -> nn.Sequential:
        return _chain(layout, [ConvUnit(spec, make_activation()) for spec in layout.convs])

    def error_sites(self) -> tuple[ErrorSite, ...]:
        """One site a convolution, at its output. The normalisation between two convolutions belongs to the upper."""
        sites = []
        between: tuple[nn.Parameter, ...] = ()
        for layer, unit in enumerate(self._units()):
            sites.append(ErrorSite(unit.conv, layer, (*between, *unit.conv.parameters())))
            between = (*unit.norm.parameters(), *unit.activation.parameters())
        return tuple(sites)


class ResidualCNN(ConvNet):
    """The plain net's twin: the convolutions after the stem form blocks, each with a parameter-free shortcut."""

    def _build_body(self, layout: Layout, make_activation: Callable[[], nn.Module]) -> nn.Sequential:
        stem = ConvUnit(layout.stem, make_activation())
        return _chain(layout, [stem, *(ResidualBlock(block, make_activation) for block in layout.blocks)])

    def error_sites(self) -> tuple[ErrorSite, ...]:
        """One site a block, at its output after the addition; the stem lies below the first and belongs to it.

        Inside a block two paths meet, so that a factor on one of them would not commute with back-propagation.
        """
        sites = []
        layer = 0
        below = tuple(self.body[0].parameters())
        for block in (module for module in self.body if isinstance(module, ResidualBlock)):
            layer += len(block.inner) + 1
            sites.append(ErrorSite(block, layer, (*below, *block.parameters())))
            below = ()
        return tuple(sites)


class ImageNetPlainCNN(PlainCNN):
    """The plain net in its ImageNet size; 64 is the usual width."""

    @staticmethod
    def _layout(depth: int, width: int, in_channels: int) -> Layout:
        return imagenet_layout(depth, width, in_channels)


class ImageNetResidualCNN(ResidualCNN):
    """The residual twin in its ImageNet size."""

    @staticmethod
    def _layout(depth: int, width: int, in_channels: int) -> Layout:
        return imagenet_layout(depth, width, in_channels)


def _chain(layout: Layout, modules: list[nn.Module]) -> nn.Sequential:
    """The modules one after the other, with the layout's pool after the first."""
    pool = [nn.MaxPool2d(3, stride=2, padding=1)] if layout.pool_after_stem else []
    return nn.Sequential(modules[0], *pool, *modules[1:])


NETWORKS: dict[str, type[ConvNet]] = {"plain": PlainCNN, "residual": ResidualCNN}
IMAGENET_NETWORKS: dict[str, type[ConvNet]] = {"plain": ImageNetPlainCNN, "residual": ImageNetResidualCNN}
NETWORK_SIZES: dict[str, dict[str, type[ConvNet]]] = {"cifar": NETWORKS, "imagenet": IMAGENET_NETWORKS}
