"""What a run will take: seconds from a short probe of this machine's CPU, wall clock by simulation, memory by count.

The probe trains a few steps of the shallowest and the deepest net of each kind and takes seconds to be linear in depth.
Its readings are kept for each machine and torch version, so a second forecast costs nothing.
"""

import heapq
import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from study.config import TrialConfig
from study.datasets import AnyData
from study.planning.plan import Plan
from study.search.cells import CellStudies
from study.store.provenance import machine
from study.store.storage import Storage
from study.trainer import Training
from study.training.memory import keep_freed_memory
from study.training.network import build_network
from study.training.proxies import proxy_bytes, proxy_shape

KIND = (  # fields that decide what a step costs, depth apart
    *("dataset", "image_size", "augmentation", "architecture", "network_size", "width", "activation"),
    *("regularizer", "modulation", "optimizer", "batch_size", "precision"),
)
PROBE_SECONDS = 20.0  # of all probes together; kinds that it does not reach take the first kind's readings
WARM_STEPS, TIMED_STEPS = 2, 6
START_SECONDS = 10.0  # until the first trial trains: Ray, and torch in every worker
TRIAL_SECONDS = 0.5  # of a trial beside its epochs: building the net, the hand-over
EVALUATION_SHARE = 0.12  # of an epoch beside its steps: evaluation and diagnostics
BYTES = {"fp32": 4, "bf16": 2}
KEPT_ACTIVATIONS = 2  # a triple keeps the convolution's output and the activation's for its backward pass
WEIGHT_COPIES = 3  # weight, gradient, momentum
GPU_BYTES = 80e9  # of the card that the count of trials is given for

PLAIN_PARTS = {"activation": "relu", "activation_slope": 0.0, "initializer": "dirac", "regularizer": "none"}
"""Parts that change no size, in place of a user's own, which may not know tensors without content."""

Place = tuple[str, str]
"""A cell's name and a phase: whose trials take alike."""


@dataclass(frozen=True)
class Forecast:
    """Seconds an epoch and bytes of each cell, and the run's wall clock.

    Attributes:
        epoch_seconds: cell name to seconds of one epoch; of the longer one where search and confirmations differ.
        trial_bytes: cell name to peak memory of one trial's tensors; of the larger one where they differ.
        wall_seconds: of the whole run on `workers` workers.
    """

    epoch_seconds: dict[str, float]
    trial_bytes: dict[str, float]
    wall_seconds: float
    workers: int


def forecast(plan: Plan, data: dict[str, AnyData], workers: int, cache: Path | None = None) -> Forecast:
    """Probe what is not known yet, and simulate the run."""
    configs = {(cell.name, phase): config for cell in plan.cells for phase, config in cell.examples.items()}
    kept = None if plan.coded_parts else cache or cache_file()  # another sweep's part may have the name of this one's
    step_seconds = _step_seconds(configs, data, Readings(kept))
    epochs, trials, memory = {}, {}, {}
    for place, config in configs.items():
        images = len(data[config.dataset].train.labels)
        seconds = step_seconds[place] * (1.0 + EVALUATION_SHARE)
        epochs[place] = config.steps_per_epoch(images) * seconds
        trials[place] = TRIAL_SECONDS + config.total_steps(images) * seconds
        memory[place] = trial_bytes(config, data[config.dataset])
    return Forecast(
        epoch_seconds=_of_cells(epochs),
        trial_bytes=_of_cells(memory),
        wall_seconds=START_SECONDS + simulate(plan, trials, workers),
        workers=workers,
    )


def _step_seconds(
    configs: Mapping[Place, TrialConfig], data: dict[str, AnyData], known: "Readings"
) -> dict[Place, float]:
    """Seconds of a step of each, from the shallowest and the deepest net of its kind."""
    deadline = time.monotonic() + PROBE_SECONDS
    depths: dict[str, set[int]] = defaultdict(set)
    for config in configs.values():
        depths[kind_of(config)].add(config.depth)
    found = {}
    for place, config in configs.items():
        ends = sorted(depths[kind_of(config)])
        for depth in dict.fromkeys((ends[0], ends[-1])):
            if time.monotonic() < deadline or not known.any:
                known.take(config.model_copy(update={"depth": depth}), data[config.dataset])
        found[place] = known.step_seconds(config, data[config.dataset])
    return found


def _of_cells(values: Mapping[Place, float]) -> dict[str, float]:
    """The larger value of each cell's two phases."""
    largest: dict[str, float] = {}
    for (cell, _), value in values.items():
        largest[cell] = max(value, largest.get(cell, 0.0))
    return largest


