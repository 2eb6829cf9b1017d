"""Drivers in processes of their own, as a user starts them, and waiting for what they do."""

import subprocess
import sys
import time
from collections.abc import Callable

import psutil

PATIENCE_SECONDS = 300.0  # much more than a busy machine needs: what hangs does so for good
LOOK_SECONDS = 0.1

# A driver's start takes seconds, and not always as many: so it waits where all is imported.
HELD_UP = """
import sys
import study.launch, study.report.page, study.report.summary, study.datasets.baseline, study.planning.names
from study import run
print("ready", flush=True)
sys.stdin.readline()
sys.exit(run.main(sys.argv[1:]))
"""


def held_up(*words: str, program: str = HELD_UP, ready: str = "ready") -> subprocess.Popen[str]:
    """A driver with these words of its command line, which has said that it is ready and waits for `release`."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    driver = subprocess.Popen([sys.executable, "-c", program, *words], text=True, process_group=0, **pipes)
    assert f"{ready}\n" in iter(driver.stdout.readline, "")
    return driver


def release(driver: subprocess.Popen[str]) -> None:
    """Let a driver that is held up go on."""
    driver.stdin.write("\n")
    driver.stdin.flush()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def is_training(process: psutil.Process) -> bool:
    """A Ray worker that holds a trial: Ray names its process after the actor."""
    try:
        return "ImplicitFunc" in " ".join(process.cmdline())
    except psutil.Error:
        return False
