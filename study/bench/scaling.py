"""One driver and more and more nodes: logical ones, all on this machine, with trials that sleep."""

import logging
import tempfile
from collections.abc import Iterator

from ray.cluster_utils import Cluster

from study.bench.machine import Watch, carry_out
from study.bench.rows import Row, Target
from study.bench.setting import Setting
from study.bench.trivial_trial import SLEEP_SECONDS, sleeping_trial
from study.planning.plan import Overrides, Plan, make_plan
from study.prepare import Options
from study.sweeps import load_sweep
from study.tuner.session import ray_session

NODES = (1, 2, 4)
SLOTS = 2  # of each node: every one is a process, and they share this machine's cores
TRIALS_PER_CELL = (4, 12)  # times the nodes: so that a run of 20 cells goes on for ten seconds or more
NODE = {"num_cpus": SLOTS, "include_dashboard": False}
ENDS, WORK_MS = Target(20.0, at_most=False), Target(50.0)  # the second is the first where the driver has a core


def measure(setting: Setting) -> Iterator[Row]:
    """The same run on a cluster that grows."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        with tempfile.TemporaryDirectory() as folder, ray_session(cluster.address):
            for nodes in NODES:
                for _ in range(nodes - len(cluster.worker_nodes) - 1):
                    cluster.add_node(num_cpus=SLOTS)
                setting.say(f"{nodes} nodes")
                watch, _ = carry_out(_plan(setting, nodes), Options(storage=folder), sleeping_trial)
                yield from _rows(nodes, watch)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _plan(setting: Setting, nodes: int) -> Plan:
    overrides = Overrides(trials_per_cell=nodes * setting.rounds(*TRIALS_PER_CELL), run=f"nodes-{nodes}")
    return make_plan(load_sweep("depth_sweep"), overrides=overrides)


def _rows(nodes: int, watch: Watch) -> Iterator[Row]:
    most, last = nodes * SLOTS / SLEEP_SECONDS, nodes == max(NODES)
    where = f"{nodes} node{'s' * (nodes > 1)} of {SLOTS} slots, trials of {SLEEP_SECONDS:g} s"
    yield Row(f"{where}: trial ends, of {most:g} at most", 1 / mean_step(watch.ended), "/s", ENDS if last else None)
    work = 1e3 * mean_step(watch.worked)
    yield Row(f"{where}: driver's processor time a trial end", work, "ms", WORK_MS if last else None)


def mean_step(readings: list[float]) -> float:
    """From one trial's end to the next, over the second half, when every worker is up."""
    late = readings[len(readings) // 2 :]
    return (late[-1] - late[0]) / (len(late) - 1)
