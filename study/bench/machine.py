"""What the machine around the trials costs, measured by trials that train nothing.

One run stands beside plain Ray Tune and plain Optuna. Another has one driver and more and more nodes: logical ones, all
on this machine, with trials that sleep.
"""

import itertools
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import study.tuner.ray_environment  # noqa: F401

import optuna
import psutil
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console

from study.bench.measurement import Row, Setting, Target
from study.bench.trivial_trial import SLEEP_SECONDS, sleeping_trial, trivial_accuracy, trivial_trial
from study.launch import Silence, execute
from study.options import Options
from study.planning.plan import Overrides, Plan, make_plan
from study.prepare import prepared_run
from study.records import read_table
from study.store.provenance import ROOT
from study.store.schemas import SCHEMAS
from study.store.storage import RESULTS
from study.sweeps import load_sweep
from study.tuner.display import Display
from study.tuner.session import ray_session

WORKERS = 2
SWEEP = "depth_sweep"  # 24 cells, 3 confirmations each
TRIALS_PER_CELL = (7, 47)  # so that the run has 240 trials, or 1,200
TUNE_TRIALS, OPTUNA_TRIALS = (20, 100), (200, 1_000)
HUNDRED = 100
SETTLED = 20  # trials until every worker and library is up; memory is counted from there
TRIAL_SECONDS, SLOWER, GROWN_MIB, READ_SECONDS = Target(0.15), Target(1.5), Target(50.0), Target(1.0)
BUSY = Target(0.9, at_most=False)
LOW, HIGH = 0.003, 0.3  # of the learning rate of the rivals' search
COMMITTED_RUN = ROOT / RESULTS / "reference" / f"{SWEEP}-quick"

NODES = (1, 2, 4)
SLOTS = 2  # of each node: every one is a process, and they share this machine's cores
TRIALS_PER_CELL_AND_NODE = (4, 12)  # so that a run of 24 cells goes on for ten seconds or more
NODE = {"num_cpus": SLOTS, "include_dashboard": False}
ENDS, WORK_MS = Target(20.0, at_most=False), Target(50.0)  # the second is the first where the driver has a core


class Watch(Display):
    """A display nobody sees, which notes when each trial ended, and the driver's size and processor time then."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, Console(quiet=True, force_terminal=False))
        self.ended: list[float] = []
        self.resident: list[int] = []
        self.worked: list[float] = []

    def trial_finished(self, row: Mapping[str, Any]) -> None:
        """Note that a trial has finished."""
        super().trial_finished(row)
        self.ended.append(time.monotonic())
        self.resident.append(psutil.Process().memory_info().rss)
        self.worked.append(time.process_time())


def measure(setting: Setting) -> Iterator[Row]:
    """The study's own machine, its rivals, and how busy the workers of the committed run were."""
    with tempfile.TemporaryDirectory() as folder, ray_session(address=None):
        plan = trivial_plan(setting.rounds(*TRIALS_PER_CELL))
        setting.say(f"{plan.trial_count} trivial trials on {WORKERS} workers")
        yield from measure_run(plan, folder)
        trials = setting.rounds(*TUNE_TRIALS)
        setting.say(f"plain Ray Tune, {trials} trials")
        yield Row(
            f"plain Ray Tune with OptunaSearch, {trials} trials: wall clock a trial",
            plain_tune_seconds(trials, WORKERS, folder) / trials,
            "s",
        )
    trials = setting.rounds(*OPTUNA_TRIALS)
    setting.say(f"plain Optuna, {trials} trials")
    yield Row(
        f"plain Optuna in one process, {trials} trials: wall clock a trial", plain_optuna_seconds(trials) / trials, "s"
    )
    if COMMITTED_RUN.exists():
        yield busy_workers(COMMITTED_RUN)


def trivial_plan(trials_per_cell: int) -> Plan:
    """The cells and searches of the main sweep."""
    return make_plan(load_sweep(SWEEP), overrides=Overrides(trials_per_cell=trials_per_cell, run="trivial"))


def measure_run(plan: Plan, folder: str) -> Iterator[Row]:
    """Carry the plan out with trivial trials; needs a Ray session."""
    started = time.monotonic()
    watch, begun = carry_out(plan, Options(storage=folder, workers=WORKERS), trivial_trial)
    where = f"{len(watch.ended)} trivial trials"
    yield Row(f"{where}: preparation before the first", begun - started, "s")
    yield Row(f"{where}: wall clock a trial", (watch.ended[-1] - begun) / len(watch.ended), "s", TRIAL_SECONDS)
    yield Row(f"{where}: typical pause at the end / at the start", slowing(watch.ended), "x", SLOWER)
    grown = watch.resident[-1] - watch.resident[min(SETTLED, len(watch.resident) - 1)]
    yield Row(f"{where}: driver memory grown", grown / 2**20, "MiB", GROWN_MIB)
    yield Row(f"{where}: reading the tables", _reading_seconds(f"{folder}/{plan.run}"), "s", READ_SECONDS)


