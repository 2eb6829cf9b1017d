"""Runs on clusters whose nodes come and go. The nodes are all on this machine."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from drivers import PATIENCE_SECONDS, held_up, is_training, wait_until
from ray._common.network_utils import node_ip_address_from_perspective
from ray.cluster_utils import Cluster

from study.config import TrialConfig
from study.datasets import load_dataset
from study.forecast import trial_bytes
from study.records import read_table
from study.training.memory import gpu_share

COMMAND = [
    *(sys.executable, "-m", "study.run", "depth_sweep", "--trials", "1", "--max-failures", "0"),
    *("--set", "depth=20,26", "--set", "recipe=he_l2", "--set", "epochs=6"),
]
TRIALS = 2 * (1 + 3)
# Beside the session that other tests share, Ray takes that session's loopback for this machine's address and listens
# there alone, where a driver does not look: so each node is told the address that a driver finds.
HERE = {"node_ip_address": node_ip_address_from_perspective()}
WAITING = "waiting for 1 CPU: 1 of 1 CPUs are in use by others\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray leaves sockets of its search for ports
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def cluster_with_head(num_cpus: int) -> Cluster:
    """A cluster of one node, where the drivers are."""
    return Cluster(initialize_head=True, head_node_args={"num_cpus": num_cpus, "include_dashboard": False, **HERE})


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = cluster_with_head(num_cpus=1)
    yield cluster
    cluster.shutdown()
    gc.collect()  # while the warnings above are ignored


def start(cluster: Cluster, run: str = "nodes", *more: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "--run", run, "--address", cluster.address, *more]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, process_group=0
    )


def finished(run: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = run.communicate(timeout=PATIENCE_SECONDS)
    return run.returncode, said


def rows() -> int:
    return len(read_table("nodes", "trials")) if Path("results/nodes/run.json").exists() else 0


def trains(node: object) -> bool:
    """Whether a trial runs on the node."""
    (raylet,) = node.all_processes["raylet"]
    return any(map(is_training, psutil.Process(raylet.process.pid).children()))


def test_nodes_come_and_go_and_the_run_ends_complete(elsewhere: Path, cluster: Cluster) -> None:
    """With --max-failures 0: a lost node is nobody's failure."""
    lost = cluster.add_node(num_cpus=1, **HERE)
    run = start(cluster)
    wait_until(lambda: trains(lost))
    joins = cluster.add_node(num_cpus=1, **HERE)
    wait_until(lambda: trains(joins))
    cluster.remove_node(lost, allow_graceful=False)
    code, said = finished(run)
    assert code == 0, said
    assert f"Joined the Ray cluster at {cluster.address}: 2 nodes, 2 slots." in said
    trials = read_table("nodes", "trials")
    assert len(trials) == TRIALS
    assert trials.trial_id.is_unique
    assert set(trials.status) == {"ok"}
    epochs = read_table("nodes", "epochs")
    assert epochs.groupby("trial_id").epoch.apply(list).map(tuple).to_dict() == dict.fromkeys(
        trials.trial_id, (1, 2, 3, 4, 5, 6)
    )


def test_a_lost_head_ends_the_driver_and_the_same_command_goes_on(elsewhere: Path, cluster: Cluster) -> None:
    run = start(cluster)
    wait_until(lambda: rows() >= 1)
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    code, said = finished(run)
    assert code == 1
    assert "error: the Ray cluster is gone: the node of this driver at" in said  # Ray, a minute later, has other words
    assert "the same command goes on" in said
    assert "Traceback" not in said
    before = rows()
    assert before >= 1
    assert not Path("results/nodes/ray").exists()
    again = cluster_with_head(num_cpus=2)
    try:
        code, said = finished(start(again))
    finally:
        again.shutdown()
    assert code == 0, said
    assert f"{before} of {TRIALS} trials are done" in said
    assert read_table("nodes", "trials").trial_id.is_unique
    assert rows() == TRIALS


BEFORE_THE_FIRST_TRIAL = """
import sys
from study import launch, run

def say_at_once(self):
    print("here", flush=True)
    sys.stdin.readline()
    self._tell()

launch.Waiting.say_at_once = say_at_once
sys.exit(run.main(sys.argv[1:]))
"""


