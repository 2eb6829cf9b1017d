"""What one machine knows of itself.

It travels to every node by value and must work where this project is missing: on top, it imports the standard library
alone.
"""

import hashlib
import importlib.metadata
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "numpy", "pandas", "pyarrow", "optuna")
CODE = ("models", "search_spaces", "study")
SHM = Path("/dev/shm")  # noqa: S108  (where Ray's object store lies, not a temporary file of ours)
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
TORCH_SECONDS = 120.0  # the first import of torch from a network disk takes a minute
TORCH_GPUS = (
    "import torch; print(sum(torch.zeros(1, device=f'cuda:{i}').numel() for i in range(torch.cuda.device_count())))"
)


def facts(storage: str | None, mark: str | None, dataset: str | None, data_dir: str | None) -> dict[str, Any]:
    """All that `study.cluster.checks` asks of a machine, as plain values.

    Args:
        storage: Where runs are to lie.
        mark: The name of the folder that the driver has made there.
        dataset: The data set that is asked for.
        data_dir: Where data sets lie.
    """
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "code": _code(),
        "cpus": os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(),
        "shm_bytes": shutil.disk_usage(SHM).total if SHM.exists() else None,
        "devices": _devices(),
        "rays": _rays(),
        "auth_mode": os.environ.get("RAY_AUTH_MODE", "unset"),
        **_torch_gpus(),
        **_storage(storage, mark),
        "dataset_problem": _dataset_problem(dataset, data_dir),
    }


class Probe:
    """Actor on each node that collects the node's facts."""

    def facts(self, *asked: str | None) -> dict[str, Any]:
        """See `facts`; and where the node has no code of ours, that."""
        return facts(*asked)

    def clock(self) -> float:
        """Seconds since the epoch, by this machine's clock."""
        return time.time()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _code() -> str | None:
    """A digest of our code as this machine imports it; None where it cannot."""
    try:
        import study
    except ImportError:
        return None
    root = Path(study.__file__).parent.parent
    digest = hashlib.sha256()
    for file in sorted(path for package in CODE for path in (root / package).rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _memory_bytes() -> int:
    """Memory of the machine, or of the container where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = MEMORY_LIMIT.read_text().strip() if MEMORY_LIMIT.exists() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def _devices() -> int:
    """NVIDIA GPUs that the kernel knows."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _rays() -> int:
    """Ray clusters that are led from this machine: each has one process of that name."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # processes come and go
            count += path.read_bytes().split(b"\0")[0].endswith(b"/gcs_server")
    return count


def _torch_gpus() -> dict[str, Any]:
    """GPUs on which torch can put a number, and why it cannot. In a process of its own, which sees all of them."""
    if not _devices():
        return {"torch_gpus": 0, "torch_error": None}
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        asked = subprocess.run(  # noqa: S603
            [sys.executable, "-c", TORCH_GPUS],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TORCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"torch_gpus": 0, "torch_error": f"torch does not answer within {TORCH_SECONDS:.0f} s"}
    if asked.returncode:
        return {"torch_gpus": 0, "torch_error": (asked.stderr.strip().splitlines() or ["unknown error"])[-1]}
    return {"torch_gpus": int(asked.stdout), "torch_error": None}


def _storage(location: str | None, mark: str | None) -> dict[str, Any]:
    """Whether the driver's mark is seen here, and what a write says. Where it is not seen, nothing is written."""
    nothing = {"storage_seen": False, "storage_error": None}
    if location is None or mark is None:
        return nothing
    try:
        from study.store.storage import Storage

        storage = Storage.at(location)
        if not storage.exists(mark):
            return nothing
        storage.write_now(f"{mark}/{secrets.token_hex(8)}", b"")
    except (ImportError, OSError, ValueError) as error:
        return {"storage_seen": False, "storage_error": f"{type(error).__name__}: {error}"}
    return {"storage_seen": True, "storage_error": None}


def _dataset_problem(dataset: str | None, data_dir: str | None) -> str | None:
    """How the data set would come here, or None where it is here or none is asked for."""
    if dataset is None:
        return None
    try:
        from study.datasets import missing_message

        return missing_message(dataset, Path(data_dir) if data_dir else None)
    except ImportError as error:
        return str(error)
