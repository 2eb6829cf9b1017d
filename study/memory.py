"""Peak memory of a trial: of the GPU where it ran on one, else of the process."""

import resource
from pathlib import Path

import torch

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # written to clear_refs, it sets the peak of this process back to its present size (man 5 proc)


def reset_peak_memory(device: str) -> None:
    """Forget earlier peaks: workers are used again for trial after trial."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif CLEAR_REFS.exists():
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory_bytes(device: str) -> int:
    """The peak since the last reset, in bytes. Off Linux, of the process since its start."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