def test_a_head_that_is_lost_before_the_first_trial_ends_the_driver_too(elsewhere: Path, cluster: Cluster) -> None:
    """Ray itself would let it wait for a minute, and leave its files."""
    words = [*COMMAND[3:], "--run", "nodes", "--address", cluster.address]
    run = held_up(*words, program=BEFORE_THE_FIRST_TRIAL, ready="here")
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    said, _ = run.communicate("\n", timeout=PATIENCE_SECONDS)
    assert run.returncode == 1
    assert "error: the Ray cluster is gone: the node of this driver at" in said
    assert not Path("results/nodes/ray").exists()


def test_a_driver_that_waits_for_others_says_so(elsewhere: Path, cluster: Cluster) -> None:
    """Two drivers and one slot: the second one names what it waits for, and runs when the first has ended."""
    first = start(cluster, "nodes", "--trials", "40")  # so many that it has work until it is told to end
    wait_until(lambda: trains(cluster.head_node))
    second = start(cluster, "second")
    assert WAITING in iter(second.stdout.readline, "")  # reads up to it
    first.terminate()
    assert finished(first)[0] == 130
    wait_until(lambda: Path("results/second/trials").exists())
    second.terminate()
    assert finished(second)[0] == 130


SLEEPING = """
import sys
from functools import partial
from search_spaces.sweep import Float, Scale, Sweep
from study import launch
from study.bench.trivial_trial import sleeping_trial
from study.tuner.gpu_memory import GpuMemory
from study.sweeps import NamedSweep

launch.execute = partial(launch.execute, trainable=sleeping_trial)
GpuMemory.smallest_bytes = lambda self: {card_bytes}
sweep = Sweep(
    compare={{"depth": {depths}}},
    search=lambda fields: {{"learning_rate": Float(0.01, 0.3, log=True)}},
    scales={{"quick": Scale(fixed={{"dataset": "digits", "batch_size": 128, "epochs": 1}})}},
    trials_per_cell={trials_per_cell},
    confirm_seeds=1,
)
launch.run_sweep(NamedSweep("nodes", "What runs beside what?", sweep), address=sys.argv[1])
"""
CARD_BYTES, DEPTHS = 3e9, (8, 302)


def sleep_together(
    cluster: Cluster, depths: tuple[int, ...], trials_per_cell: int, card_bytes: float | None = None
) -> list[list[int]]:
    """Carry out a run of trials that sleep; the depths of those that slept at the moments when one began."""
    program = SLEEPING.format(card_bytes=card_bytes, depths=depths, trials_per_cell=trials_per_cell)
    run = subprocess.run([sys.executable, "-c", program, cluster.address], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    trials = read_table("nodes-quick", "trials")
    assert len(trials) == len(depths) * (trials_per_cell + 1)
    return [
        trials[(trials.started_at <= moment) & (trials.finished_at > moment)].depth.tolist()
        for moment in trials.started_at
    ]


def test_trials_share_a_gpu_by_what_they_need(elsewhere: Path, cluster: Cluster) -> None:
    """A made-up GPU: at no time more of it is given out than there is, and shallow nets run beside one another."""
    data = load_dataset("digits")
    shares = {
        depth: gpu_share(
            trial_bytes(TrialConfig(dataset="digits", depth=depth, batch_size=128, epochs=1), data), CARD_BYTES
        )
        for depth in DEPTHS
    }
    assert shares[8] < shares[302]
    cluster.add_node(num_cpus=4, num_gpus=1, **HERE)
    at_once = sleep_together(cluster, DEPTHS, trials_per_cell=6, card_bytes=CARD_BYTES)
    assert max(sum(map(shares.__getitem__, depths)) for depths in at_once) <= 1
    assert max(map(len, at_once)) >= 2


def test_trials_shorter_than_a_workers_start_use_every_slot(elsewhere: Path, cluster: Cluster) -> None:
    """The first worker that is free must not take the place of those that are still starting."""
    cluster.add_node(num_cpus=3, **HERE)
    assert max(map(len, sleep_together(cluster, (8,), trials_per_cell=150))) == 4
