"""Layouts: which convolutions a net of a given depth is made of. Plain data, no tensors."""

from collections.abc import Callable
from dataclasses import dataclass

SHALLOWEST, DEEPEST = 8, 1202
"""Depths that are tested to build and to train; both are of the form 6n + 2."""


IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks in each stage, by depth."""

SHALLOWEST_BOTTLENECK = 50
BOTTLENECK_EXPANSION = 4


@dataclass(frozen=True)
class ConvSpec:
    """One convolution of a layout; padding keeps the image size but for the stride."""

    in_channels: int
    out_channels: int
    stride: int
    stage: int
    kernel_size: int = 3


Block = tuple[ConvSpec, ...]

BlockMaker = Callable[[int, int, int, int], Block]
"""(in_channels, width, stride, stage) -> the convolutions of a block."""


@dataclass(frozen=True)
class Layout:
    """A net's convolutions: a stem, perhaps a 3x3 max pool of stride 2, and blocks, which shortcuts may bridge."""

    stem: ConvSpec
    blocks: tuple[Block, ...]
    pool_after_stem: bool = False

    @property
    def convs(self) -> tuple[ConvSpec, ...]:
        """All convolutions from the first to the last."""
        return (self.stem, *(spec for block in self.blocks for spec in block))


def check_cifar_depth(depth: int) -> None:
    """ValueError where depth is not 6n + 2, or outside [8, 1202]; the message names the two nearest that are."""
    if (depth - 2) % 6 or not SHALLOWEST <= depth <= DEEPEST:
        below = min(max(depth - (depth - 2) % 6, SHALLOWEST), DEEPEST - 6)
        allowed = f"must be 6n + 2 and within [{SHALLOWEST}, {DEEPEST}]"
        raise ValueError(f"depth = {depth}: {allowed}; the nearest are {below} and {below + 6}")


def check_imagenet_depth(depth: int) -> None:
    """ValueError where depth is none of 18, 34, 50, 101."""
    if depth not in IMAGENET_BLOCKS:
        raise ValueError(f"depth = {depth}: must be one of {', '.join(map(str, IMAGENET_BLOCKS))}")


def cifar_layout(depth: int, width: int, in_channels: int) -> Layout:
    """A 3x3 stem and three stages of 2n 3x3 convolutions, `width` * (1, 2, 4) channels wide (He et al. 2016).

    depth = 6n + 2 counts these and the linear layer. The stem belongs to stage 0; stages 1 and 2 begin with stride 2.

    Raises:
        ValueError: as `check_cifar_depth`.
    """
    check_cifar_depth(depth)
    counts = ((depth - 2) // 6,) * 3
    return Layout(ConvSpec(in_channels, width, stride=1, stage=0), _stages(counts, width, width, _basic_block))


def imagenet_layout(depth: int, width: int, in_channels: int) -> Layout:
    """A 7x7 stem of stride 2, a max pool and four stages, `width` * (1, 2, 4, 8) channels wide (He et al. 2016).

    Up to depth 34 a block is two 3x3 convolutions; from 50 on a bottleneck 1x1 - 3x3 - 1x1, whose last convolution has
    four times as many filters as inputs: a bank wider than tall.

    Raises:
        ValueError: as `check_imagenet_depth`.
    """
    check_imagenet_depth(depth)
    block = _basic_block if depth < SHALLOWEST_BOTTLENECK else _bottleneck_block
    stem = ConvSpec(in_channels, width, stride=2, stage=0, kernel_size=7)
    return Layout(stem, _stages(IMAGENET_BLOCKS[depth], width, width, block), pool_after_stem=True)


def _stages(
    counts: tuple[int, ...], in_channels: int, width: int, block: BlockMaker
) -> tuple[tuple[ConvSpec, ...], ...]:
    """counts[s] blocks in stage s, each stage after the first twice as wide and begun with stride 2."""
    blocks: list[Block] = []
    for stage, count in enumerate(counts):
        for position in range(count):
            stride = 2 if stage > 0 and position == 0 else 1
            blocks.append(block(in_channels, width * 2**stage, stride, stage))
            in_channels = blocks[-1][-1].out_channels
    return tuple(blocks)


def _basic_block(in_channels: int, width: int, stride: int, stage: int) -> Block:
    return ConvSpec(in_channels, width, stride, stage), ConvSpec(width, width, 1, stage)


def _bottleneck_block(in_channels: int, width: int, stride: int, stage: int) -> Block:
    """The stride sits at the 3x3 convolution: at the first 1x1 it would skip three pixels of four."""
    return (
        ConvSpec(in_channels, width, 1, stage, kernel_size=1),
        ConvSpec(width, width, stride, stage),
        ConvSpec(width, BOTTLENECK_EXPANSION * width, 1, stage, kernel_size=1),
    )
