"""Shares of a GPU, for which none is needed; and freed memory, in a process of its own: keeping it cannot be undone."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from study.training.memory import HEADROOM, PROCESS_BYTES, SMALLEST_SHARE, cap_memory, gpu_share, line_on_memory
from study.tuner.recorder import verdict
from study.tuner.trainable import device_of

CARD = 80e9

SCRIPT = """
import psutil, torch
from study.training.memory import keep_freed_memory, release_freed_memory

def resident_mb():
    return psutil.Process().memory_info().rss / 2**20

keep_freed_memory()
before = resident_mb()
tensors = [torch.ones(2**20) for _ in range(100)]  # of 4 MiB each
del tensors
kept = resident_mb() - before
release_freed_memory()
print(kept, resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have their own ways")
def test_freed_memory_is_kept_until_it_is_released() -> None:
    printed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True).stdout
    kept, left = map(float, printed.split())
    assert kept > 300
    assert left < 50


def test_a_share_holds_what_the_trial_needs_and_half_of_it_would_not() -> None:
    for tensor_bytes in (0.0, 1e9, 3e9, 5e9, 20e9, 40e9, 70e9):
        share = gpu_share(tensor_bytes, CARD)
        needed = tensor_bytes * HEADROOM + PROCESS_BYTES
        assert share == 1.0 or share * CARD >= needed
        assert share == SMALLEST_SHARE or share / 2 * CARD < needed


def test_shares_are_halvings_that_ray_holds_exactly() -> None:
    shares = {gpu_share(tensor_bytes * 1e9, CARD) for tensor_bytes in range(90)}
    assert shares == {1.0, 0.5, 0.25, 0.125, 0.0625}
    assert all(round(share, 4) == share for share in shares)


@pytest.mark.parametrize(("share", "fraction"), [(0.5, 0.5 - PROCESS_BYTES / CARD), (0.001, 0.0005)])
def test_a_process_is_held_to_its_share(share: float, fraction: float, monkeypatch: pytest.MonkeyPatch) -> None:
    capped = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(total_memory=CARD))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", capped.append)
    cap_memory(share)
    assert capped == [pytest.approx(fraction)]
    cap_memory(1.0)
    assert len(capped) == 1


def test_the_device_is_what_ray_gave_and_not_what_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of({"CPU": 1.0}) == ("cpu", 0.0)
    assert device_of({"CPU": 1.0, "GPU": 0.0}) == ("cpu", 0.0)
    assert device_of({"CPU": 1.0, "GPU": 0.25}) == ("cuda", 0.25)


KILLED = "1 worker(s) were killed due to the node running low on memory."
WORDS = [
    KILLED,
    "Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: Task was killed due to the node running low on memory.",
    "ray.exceptions.OutOfMemoryError: Task was killed",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "RuntimeError: [enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to",
    "RuntimeError: [enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: not enough memory: you tried to allocate",
    "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "OSError: [Errno 12] Cannot allocate memory",
]


@pytest.mark.parametrize("words", WORDS)
def test_memory_that_ran_out_is_told_apart_and_named(words: str) -> None:
    """Ray's advice after it is longer than what is kept of a traceback."""
    text = f"Traceback:\n  somewhere\n{words}\n" + "See the log, or set RAY_memory_monitor_refresh_ms.\n" * 40
    assert verdict(text) == ("out_of_memory", words)


OTHER_WORDS = [
    "ActorDiedError: End of file. Some common causes include: (1) the process was killed by the OOM killer due to high "
    "memory usage, (2) ray stop --force was called, (3) the worker crashed unexpectedly",  # whoever killed it
    "ValueError: /data/memory/cat.jpg is damaged",
]


@pytest.mark.parametrize("words", OTHER_WORDS)
def test_what_fails_otherwise_is_failed_with_the_end_of_its_traceback(words: str) -> None:
    assert line_on_memory(words) is None
    assert verdict("\n".join(map(str, range(40))) + f"\n{words}\n") == (
        "failed",
        "\n".join([*map(str, range(21, 40)), words]),
    )
