"""Very deep plain convolutional nets and their residual twins.

A net is a chain of triples convolution - batch normalisation - activation, a global average pool, one linear layer.
Plain and residual nets of one depth hold the same convolutions and the same number of parameters; the residual one
adds shortcuts that have none. Layout of the CIFAR-size nets after He et al. 2016, section 4.2: depth = 6n + 2 counts a
3x3 stem, 2n convolutions at each of three widths, and the linear layer. This module never draws from a global
random generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.initializers import Initializer, gaussian, he

SHALLOWEST, DEEPEST = 8, 1202
"""Depths that are tested to build and to train; both are of the form 6n + 2."""

UNFILLED = "meta"
"""Layers are made on this device first, so that torch's constructors fill nothing and draw nothing."""

DEFAULT_SEED = 0
"""A net that nobody initialises is He-initialised from this seed rather than from torch's global generator."""


def _relu(slope: float) -> nn.Module:
    """max(x, 0); it has no slope to choose, so any but 0 is an error."""
    if slope != 0.0:
        raise ValueError(f"activation_slope = {slope}: relu has slope 0; leaky_relu takes one")
    return nn.ReLU(inplace=True)


def _leaky_relu(slope: float) -> nn.Module:
    """max(x, slope * x) for a slope in [0, 1]: 0 is ReLU, 1 the identity."""
    if not 0.0 <= slope <= 1.0:
        raise ValueError(f"activation_slope = {slope}: must lie in [0, 1]")
    return nn.LeakyReLU(slope, inplace=True)


ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {"relu": _relu, "leaky_relu": _leaky_relu}


@dataclass(frozen=True)
class ConvSpec:
    """One convolution of a layout; padding keeps the image size but for the stride."""

    in_channels: int
    out_channels: int
    stride: int
    stage: int
    kernel_size: int = 3


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


def cifar_layout(depth: int, width: int, in_channels: int) -> list[ConvSpec]:
    """The 6n + 1 convolutions of a net of `depth` = 6n + 2, `width`, 2 * width and 4 * width channels a stage.

    The stem counts to stage 0; the first convolution of stages 1 and 2 has stride 2.

    Raises:
        ValueError: depth is not 6n + 2, or outside [8, 1202]; the message names the two nearest that are.
    """
    if (depth - 2) % 6 or not SHALLOWEST <= depth <= DEEPEST:
        below = min(max(depth - (depth - 2) % 6, SHALLOWEST), DEEPEST - 6)
        allowed = f"must be 6n + 2 and within [{SHALLOWEST}, {DEEPEST}]"
        raise ValueError(f"depth = {depth}: {allowed}; the nearest are {below} and {below + 6}")
    specs = [ConvSpec(in_channels, width, stride=1, stage=0)]
    for stage in range(3):
        for position in range((depth - 2) // 3):
            stride = 2 if stage > 0 and position == 0 else 1
            specs.append(ConvSpec(specs[-1].out_channels, width * 2**stage, stride, stage))
    return specs


class ConvUnit(nn.Module):
    """One triple: activation(norm(conv(x))). The convolution has no bias, for the normalisation would cancel it."""

    def __init__(self, spec: ConvSpec, activation: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            spec.in_channels,
            spec.out_channels,
            spec.kernel_size,
            stride=spec.stride,
            padding=spec.kernel_size // 2,
            bias=False,
            device=UNFILLED,
        )
        self.norm = nn.BatchNorm2d(spec.out_channels, device=UNFILLED)
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H / stride, W / stride)."""
        output: Tensor = self.activation(self.normalized(images))
        return output

    def normalized(self, images: Tensor) -> Tensor:
        """The triple without its activation."""
        output: Tensor = self.norm(self.conv(images))
        return output


class PaddedShortcut(nn.Module):
    """The parameter-free shortcut across a change of size: every stride-th pixel, new channels zero (option A)."""

    def __init__(self, stride: int, extra_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra_channels = extra_channels

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + extra, H / stride, W / stride), sizes rounded up as a padded 3x3 conv does."""
        return functional.pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra_channels))


