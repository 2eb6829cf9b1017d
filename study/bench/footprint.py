"""What a step takes in memory."""

from collections.abc import Callable

import torch

from study.bench.resident import resident_bytes


def allocations(call: Callable[[], object]) -> int:
    """Tensor allocations during one call, on the host."""
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    memory = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
    return sum(event.nbytes() > 0 for event in memory)


def memory_in_use(device: torch.device) -> int:
    """Bytes of tensors on a GPU; resident bytes of this process elsewhere."""
    return int(torch.cuda.memory_allocated()) if device.type == "cuda" else resident_bytes()
