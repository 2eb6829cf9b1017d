"""One driver and more and more nodes: logical ones, all on this machine, with trials that sleep."""

import tempfile
from collections.abc import Iterator

from ray.cluster_utils import Cluster

from study.bench.machine import carry_out
from study.bench.rows import Row, Target
from study.bench.setting import Setting
from study.bench.trivial_trial import SLEEP_SECONDS, sleeping_trial
from study.plan import Overrides, Plan, make_plan
from study.prepare import Options
from study.ray_session import ray_session
from study.sweeps import load_sweep

NODES = (1, 2, 4)
SLOTS = 2  # of each node: every one is a process, and they share this machine's cores
TRIALS_PER_CELL = (5, 47)  # so that a run has 160 trials, or 1,000
NODE = {"num_cpus": SLOTS, "include_dashboard": False}
ENDS = Target(20.0, at_most=False)


def measure(setting: Setting) -> Iterator[Row]:
    """The same run on a cluster that grows."""
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        with tempfile.TemporaryDirectory() as folder, ray_session(cluster.address):
            for nodes in NODES:
                for _ in range(nodes - len(cluster.worker_nodes) - 1):
                    cluster.add_node(num_cpus=SLOTS)
                setting.say(f"{nodes} nodes")
                watch, _ = carry_out(_plan(setting, nodes), Options(storage=folder), sleeping_trial)
                yield _row(nodes, ends_a_second(watch.ended))
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _plan(setting: Setting, nodes: int) -> Plan:
    overrides = Overrides(trials_per_cell=setting.rounds(*TRIALS_PER_CELL), run=f"nodes-{nodes}")
    return make_plan(load_sweep("depth_sweep"), overrides=overrides)


def _row(nodes: int, rate: float) -> Row:
    most = nodes * SLOTS / SLEEP_SECONDS
    where = f"{nodes} node{'s' * (nodes > 1)} of {SLOTS} slots, trials of {SLEEP_SECONDS:g} s, at most {most:g}/s"
    return Row(f"{where}: trial ends", rate, "/s", ENDS if nodes == max(NODES) else None)


def ends_a_second(ended: list[float]) -> float:
    """Over the second half, when every worker is up."""
    late = ended[len(ended) // 2 :]
    return (len(late) - 1) / (late[-1] - late[0])
