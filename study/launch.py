"""One Tuner for a run: starts Ray, gives out the jobs, ends it. `run_sweep` is the toolkit's Python entrance."""

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import study.ray_environment  # noqa: F401

import ray
from pyarrow import fs
from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback

from study.checkpoint_service import CheckpointService, checkpoint_service
from study.display import Display
from study.ending import Ending
from study.plan import Overrides, make_plan
from study.prepare import Options, PreparedRun, prepared_run
from study.recorder import Recorder
from study.search import JobSearcher, PruningScheduler
from study.storage import Storage
from study.sweeps import NamedSweep
from study.trial import run_trial

CONNECT_SECONDS = 5.0
UNBOUNDED = 10**9  # the searcher says when it is finished
SLOTS_SECONDS = 2.0  # how long a count of the cluster's slots is believed: new nodes are seen within this


def run_sweep(
    named: NamedSweep, scale: str = "quick", overrides: Overrides | None = None, options: Options | None = None
) -> Storage:
    """Run a sweep, or what is missing of it, and return where its results lie.

    Raises:
        ValueError: bad input, before any trial has started.
        KeyboardInterrupt: interrupted; what had finished is on disk.
    """
    options = options or Options()
    plan = make_plan(named, scale, overrides)
    display = Display(plan)
    with prepared_run(plan, options, display.say) as prepared:
        if not prepared.studies.finished:
            execute(prepared, options, display)
    return prepared.storage


def execute(prepared: PreparedRun, options: Options, display: Display) -> None:
    """Run the jobs that are missing, or as many as the time budget allows.

    Raises:
        ValueError: no node can hold a trial, or no cluster answers.
        OSError: what a trial left could not be stored.
        RuntimeError: the first trials all failed with one error, which it tells.
        KeyboardInterrupt: stopped before the end.
    """
    ending = Ending(options.time_budget_seconds, prepared.studies.trial_count)
    with ray_session(options.address):
        slots = Slots(options)
        slots.check_possible()
        kept = checkpoint_service(prepared.storage) if prepared.has_checkpoints else nullcontext()
        with stoppable(), display.live(prepared, slots.count), scratch(prepared.storage) as folder, kept as service:
            _tuner(prepared, options, slots, ending, display, folder, service).fit()
    if ending.storage_error is not None:
        raise ending.storage_error
    if ending.common_failure is not None:
        raise RuntimeError(f"stopped: the first trials all failed with {ending.common_failure}")
    if not prepared.studies.finished and not ending.time_is_up:
        raise KeyboardInterrupt


def _tuner(
    prepared: PreparedRun,
    options: Options,
    slots: "Slots",
    ending: Ending,
    display: Display,
    folder: str,
    service: CheckpointService | None,
) -> tune.Tuner:
    given: dict[str, Any] = {"data": {name: ray.put(arrays) for name, arrays in prepared.data.items()}}
    if service is not None:
        given["checkpoints"] = service
    recorder = Recorder(prepared, (display, ending), ending.break_off, display.say)
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, **given), slots.per_trial),
        tune_config=tune.TuneConfig(
            search_alg=JobSearcher(prepared.studies, slots.count, ending.is_due),
            scheduler=PruningScheduler(prepared.studies, recorder.pruned),
            num_samples=UNBOUNDED,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=folder,
            callbacks=[recorder, Silence()],
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            verbose=0,
        ),
    )


class Silence(TrialProgressCallback):
    """Stands where Ray would put its own printer, which speaks even with verbose=0."""

    def _print(self, msg: str) -> None:
        pass


class Slots:
    """How many trials the cluster has room for, as nodes come and go."""

    def __init__(self, options: Options) -> None:
        gpus = options.gpus_per_trial
        if gpus is None:
            gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in _nodes()) else 0.0
        self.per_trial = {"CPU": options.cpus_per_trial, "GPU": gpus}
        self._workers = options.workers
        self._counted_at, self._count = -SLOTS_SECONDS, 0

    def count(self) -> int:
        """Trials that fit all present nodes, at most `workers`."""
        if time.monotonic() - self._counted_at > SLOTS_SECONDS:
            self._counted_at, self._count = time.monotonic(), sum(map(self._on_node, _nodes()))
        return self._count if self._workers is None else min(self._count, self._workers)

    def check_possible(self) -> None:
        """ValueError when no node can hold a single trial."""
        nodes = _nodes()
        if not any(self._on_node(node) for node in nodes):
            largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
            raise ValueError(
                f"a trial asks for {self.per_trial['CPU']:g} CPUs and {self.per_trial['GPU']:g} GPUs, and the largest "
                f"node has {largest.get('CPU', 0):g} and {largest.get('GPU', 0):g}: "
                "lower --cpus-per-trial or --gpus-per-trial"
            )

    def _on_node(self, node: dict[str, float]) -> int:
        return min(int(node.get(kind, 0) // share) for kind, share in self.per_trial.items() if share)


def _nodes() -> list[dict[str, float]]:
    """The resources of each living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address` (or RAY_ADDRESS), or start one on this machine, quietly.

    A session that is there already (a test's, a notebook's) is used and left alone.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what went wrong is in the tables and on the display
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    local: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    own = {} if address else local
    _check_answers(address)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except ConnectionError as error:
        raise ValueError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str | None) -> None:
    """ValueError when nothing listens at a `host:port`: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return  # none, `auto`, or a URL, which Ray understands better
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no Ray cluster answers at {address}: {error}") from error


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM, a job server's way to stop, ends the run as Ctrl-C does. Set here, since ray.init() sets its own."""
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def scratch(storage: Storage) -> Iterator[str]:
    """A local folder for Ray's own files, removed at the end: nothing in it is ever read again."""
    local = isinstance(storage.filesystem, fs.LocalFileSystem)
    folder = Path(storage.root) if local else Path(tempfile.mkdtemp(prefix="study-"))
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder / "ray" if local else folder, ignore_errors=True)
