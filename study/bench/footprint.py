"""What a step takes in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch

from study.bench.resident import resident_bytes


@dataclass(frozen=True)
class Footprint:
    """Of one call.

    Attributes:
        allocations: of tensors, on any device.
        peak_bytes: that tensors took at most beyond what they took before.
    """

    allocations: int
    peak_bytes: int


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
    return int(torch.cuda.memory_allocated()) if device.type == "cuda" else resident_bytes()
