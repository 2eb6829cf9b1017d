"""Which failures count; a real loss is in test_nodes.py."""

from types import SimpleNamespace

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.tune.experiment import Trial

from study.tuner.node_loss import FORGIVEN, forgiven_node_losses, memory_kills_end_one_trial

LOST = (
    "The actor died unexpectedly before finishing this task.\n\tThe actor died because its node has died. Node Id: a5"
)
KILLED = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR"


@pytest.fixture
def trial() -> SimpleNamespace:
    return SimpleNamespace(trial_id="t", run_metadata=SimpleNamespace(num_failures=0))


def error(words: str) -> ActorDiedError:
    died = ActorDiedError()
    died.error_msg = words
    return died


def failures(trial: SimpleNamespace, words: str, times: int) -> int:
    for _ in range(times):
        Trial._handle_ray_actor_error(trial, error(words))
    return trial.run_metadata.num_failures


def test_a_lost_node_is_forgiven_but_not_for_ever(trial: SimpleNamespace) -> None:
    with forgiven_node_losses():
        assert failures(trial, LOST, FORGIVEN) == 0
        assert failures(trial, LOST, 2) == 2


def test_a_killed_worker_counts(trial: SimpleNamespace) -> None:
    with forgiven_node_losses():
        assert failures(trial, KILLED, 2) == 2


def test_afterwards_ray_counts_as_before(trial: SimpleNamespace) -> None:
    with forgiven_node_losses():
        pass
    assert failures(trial, LOST, 1) == 1


def test_a_worker_killed_for_memory_while_it_starts_is_an_error_of_its_trial() -> None:
    told: list[Exception] = []
    actor = SimpleNamespace(actor_id="a", _on_error=lambda _actor, why: told.append(why))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=None)
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    with memory_kills_end_one_trial():
        RayActorManager._actor_task_failed(
            manager, tracked_actor_task=task, exception=OutOfMemoryError("a worker was killed: low on memory")
        )
    assert "low on memory" in str(told[0])
