"""Ask every machine of a cluster, or this one, for the facts that decide whether a run would work; print findings."""

import dataclasses
import os
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study.tuner.ray_environment import CHOSEN_AUTH_MODE, auth_mode

from study.cluster import probe
from study.cluster.checks import breaks_a_run, findings
from study.cluster.facts import Facts, Machine, Question
from study.datasets import DATASETS, find_dataset, load_dataset
from study.store.locations import redacted_uri
from study.store.storage import TEMPORARY_PREFIX, Storage

FOUND_ERRORS = 1
ANSWER_SECONDS = 180.0  # of a node: it may have to import torch from a network disk first
CLOCK_ROUNDS = 3


def examine(address: str | None, question: Question) -> int:
    """Print what would break a run at `address`, or without one here; 1 when something would, else 0.

    Raises:
        ValueError: no cluster answers there, or the question names what does not exist.
    """
    found = findings(gather(address, question))
    for finding in found:
        print(finding)
    return FOUND_ERRORS if breaks_a_run(found) else 0


def examine_as_job(head: str, question: Question) -> int:
    """The same, asked on the head, where a submitted run would be led from.

    Raises:
        ValueError: no job server answers, or a place that makes no sense in a job.
    """
    from study.cluster.follow import Follower
    from study.cluster.jobs import JobServer
    from study.cluster.submission import Job, check_data_dir, job_storage

    check_data_dir(question.data_dir)
    if question.storage is not None:
        question = dataclasses.replace(question, storage=job_storage(question.storage))
    command = ("python", "-m", "study.cluster", "doctor", "--address", "auto", *question.options)
    server = JobServer.at(head)
    return Follower(server, server.submit(Job(command, metadata={"run": "doctor"}))).follow()


def gather(address: str | None, question: Question) -> Facts:
    """Ask. Without an address Ray is not started."""
    with _marked(question.storage) as (mark, storage_error):
        asked = (question.storage, mark, question.dataset, str(question.data_dir) if question.data_dir else None)
        here = probe.facts(*asked)
        driver = _machine("the driver" if address else "this machine", here, {"GPU": here["devices"]})
        cluster = _ask_cluster(address, asked) if address else {"nodes": []}
    return Facts(
        driver=dataclasses.replace(driver, auth_mode=auth_mode()),
        **cluster,
        storage=redacted_uri(question.storage) if question.storage else None,
        storage_error=storage_error,
        chosen_auth=CHOSEN_AUTH_MODE,
        has_token=_has_token(),
        sets_here=[name for name, dataset in DATASETS.items() if dataset.is_here(question.data_dir)],
        **_dataset(question),
    )


@contextmanager
def _marked(location: str | None) -> Iterator[tuple[str | None, str | None]]:
    """Leave a mark in the storage for the nodes to see; the mark's name, or why it could not be left."""
    if location is None:
        yield None, None
        return
    mark, storage = f"{TEMPORARY_PREFIX}doctor-{secrets.token_hex(4)}", None
    try:
        storage = Storage.at(location).sub(mark)
        storage.write_now("driver", b"")  # impatiently: what is wrong is to be said
    except (OSError, ValueError) as error:
        yield None, str(error)
        return
    try:
        yield mark, None
    finally:
        storage.delete_folder()


def _dataset(question: Question) -> dict[str, Any]:
    """The driver's copy of the set, read as a run would."""
    if question.dataset is None:
        return {}
    streamed = find_dataset(question.dataset).is_streamed
    try:
        size = load_dataset(question.dataset, question.data_dir).held_bytes
    except ValueError as error:
        return {"dataset": question.dataset, "dataset_error": str(error), "streamed": streamed}
    return {"dataset": question.dataset, "dataset_bytes": None if streamed else size, "streamed": streamed}


def _has_token() -> bool:
    """Whether Ray would find a token here, in the order in which it looks."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    try:
        return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").is_file()
    except RuntimeError:  # no home folder
        return False


def _ask_cluster(address: str, asked: Sequence[str | None]) -> dict[str, Any]:
    """Facts of every node that answers, the names of those that do not, and what may be added to them."""
    import ray

    from study.tuner.demand import find_autoscaler
    from study.tuner.session import ray_session

    unread: list[str] = []
    with ray_session(address):
        autoscaler = find_autoscaler(unread.append)
        nodes = {_name(node): node for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        actors = {name: _probe(node["NodeID"]) for name, node in nodes.items()}
        replies = {actor.facts.remote(*asked): name for name, actor in actors.items()}
        ready, _ = ray.wait(list(replies), num_returns=len(replies), timeout=ANSWER_SECONDS)
        told = {replies[reply]: _answer(reply, actors[replies[reply]]) for reply in ready}
    machines = [_machine(name, facts, nodes[name]["Resources"]) for name, facts in told.items() if facts]
    answered = {machine.name for machine in machines}
    return {
        "nodes": sorted(machines, key=lambda machine: machine.name),
        "silent": sorted(set(nodes) - answered),
        "autoscaler": autoscaler,
        "autoscaler_error": unread[0] if unread else None,
    }


def _answer(reply: Any, actor: Any) -> dict[str, Any] | None:
    """A node's facts with its clock's difference; None where its actor could not start or was lost."""
    import ray

    try:
        return {**ray.get(reply), "clock_seconds": _clock_difference(actor)}
    except ray.exceptions.RayError:
        return None


def _probe(node_id: str) -> Any:
    """An actor on that node, which brings its code along."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray.cloudpickle.register_pickle_by_value(probe)  # type: ignore[no-untyped-call]
    here = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    return ray.remote(probe.Probe).options(num_cpus=0, scheduling_strategy=here).remote()


def _clock_difference(actor: Any) -> float:
    """The node's clock minus ours, each answer taken to be from the middle of its round trip; median of a few."""
    import ray

    differences = []
    for _ in range(CLOCK_ROUNDS):
        before = time.time()
        there = ray.get(actor.clock.remote())
        differences.append(there - (before + time.time()) / 2)
    return float(statistics.median(differences))


def _name(node: dict[str, Any]) -> str:
    """Host and address; the address alone does not tell two nodes on one machine apart."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"


def _machine(name: str, told: dict[str, Any], resources: dict[str, float]) -> Machine:
    """A machine's own facts, and what Ray says of it."""
    fields = {field.name for field in dataclasses.fields(Machine)}
    store = resources.get("object_store_memory")
    return Machine(
        name=name,
        **{key: value for key, value in told.items() if key in fields and key != "cpus"},
        cpus=resources.get("CPU", 0 if "object_store_memory" in resources else told["cpus"]),
        gpus=resources.get("GPU", 0),
        object_store_bytes=int(store) if store else None,
    )
