"""Workers that Ray kills for a node's memory: real kills, by a threshold that is far too low."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.records import read_table

COMMAND = [
    *(sys.executable, "-m", "study.run", "depth_sweep", "--run", "low", "--trials", "1", "--max-failures", "0"),
    *("--set", "depth=8", "--set", "recipe=he_l2", "--set", "epochs=2000"),
]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]


@pytest.mark.parametrize("refresh_ms", [50, 20_000], ids=["at the worker's start", "in mid-training"])
def test_a_worker_that_ray_kills_for_memory_is_out_of_memory(refresh_ms: int) -> None:
    low = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": str(refresh_ms)}
    run = subprocess.run(COMMAND, env={**os.environ, **low}, capture_output=True, text=True, timeout=600, check=False)
    assert "Traceback" not in run.stdout + run.stderr
    trials = read_table("low", "trials") if Path("results/low").exists() else run
    assert set(trials.status) == {"out_of_memory"}
    assert trials.error.str.contains("memory").all()
