"""What is said while nothing runs."""

from itertools import count
from types import SimpleNamespace

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from study.tuner import waiting
from study.tuner.slots import ResourceRequest
from study.tuner.waiting import LOOK_SECONDS, REPEAT_SECONDS, Waiting, reason_to_wait

ASK = ResourceRequest(0.0, 1.0)
FULL = {"CPU": 2.0}


def test_others_are_named_with_figures() -> None:
    said = "waiting for 1 CPU: 2 of 2 CPUs are in use by others"
    assert reason_to_wait(ASK, 2, FULL, {}, asked=True) == said
    assert reason_to_wait(ASK, 2, FULL, {"CPU": 1.0}, asked=False) is None
    said = "waiting for 1 CPU and 0.5 GPU: 3.75 of 4 GPUs are in use by others"
    assert (
        reason_to_wait(ResourceRequest(0.5, 1.0), 4, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 0.25}, asked=False)
        == said
    )


def test_a_lost_node_is_told_apart() -> None:
    assert reason_to_wait(ASK, 0, {}, {}, asked=False) == "waiting for 1 CPU: no node has as much any more"


def test_a_node_that_the_autoscaler_may_add_is_waited_for_by_name() -> None:
    said = "waiting for a node with 1 CPU and 0.5 GPU: asked the autoscaler"
    assert reason_to_wait(ResourceRequest(0.5, 1.0), 0, {}, {}, asked=True) == said


def test_it_is_said_at_once_then_once_a_minute_and_not_while_a_trial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [0.0], []
    monkeypatch.setattr(ray, "cluster_resources", lambda: FULL)
    monkeypatch.setattr(ray, "available_resources", dict)
    monkeypatch.setattr(waiting, "holds_resources", lambda: False)
    slots = SimpleNamespace(largest=ASK, count=lambda: 2, passes_over_gpus=False, can_grow=False)
    callback = Waiting(slots, said.append, lambda: now[0])
    trial = SimpleNamespace(status="PENDING")

    def let_pass(seconds: int) -> int:
        for _ in range(seconds):
            now[0] += 1
            callback.on_step_end(0, [trial])
        return len(said)

    callback.say_at_once()
    assert let_pass(int(REPEAT_SECONDS)) == 1
    assert let_pass(2) == 2
    assert let_pass(int(REPEAT_SECONDS)) == 3
    trial.status = "RUNNING"
    assert let_pass(300) == 3


def test_workers_of_its_own_that_are_starting_are_no_others(ray_session: None) -> None:
    """They hold all CPUs, and no trial runs yet."""
    said: list[str] = []
    slots = SimpleNamespace(largest=ASK, count=lambda: 2, passes_over_gpus=False, can_grow=False)
    group = placement_group([{"CPU": ray.cluster_resources()["CPU"]}])
    try:
        ray.get(group.ready())
        Waiting(slots, said.append).say_at_once()
    finally:
        remove_placement_group(group)
    assert [line.partition(":")[0] for line in said] == ["workers are still starting"]


def test_gpus_that_join_a_run_on_cpus_are_told_of_once() -> None:
    said: list[str] = []
    slots = SimpleNamespace(largest=ASK, count=lambda: 2, passes_over_gpus=True)
    callback = Waiting(slots, said.append, count(step=LOOK_SECONDS).__next__)
    for _ in range(3):
        callback.on_step_end(0, [SimpleNamespace(status="RUNNING")])
    assert said == ["GPUs have joined. This run goes on with CPUs: stop it and start it again to use them."]
