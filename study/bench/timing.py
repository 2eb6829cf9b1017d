"""Timing side by side: subjects take turns, so that a busy machine hits all of them alike."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

WARM_ROUNDS = 2  # not counted: the first calls choose kernels and fetch memory
TWO_SIDED_95 = 1.96  # standard deviations of a normal variable


@dataclass(frozen=True)
class Estimate:
    """A median with a 95 % interval, and the number of samples behind it."""

    median: float
    low: float
    high: float
    samples: int


def estimate(samples: Sequence[float]) -> Estimate:
    """The median and its distribution-free interval.

    The interval's ends are order statistics: as many samples lie below the true median as heads fall among n tosses.
    Below 6 samples it is the whole range, and covers less than 95 %.
    """
    ordered = sorted(samples)
    n = len(ordered)
    rank = max(0, math.floor((n - TWO_SIDED_95 * math.sqrt(n)) / 2))
    return Estimate(statistics.median(ordered), ordered[rank], ordered[n - 1 - rank], n)


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """The ratio of two subjects, each round compared with itself."""
    return estimate([above / below for above, below in zip(numerator, denominator, strict=True)])


def interleave(
    subjects: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float],
    warm_rounds: int = WARM_ROUNDS,
) -> dict[str, list[float]]:
    """Seconds that each subject took in each round; the order turns round with every round."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    order = list(subjects)
    for number in range(warm_rounds + rounds):
        for name in order:
            started = clock()
            subjects[name]()
            elapsed = clock() - started
            if number >= warm_rounds:
                seconds[name].append(elapsed)
        order.reverse()
    return seconds


def clock_for(device: torch.device) -> Callable[[], float]:
    """What to time work on a device with.

    Processor time on a CPU: on one thread it is the wall clock of an idle machine, and other processes do not add to
    it (they still share its caches). On a GPU the wall clock once all work is done.
    """
    return _synchronized if device.type == "cuda" else time.process_time


def _synchronized() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
