"""Images a second of the whole method, how near that is to what the machine can do, and what it takes in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from study.bench.measurement import Row, Setting, Target, clock_for, estimate, interleave
from study.bench.steps import BATCH, METHOD, Stepper

MATRIX = {"cpu": 2048, "cuda": 8192}  # large enough that the product does not wait for memory
COPIED_BYTES = 2**28  # beyond every cache
REPEATS = 6

DEPTHS = (20, 44, 110)
SIZE = 32
ROUNDS = (4, 20)
FLAT_STEPS = 100
FLAT_DEPTH, FLAT_SIZE = 44, 8
FLAT_MIB = Target(5.0)  # of growth over FLAT_STEPS; a single activation (128, 16, 8, 8) kept from each would be 50


@dataclass(frozen=True)
class Work:
    """Operations and bytes of one call of something.

    Attributes:
        flops: of convolutions and matrix products, a multiply-add counting two. Padding counts as if it were image.
        bytes: that operators read and write, each operator by itself: caches may save a part of it.
        calls: of operators, views left out.
    """

    flops: float
    bytes: float
    calls: int


@dataclass(frozen=True)
class Footprint:
    """What one call of something leaves in memory.

    Attributes:
        allocations: of tensors, on any device.
        peak_bytes: that tensors took at most beyond what they took before.
    """

    allocations: int
    peak_bytes: int


def measure(setting: Setting) -> Iterator[Row]:
    """The machine's peaks, each depth against them, operator calls a layer, memory."""
    clock = clock_for(setting.device)
    setting.say("a large matrix product, convolution and copy")
    products, convolutions = peak_flops(setting.device, clock), peak_conv_flops(setting.device, clock)
    copied = peak_bytes(setting.device, clock)
    yield Row("a large matrix product, fp32", products / 1e9, "GFLOP/s")
    yield Row("a large 3x3 convolution, fp32", convolutions / 1e9, "GFLOP/s")
    yield Row("a large copy, read and written", copied / 1e9, "GB/s")
    calls = {}
    for depth in DEPTHS:
        setting.say(f"plain-{depth} at {SIZE}x{SIZE}")
        stepper = Stepper(METHOD | {"depth": depth}, SIZE, setting.device)
        work = work_of(stepper)
        calls[depth] = work.calls
        yield from _speed(stepper, f"plain-{depth}, {SIZE}x{SIZE}", work, setting, max(products, convolutions), copied)
    yield from operator_calls(calls)
    setting.say(f"memory over {FLAT_STEPS} steps")
    yield from flatness(setting)


def _speed(stepper: Stepper, where: str, work: Work, setting: Setting, flops: float, copied: float) -> Iterator[Row]:
    clock = clock_for(setting.device)
    seconds = interleave({"step": stepper}, setting.rounds(*ROUNDS), clock)["step"]
    typical = estimate(seconds).median
    shares = {"of the peak FLOP/s": work.flops / typical / flops, "of the copy's GB/s": work.bytes / typical / copied}
    yield Row(f"{where}: images", estimate([BATCH / one for one in seconds]), "/s", parts=shares)
    yield Row(f"{where}: peak of the tensors that a step makes", footprint(stepper).peak_bytes / 2**20, "MiB")


def operator_calls(calls: dict[int, int]) -> Iterator[Row]:
    """Operator calls a step by depth, and how many another layer adds."""
    for depth, number in calls.items():
        yield Row(f"plain-{depth}: operator calls a step", float(number))
    shallow, deep = min(calls), max(calls)
    yield Row("operator calls that a layer adds", (calls[deep] - calls[shallow]) / (deep - shallow))


def flatness(setting: Setting) -> Iterator[Row]:
    """Memory after many steps less memory before them, and allocations of an early and a late step."""
    stepper = Stepper(METHOD | {"depth": FLAT_DEPTH}, FLAT_SIZE, setting.device)
    where = f"plain-{FLAT_DEPTH}, {FLAT_SIZE}x{FLAT_SIZE}"
    for _ in range(FLAT_STEPS // 5):
        stepper()
    early, before = footprint(stepper).allocations, memory_in_use(setting.device)
    for _ in range(FLAT_STEPS):
        stepper()
    after, late = memory_in_use(setting.device), footprint(stepper).allocations
    yield Row(f"{where}: memory grown over {FLAT_STEPS} steps", (after - before) / 2**20, "MiB", FLAT_MIB)
    yield Row(f"{where}: allocations of a step at the start", float(early))
    yield Row(f"{where}: more of them {FLAT_STEPS} steps later", float(late - early), target=Target(0.0))


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
        if not func.is_view and func.namespace != "profiler" and "empty" not in func.overloadpacket.__name__:
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


def footprint(call: Callable[[], object]) -> Footprint:
    """Call once under torch's profiler."""
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return Footprint(sum(change > 0 for change in changes), max(accumulate(changes, initial=0)))


def memory_in_use(device: torch.device) -> int:
    """Bytes of tensors on a GPU; resident bytes of this process elsewhere."""
    return int(torch.cuda.memory_allocated()) if device.type == "cuda" else psutil.Process().memory_info().rss
