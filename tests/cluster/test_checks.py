"""Every finding of the doctor: what is well says so, and each bad fact is told, at its level, with what to do."""

from dataclasses import replace

import pytest

from study.cluster.checks import CHECKS, ERROR, GIB, NOTE, OK, Finding, breaks_a_run, findings
from study.cluster.facts import Facts, Machine
from study.tuner.autoscaler import Autoscaler, NodeType

PACKAGES = {"ray": "2.60.0", "torch": "2.14.1", "numpy": "2.4.6"}
WELL = Machine(
    name="the driver",
    python="3.11.7",
    packages=PACKAGES,
    code="abc",
    cpus=4,
    gpus=1,
    memory_bytes=32 * GIB,
    object_store_bytes=8 * GIB,
    shm_bytes=16 * GIB,
    devices=1,
    torch_gpus=1,
    storage_seen=True,
)
NODE = replace(WELL, name="node b")
FACTS = Facts(
    driver=WELL,
    nodes=(replace(WELL, name="node a"), NODE),
    storage="s3://bucket/studies",
    dataset="cifar10",
    dataset_bytes=184_320_000,
    chosen_auth="disabled",
    sets_here=("digits",),
)

GROWS = Autoscaler([NodeType("gpu", {"CPU": 8, "GPU": 1}, 2), NodeType("cpu", {"CPU": 1}, 1)], most=2)


def with_node(**changes: object) -> Facts:
    """FACTS with one node that differs."""
    return replace(FACTS, nodes=(FACTS.nodes[0], replace(NODE, **changes)))


def with_both(**changes: object) -> Facts:
    """FACTS with all nodes different."""
    return replace(FACTS, nodes=tuple(replace(node, **changes) for node in FACTS.nodes))


