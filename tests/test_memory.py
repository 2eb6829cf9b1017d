"""Freed memory is kept for the next step, and given back after a trial. In its own process: it cannot be undone."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import psutil, torch
from study.memory import keep_freed_memory, release_freed_memory

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
