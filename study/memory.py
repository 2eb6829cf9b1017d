"""Peak memory of a trial: of the GPU where it ran on one, else of the process."""

import resource
from contextlib import suppress
from pathlib import Path

import torch

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # written to clear_refs, it sets the peak of this process back to its present size (man 5 proc)


def reset_peak_memory(device: str) -> None:
    """Forget earlier peaks: workers are used again for trial after trial."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):  # off Linux, or in a container that forbids it, the peak is the process' own
            CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory_bytes(device: str) -> int:
    """The peak since the last reset, in bytes. Off Linux, of the process since its start."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return kilobytes[0] * 1024 if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