class ResidualBlock(nn.Module):
    """Some triples with a shortcut around them, which ends before the last one's activation."""

    def __init__(self, specs: list[ConvSpec], make_activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.inner = nn.Sequential(*(ConvUnit(spec, make_activation()) for spec in specs[:-1]))
        self.last = ConvUnit(specs[-1], make_activation())
        stride = max(spec.stride for spec in specs)
        extra = specs[-1].out_channels - specs[0].in_channels
        self.shortcut = PaddedShortcut(stride, extra) if stride > 1 or extra > 0 else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H / stride, W / stride)."""
        output: Tensor = self.last.activation(self.last.normalized(self.inner(images)) + self.shortcut(images))
        return output


class ConvNet(nn.Module, ABC):
    """What the plain net and its residual twin share.

    Args:
        depth: weighted layers, 6n + 2: the convolutions and the linear layer.
        width: channels of the first stage.
        in_channels: channels of the images.
        num_classes: outputs of the linear layer.
        activation: a name in ACTIVATIONS.
        activation_slope: slope of the activation below zero, for those that have one.
        norm_bias_init: where every batch normalisation's bias starts; 1 keeps ReLUs mostly open in very deep nets.

    Raises:
        ValueError: the depth, the activation or its slope cannot be built.
    """

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
        specs = cifar_layout(depth, width, in_channels)
        self.stages = tuple(spec.stage for spec in specs)
        self.norm_bias_init = norm_bias_init
        self.body = self._build_body(specs, lambda: ACTIVATIONS[activation](activation_slope))
        self.classifier = nn.Linear(specs[-1].out_channels, num_classes, device=UNFILLED)
        self.to_empty(device=torch.get_default_device())
        self.initialize(he, torch.Generator().manual_seed(DEFAULT_SEED))

    @abstractmethod
    def _build_body(self, specs: list[ConvSpec], make_activation: Callable[[], nn.Module]) -> nn.Sequential:
        """Chain the convolutions of `specs`; `make_activation` gives a fresh activation module."""

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
        N(0, 1 / f_in) (LeCun et al. 1998: logits of the order of its inputs) and bias 0.
        """
        for unit in self._units():
            initializer(unit.conv.weight, generator)
            unit.norm.reset_parameters()
            unit.norm.bias.fill_(self.norm_bias_init)
        weight = self.classifier.weight
        weight.copy_(gaussian(weight.shape, weight, generator) / weight.shape[1] ** 0.5)
        self.classifier.bias.zero_()

    def _units(self) -> Iterator[ConvUnit]:
        return (module for module in self.body.modules() if isinstance(module, ConvUnit))


class PlainCNN(ConvNet):
    """A chain of triples without a shortcut of any kind."""

    def _build_body(self, specs: list[ConvSpec], make_activation: Callable[[], nn.Module]) -> nn.Sequential:
        return nn.Sequential(*(ConvUnit(spec, make_activation()) for spec in specs))

    def error_sites(self) -> tuple[ErrorSite, ...]:
        """One site a convolution, at its output. The normalisation between two convolutions belongs to the upper."""
        sites = []
        between: tuple[nn.Parameter, ...] = ()
        for layer, unit in enumerate(self._units()):
            sites.append(ErrorSite(unit.conv, layer, (*between, *unit.conv.parameters())))
            between = (*unit.norm.parameters(), *unit.activation.parameters())
        return tuple(sites)


class ResidualCNN(ConvNet):
    """The plain net's twin: every two convolutions after the stem form a block with a parameter-free shortcut."""

    def _build_body(self, specs: list[ConvSpec], make_activation: Callable[[], nn.Module]) -> nn.Sequential:
        stem = ConvUnit(specs[0], make_activation())
        pairs = [list(pair) for pair in zip(specs[1::2], specs[2::2], strict=True)]
        return nn.Sequential(stem, *(ResidualBlock(pair, make_activation) for pair in pairs))

    def error_sites(self) -> tuple[ErrorSite, ...]:
        """One site a block, at its output after the addition; the stem lies below the first and belongs to it.

        Inside a block two paths meet, so that a factor on one of them would not commute with back-propagation.
        """
        stem, *blocks = self.body
        sites = []
        layer = 0
        below = tuple(stem.parameters())
        for block in blocks:
            layer += sum(isinstance(module, nn.Conv2d) for module in block.modules())
            sites.append(ErrorSite(block, layer, (*below, *block.parameters())))
            below = ()
        return tuple(sites)


NETWORKS: dict[str, type[ConvNet]] = {"plain": PlainCNN, "residual": ResidualCNN}
