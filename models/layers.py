"""The layers that networks are chained of: triples, and blocks of triples with a parameter-free shortcut."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from models.layouts import ConvSpec

UNFILLED = "meta"
"""Layers are made on this device first, so that torch's constructors fill nothing and draw nothing."""


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

    def __init__(self, specs: tuple[ConvSpec, ...], make_activation: Callable[[], nn.Module]) -> None:
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
