"""Where results come from: versions, commit, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("torch", "ray", "optuna", "pandas", "pyarrow", "numpy", "scikit-learn")
ROOT = Path(__file__).resolve().parents[2]
COMMIT_VARIABLE = "STUDY_COMMIT"  # tells a job whose code this is: only the code travels, not its git


def provenance() -> dict[str, str]:
    """Commit and versions, as strings, for the tables' metadata."""
    return {"commit": commit(), "python": platform.python_version()} | versions()


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide numbers."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}


def machine() -> dict[str, str | int]:
    """What the driver runs on."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    }


def commit() -> str:
    """The commit of this code, with `-dirty` behind it when files differ, or what a job was told; else `unknown`."""
    told = os.environ.get(COMMIT_VARIABLE)
    if told:
        return told
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return "unknown" if head is None else head + ("-dirty" if changes else "")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
