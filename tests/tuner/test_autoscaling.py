"""A run on a cluster that starts without a worker: a real autoscaler, whose nodes are all on this machine."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from drivers import PATIENCE_SECONDS, wait_until
from head_node import answers, free_ports
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)
from ray.autoscaler.v2.sdk import get_cluster_status

from study.records import read_table

TINY = ["depth_sweep", "--trials", "1", "--set", "depth=8", "--set", "recipe=he_l2", "--set", "epochs=1"]
TRIALS = 1 + 3
IDLE_MINUTES = 0.05  # until a node that nobody wants is ended
STORE_BYTES = 80_000_000  # little more than the least that Ray takes
LISTS = ["cluster_synced_files", "initialization_commands", "setup_commands"]
LISTS += [f"{kind}_{what}_commands" for kind in ("head", "worker") for what in ("setup", "start_ray")]

pytestmark = pytest.mark.slow


def configuration(gcs_port: int) -> dict[str, object]:
    """As `ray up` writes it, for Ray's own provider of pretended nodes: at most two of one CPU, and none to begin with.

    It is named by its module: by its name, Ray looks for a file of defaults that is no part of a release.
    """
    provider = {
        "type": "external",
        "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__qualname__}",
        "gcs_address": f"127.0.0.1:{gcs_port}",
        "head_node_id": FAKE_HEAD_NODE_ID,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    worker = {"resources": {"CPU": 1, "object_store_memory": STORE_BYTES}, "node_config": {}, "max_workers": 2}
    nothing: dict[str, object] = {name: [] for name in LISTS} | {
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
    }
    return nothing | {
        "cluster_name": "pretended",
        "max_workers": 2,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": provider,
        "available_node_types": {FAKE_HEAD_NODE_TYPE: head, "worker": worker},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
    }


@pytest.fixture
def address() -> Iterator[str]:
    """A head without CPUs and its autoscaler; at the end their processes, and no others, are ended, and none lives."""
    gcs, client, agent, agent_grpc = free_ports(4)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        Path(folder, "autoscaling.json").write_text(json.dumps(configuration(gcs)))
        command = [
            *(str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=0", f"--port={gcs}"),
            *("--include-dashboard=false", f"--ray-client-server-port={client}", f"--temp-dir={folder}"),
            *(f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"),
            *(f"--object-store-memory={STORE_BYTES}", f"--autoscaling-config={folder}/autoscaling.json"),
        ]
        with Path(folder, "start.log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: process.poll() is not None or (answers(gcs) and nodes(f"127.0.0.1:{gcs}") == 1))
            assert process.poll() is None, Path(folder, "start.log").read_text()
            yield f"127.0.0.1:{gcs}"
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """The head and its descendants: the autoscaler's nodes are its children, and workers have groups of their own."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for left in family:
        if left.is_running():
            left.kill()
    process.wait(timeout=20)
    assert psutil.wait_procs(family, timeout=20)[1] == []


def nodes(address: str) -> int:
    status = get_cluster_status(address)
    return len(status.active_nodes) + len(status.idle_nodes)


def asked(address: str) -> int:
    """For how many trials nodes are to be there."""
    demands = get_cluster_status(address).resource_demands.cluster_constraint_demand
    return sum(bundle.count for demand in demands for bundle in demand.bundles_by_count)


def test_a_run_brings_the_nodes_that_it_can_use_and_lets_them_go(elsewhere: Path, address: str) -> None:
    command = [sys.executable, "-m", "study.run", *TINY, "--run", "grown", "--address", address]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: asked(address) == 2 or run.poll() is not None)  # of four trials: more there cannot be
    said, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 0, said
    assert "1 nodes, 0 slots.\nIts autoscaler may add 2 x worker (1 CPU).\n" in said
    assert said.count("waiting for a node with 1 CPU: asked the autoscaler") == 1
    trials = read_table("grown", "trials")
    assert len(trials) == TRIALS
    assert trials.trial_id.is_unique
    assert set(trials.status) == {"ok"}
    assert asked(address) == 0
    wait_until(lambda: nodes(address) == 1)
