"""Images a second of the whole method, how near that is to what the machine can do, and what it takes in memory."""

from collections.abc import Iterator

from study.bench.counting import Work, peak_bytes, peak_conv_flops, peak_flops, work_of
from study.bench.footprint import footprint, memory_in_use
from study.bench.rows import Row, Target
from study.bench.setting import Setting
from study.bench.subjects import BATCH, METHOD, Stepper
from study.bench.timing import clock_for, estimate, interleave

DEPTHS = (20, 44, 110)
SIZE = 32
ROUNDS = (4, 20)
FLAT_STEPS = 100
FLAT_DEPTH, FLAT_SIZE = 44, 8
FLAT_MIB = Target(5.0)  # of growth over FLAT_STEPS; a single activation (128, 16, 8, 8) kept from each would be 50


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
