"""Which failures count; a real loss is in test_nodes.py."""

from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError
from ray.tune.experiment import Trial

from study.tuner.node_loss import FORGIVEN, forgiven_node_losses

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
