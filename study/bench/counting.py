"""What a step asks of the machine: floating-point operations, bytes, operator calls."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

MATRIX = {"cpu": 2048, "cuda": 8192}  # large enough that the product does not wait for memory
COPIED_BYTES = 2**28  # beyond every cache
REPEATS = 6


@dataclass(frozen=True)
class Work:
    """Of one call of something.

    Attributes:
        flops: of convolutions and matrix products, a multiply-add counting two. Padding counts as if it were image.
        bytes: that operators read and write, each operator by itself: caches may save a part of it.
        calls: of operators, views left out.
    """

    flops: float
    bytes: float
    calls: int


def work_of(call: Callable[[], object]) -> Work:
    """Count while calling once."""
    operators = OperatorCounter()
    with FlopCounterMode(display=False) as flops:
        call()
    with operators:
        call()
    return Work(float(flops.get_total_flops()), float(operators.bytes), operators.calls)


class OperatorCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operator calls and the bytes of their tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and count it."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func.overloadpacket.__name__:
            self.calls += 1
            self.bytes += sum(map(_bytes, _tensors((args, kwargs, result))))
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def peak_flops(device: torch.device, clock: Callable[[], float]) -> float:
    """Floating-point operations a second of a large matrix product, the best of a few."""
    n = MATRIX[device.type]
    matrix = torch.randn(n, n, device=device)
    return 2.0 * n**3 / _best_seconds(lambda: matrix @ matrix, clock)


def peak_conv_flops(device: torch.device, clock: Callable[[], float]) -> float:
    """The same of a large convolution: other libraries, on some processors with wider instructions."""
    images = torch.randn(64, 128, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    flops = 2.0 * images.numel() * weight[0].numel()
    return flops / _best_seconds(lambda: torch.nn.functional.conv2d(images, weight, padding=1), clock)


def peak_bytes(device: torch.device, clock: Callable[[], float]) -> float:
    """Bytes read and written a second by a large copy, the best of a few."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2.0 * COPIED_BYTES / _best_seconds(lambda: target.copy_(source), clock)


def _best_seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    times = []
    for _ in range(REPEATS):
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)