def carry_out(plan: Plan, options: Options, trial: Callable[..., None]) -> tuple[Watch, float]:
    """Run the plan with `trial` in place of training; what was seen of it, and when it began."""
    watch = Watch(plan)
    with prepared_run(plan, options, watch.say) as prepared:
        begun = time.monotonic()
        execute(prepared, options, watch, trial)
    return watch, begun


def slowing(ended: list[float]) -> float:
    """The median pause between trials' ends among the last hundred over that among the first, each at most half."""
    pauses = [later - earlier for earlier, later in itertools.pairwise(ended)]
    count = min(HUNDRED, len(pauses) // 2)
    return statistics.median(pauses[-count:]) / statistics.median(pauses[:count])


def _reading_seconds(run: str) -> float:
    started = time.perf_counter()
    for name in SCHEMAS:
        read_table(run, name)
    return time.perf_counter() - started


def busy_workers(run: Path) -> Row:
    """Share of the time between the first trial's start and the last one's end that workers spent training."""
    trials = read_table(run, "trials")
    span = (trials["finished_at"].max() - trials["started_at"].min()).total_seconds()
    starts, ends = trials["started_at"].to_numpy(), trials["finished_at"].to_numpy()
    at_once = max(int(((starts <= moment) & (ends > moment)).sum()) for moment in starts)
    share = float(trials["train_seconds"].sum()) / (at_once * span)
    return Row(f"{run.name} as committed, {at_once} trials at a time: time that workers trained", share, target=BUSY)


def plain_tune_seconds(trials: int, workers: int, folder: str) -> float:
    """Wall clock of Ray Tune with default settings, `workers` trials at a time; needs a Ray session."""

    def trial(config: dict[str, Any]) -> None:  # in here, so that workers import nothing of this module for it
        for _ in range(2):  # reports, as many as the study's trivial trial makes
            tune.report({"val_accuracy": trivial_accuracy(config["learning_rate"])})

    tuner = tune.Tuner(
        trial,
        param_space={"learning_rate": tune.loguniform(LOW, HIGH)},
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(),
            metric="val_accuracy",
            mode="max",
            num_samples=trials,
            max_concurrent_trials=workers,
        ),
        run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0, callbacks=[Silence()]),
    )
    started = time.monotonic()
    tuner.fit()
    return time.monotonic() - started


def plain_optuna_seconds(trials: int) -> float:
    """Wall clock of Optuna with default settings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    started = time.monotonic()
    study.optimize(lambda trial: trivial_accuracy(trial.suggest_float("learning_rate", LOW, HIGH, log=True)), trials)
    return time.monotonic() - started


def measure_scaling(setting: Setting) -> Iterator[Row]:
    """The same run of sleeping trials on a cluster that grows."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        with tempfile.TemporaryDirectory() as folder, ray_session(cluster.address):
            for nodes in NODES:
                for _ in range(nodes - len(cluster.worker_nodes) - 1):
                    cluster.add_node(num_cpus=SLOTS)
                setting.say(f"{nodes} nodes")
                watch, _ = carry_out(_scaling_plan(setting, nodes), Options(storage=folder), sleeping_trial)
                yield from scaling_rows(nodes, watch)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _scaling_plan(setting: Setting, nodes: int) -> Plan:
    overrides = Overrides(trials_per_cell=nodes * setting.rounds(*TRIALS_PER_CELL_AND_NODE), run=f"nodes-{nodes}")
    return make_plan(load_sweep(SWEEP), overrides=overrides)


def scaling_rows(nodes: int, watch: Watch) -> Iterator[Row]:
    """Trial ends a second and the driver's work for each, of a run on so many nodes."""
    most, last = nodes * SLOTS / SLEEP_SECONDS, nodes == max(NODES)
    where = f"{nodes} node{'s' * (nodes > 1)} of {SLOTS} slots, trials of {SLEEP_SECONDS:g} s"
    yield Row(f"{where}: trial ends, of {most:g} at most", 1 / mean_step(watch.ended), "/s", ENDS if last else None)
    work = 1e3 * mean_step(watch.worked)
    yield Row(f"{where}: driver's processor time a trial end", work, "ms", WORK_MS if last else None)


def mean_step(readings: list[float]) -> float:
    """From one trial's end to the next, over the second half, when every worker is up."""
    late = readings[len(readings) // 2 :]
    return (late[-1] - late[0]) / (len(late) - 1)
