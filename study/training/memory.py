"""Memory of a trial: its peak, its share of a GPU, and what freed memory is kept. Imports torch for a GPU alone."""

import ctypes
import re
import resource
from contextlib import suppress
from pathlib import Path

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PROCESS_BYTES = 600e6  # of a worker beside its tensors: libraries on a CPU, the CUDA context on a GPU
HEADROOM = 1.25  # of a share over a trial's tensors: gaps between the allocator's blocks, cuDNN's workspaces
SMALLEST_SHARE = 1 / 16  # the last halving that Ray's four decimals hold exactly; so many processes fill a GPU's time
RESET_PEAK = "5"  # written to clear_refs, it sets the peak of this process back to its present size (man 5 proc)

KEPT_BYTES = {-3: 32 * 2**20, -1: 2**31 - 1}  # mallopt's M_MMAP_THRESHOLD, at its largest, and M_TRIM_THRESHOLD

# What torch, CUDA's libraries, the system and Ray say, each in its own words and mostly without a type of error.
NO_MEMORY = re.compile(
    r"OutOfMemory|out of memory|not enough memory|(can't|cannot) allocate memory|low on memory|ALLOC_FAILED",
    re.IGNORECASE,
)


def line_on_memory(text: str) -> str | None:
    """The first line of an error that says that memory ran out; None where none does."""
    return next((line.strip() for line in text.splitlines() if NO_MEMORY.search(line)), None)


def keep_freed_memory() -> None:
    """Keep what a step frees for the next step, in place of giving it back to the system and asking again.

    A step's tensors are the same sizes each time, and each new page costs a fault: keeping them takes 4 to 10 % off a
    bfloat16 step at 32x32 on a CPU. Has no effect on C libraries other than glibc.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        for parameter, value in KEPT_BYTES.items():
            library.mallopt(parameter, value)


def release_freed_memory() -> None:
    """Give back to the system what a finished trial's tensors left."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def reset_peak_memory(device: str) -> None:
    """Forget earlier peaks: workers are used again for trial after trial."""
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):  # off Linux, or in a container that forbids it, the peak is the process' own
            CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory_bytes(device: str) -> int:
    """The peak since the last reset, in bytes. Off Linux, of the process since its start."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return kilobytes[0] * 1024 if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def gpu_share(tensor_bytes: float, card_bytes: float) -> float:
    """The share of a GPU that a trial needs: 1, 1/2, 1/4, 1/8 or 1/16.

    Halvings, so that different shares fill a card without gaps, and a worker of one share serves many trials.

    Args:
        tensor_bytes: the forecast's peak of the trial's tensors.
        card_bytes: memory of the GPU. A trial that needs more than all of it gets all of it.
    """
    share, needed = 1.0, tensor_bytes * HEADROOM + PROCESS_BYTES
    while share > SMALLEST_SHARE and share / 2 * card_bytes >= needed:
        share /= 2
    return share


def cap_memory(share: float) -> None:
    """Hold this process to its share of its GPU, CUDA's context included, so that no trial starves another.

    What goes beyond it is torch.OutOfMemoryError of this trial. Of a share too small for a context, half is left.
    """
    if share < 1:
        import torch

        context = PROCESS_BYTES / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(max(share - context, share / 2))