def simulate(plan: Plan, trial_seconds: Mapping[Place, float], workers: int) -> float:
    """Seconds from the first trial's start to the last one's end, when no trial diverges."""
    studies, now = CellStudies(plan), 0.0
    running: list[tuple[float, str]] = []
    while not studies.finished:
        planned = studies.next_trial() if len(running) < workers else None
        if planned is not None:
            heapq.heappush(running, (now + trial_seconds.get((planned.cell, planned.phase), 0.0), planned.trial_id))
            continue
        now, trial_id = heapq.heappop(running)
        values: dict[str, Any] = dict.fromkeys(plan.objectives, 0.0)
        studies.tell(trial_id, {"status": "ok", "val_accuracy": 0.0, **values})
    return now


def kind_of(config: TrialConfig, data: AnyData | None = None) -> str:
    """What nets whose cost differs by depth alone share; of any run with `data`, else of one run."""
    shape = [] if data is None else [proxy_shape(data, config.proxy)]  # a set of the user's may have any
    return json.dumps([getattr(config, name) for name in KIND] + shape)


class Readings:
    """Measured seconds a step, kept in a file if there is one; those of a busy machine serve one forecast alone."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._all = {} if file is None else _kept(file)
        key = json.dumps({**machine(), "torch": torch.__version__})
        self._here = self._all.setdefault(key, {})

    @property
    def any(self) -> bool:
        """Whether there is a reading at all."""
        return bool(self._here)

    def take(self, config: TrialConfig, data: AnyData) -> None:
        """Measure this net, unless it is known."""
        of_kind = self._here.setdefault(kind_of(config, data), {})
        if str(config.depth) not in of_kind:
            of_kind[str(config.depth)] = probe(config, data)
            if self._file is None or busy():
                return
            with suppress(OSError, ValueError):  # a cache that cannot be kept costs a probe, never a run
                cache = Storage.at(self._file.parent)
                cache.write(self._file.name, json.dumps(self._all, indent=1).encode())

    def step_seconds(self, config: TrialConfig, data: AnyData) -> float:
        """Read a step's seconds off the line through this kind's readings, or any kind's where it has none."""
        of_kind = self._here.get(kind_of(config, data)) or next(iter(self._here.values()))
        points = sorted((int(depth), seconds) for depth, seconds in of_kind.items())
        depths, seconds = ([point[side] for point in points] for side in (0, 1))
        if len(points) == 1:
            return float(seconds[0] * config.depth / depths[0])
        slope, intercept = np.polyfit(depths, seconds, 1)
        return float(max(intercept + slope * config.depth, min(seconds) / 2))


def busy() -> bool:
    """Whether others hold this machine's CPUs: what is read then is true for now, and not worth keeping."""
    return os.getloadavg()[0] >= (os.cpu_count() or 1)


def _kept(file: Path) -> dict[str, dict[str, dict[str, float]]]:
    """What earlier probes have read; nothing where the file is missing or damaged."""
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}


def probe(config: TrialConfig, data: AnyData) -> float:
    """Median seconds of a training step, the making of its batch included, on one CPU thread."""
    torch.set_num_threads(1)
    keep_freed_memory()
    training = Training(config, data, torch.device("cpu"))
    times = [time.perf_counter()]
    for images, labels in islice(training.batches.training(config.batch_size), WARM_STEPS + TIMED_STEPS):
        training.step(images, labels, record=False)
        times.append(time.perf_counter())
        if times[-1] - times[0] > PROBE_SECONDS / 2:  # so slow that the first steps tell enough
            break
    seconds = np.diff(times)
    return float(np.median(seconds[WARM_STEPS:] if len(seconds) > WARM_STEPS else seconds))


def trial_bytes(config: TrialConfig, data: AnyData) -> float:
    """Peak bytes of a trial's tensors: kept activations of one batch, weights, and the data set."""
    image_shape = proxy_shape(data, config.proxy)
    with torch.device("meta"):
        network = build_network(config.model_copy(update=PLAIN_PARTS), image_shape[0], data.num_classes)
    sizes: list[int] = []

    def note(_module: object, _inputs: object, output: torch.Tensor) -> None:
        sizes.append(output.numel())

    handles = [conv.register_forward_hook(note) for conv in network.convs]
    network(torch.empty((config.batch_size, *image_shape), device="meta"))
    for handle in handles:
        handle.remove()
    weights = sum(parameter.numel() for parameter in network.parameters()) * BYTES["fp32"] * WEIGHT_COPIES
    return float(sum(sizes) * KEPT_ACTIVATIONS * BYTES[config.precision] + weights + proxy_bytes(data, config.proxy))


def cache_file() -> Path | None:
    """Where readings are kept: XDG_CACHE_HOME, or .cache in the home folder; None for a user without one."""
    try:
        folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(folder) / "plain-depth-study" / "step_seconds.json"