BAD = [
    (replace(FACTS, silent=("node c",)), ERROR, "nodes", "node c does not answer"),
    (with_both(cpus=0), ERROR, "nodes", "no CPU"),
    (replace(FACTS, autoscaler=GROWS), NOTE, "growth", "may add 2 x gpu (8 CPUs, 1 GPU), 1 x cpu (1 CPU), 2 in all: a"),
    (replace(FACTS, autoscaler_error="cannot be read (403)"), NOTE, "growth", "cannot be read (403)"),
    (replace(with_both(gpus=0, devices=0, torch_gpus=0), autoscaler=GROWS), NOTE, "gpus", "none yet: trials wait"),
    (with_node(rays=2), NOTE, "nodes", "node b leads 2 Ray clusters: `auto`, and so a job, may join another"),
    (with_node(python="3.12.1"), ERROR, "versions", "node b has python 3.12.1, the driver 3.11.7"),
    (with_node(packages={**PACKAGES, "ray": "2.59.0"}), ERROR, "versions", "has ray 2.59.0, the driver 2.60.0"),
    (with_node(packages={**PACKAGES, "torch": "2.13.0"}), NOTE, "versions", "not quite comparable"),
    (with_node(packages={**PACKAGES, "torch": None}), ERROR, "versions", "node b has no torch: pip install"),
    (with_node(code=None), ERROR, "versions", "node b cannot import this project"),
    (with_node(code="def"), ERROR, "versions", "node b has other code"),
    (with_node(torch_gpus=0), ERROR, "gpus", "node b offers 1 GPUs, but torch sees 0"),
    (with_node(torch_gpus=0, torch_error="driver too old"), ERROR, "gpus", "offers 1 GPUs, but driver too old"),
    (with_node(devices=4), NOTE, "gpus", "node b has 4 GPUs and offers 1: see ray start --num-gpus"),
    (with_both(gpus=0, devices=0, torch_gpus=0), NOTE, "gpus", "none: trials run on CPUs"),
    (with_node(memory_bytes=2 * GIB, object_store_bytes=GIB // 2), NOTE, "memory", "2.0 GiB for 4 CPUs: --workers 2"),
    (with_node(shm_bytes=64 * 2**20), NOTE, "shm", "In Docker: --shm-size"),
    (with_node(object_store_bytes=GIB // 16), NOTE, "shm", "ray start --object-store-memory"),
    (replace(FACTS, storage=None), NOTE, "storage", "--storage"),
    (replace(FACTS, storage_error="Access Denied"), ERROR, "storage", "Access Denied: choose another --storage"),
    (with_node(storage_seen=False), NOTE, "storage", "node b does not share s3://bucket/studies: no matter"),
    (with_node(storage_seen=False, storage_error="no key"), NOTE, "storage", "s3://bucket/studies (no key): no matter"),
    (replace(FACTS, dataset_error="not in /data: run fetch"), ERROR, "data", "run fetch"),
    (replace(with_node(dataset_problem="put it there"), streamed=True), ERROR, "data", "on node b, where images"),
    (with_node(auth_mode="token"), ERROR, "auth", "node b runs with RAY_AUTH_MODE=token, the driver with disabled"),
    (replace(FACTS, driver=replace(WELL, auth_mode="token"), nodes=()), NOTE, "auth", "ray get-auth-token --generate"),
    (replace(FACTS, chosen_auth=None, has_token=True), NOTE, "auth", "a token lies here"),
    (FACTS, NOTE, "auth", "runs code as you"),
    (with_node(clock_seconds=-7.0), NOTE, "clocks", "node b is -7.0 s off"),
    (with_node(clock_seconds=1000.0), ERROR, "clocks", "+1000.0 s off"),
    (replace(with_node(clock_seconds=1000.0), storage="/data"), NOTE, "clocks", "chrony"),
]


@pytest.mark.parametrize(("facts", "level", "subject", "text"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_fact_is_told_with_what_to_do(facts: Facts, level: str, subject: str, text: str) -> None:
    found = [finding for finding in findings(facts) if text in finding.text]
    assert [(finding.level, finding.subject) for finding in found] == [(level, subject)]


@pytest.mark.parametrize(("facts", "level", "subject", "text"), BAD, ids=lambda value: str(value)[:40])
def test_only_what_breaks_a_run_is_an_error(facts: Facts, level: str, subject: str, text: str) -> None:
    assert breaks_a_run(findings(facts)) == (level == ERROR)


@pytest.mark.parametrize("facts", [FACTS, replace(FACTS, nodes=()), replace(FACTS, storage="/shared")], ids=str)
def test_every_check_says_something_of_a_sound_cluster_and_of_a_sound_machine(facts: Facts) -> None:
    for check in CHECKS:
        levels = [finding.level for finding in check(facts)]
        assert set(levels) <= {OK, NOTE}
        assert levels or not facts.nodes  # clocks: a machine alone has but one


def test_a_head_without_cpus_is_sound_where_nodes_are_added() -> None:
    found = findings(replace(with_both(cpus=0), autoscaler=GROWS))
    assert not breaks_a_run(found)
    assert Finding(OK, "nodes", "2 in the cluster: 0 CPUs, 2 GPUs") in found


def test_a_small_machine_without_a_data_set_in_mind_is_sound() -> None:
    alone = replace(WELL, gpus=0, devices=0, torch_gpus=0, object_store_bytes=None, shm_bytes=None)
    found = findings(Facts(driver=alone, sets_here=("digits", "svhn")))
    assert not breaks_a_run(found)
    assert any("here: digits, svhn" in finding.text for finding in found)


def test_a_set_that_is_shipped_need_not_lie_on_the_nodes() -> None:
    found = findings(with_node(dataset_problem="put it there"))
    assert Finding(OK, "data", "cifar10: the driver has it, and ships it to the nodes, 176 MiB") in found


def test_a_line_has_level_subject_and_text() -> None:
    assert str(Finding(NOTE, "gpus", "none")) == "note   gpus      none"
