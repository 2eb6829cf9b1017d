"""Workers that are lost: with their node, they begin again elsewhere; killed for memory, they end one trial alone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import study.tuner.ray_environment  # noqa: F401

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial

from study.tuner.session import attribute_replaced

FORGIVEN = 5  # losses a trial: one that brings down every node it runs on must end some time
NODE_DIED = "its node has died"  # what Ray says of a worker whose node is gone, and of no other


@contextmanager
def forgiven_node_losses() -> Iterator[None]:
    """While the block runs, nodes that are lost cost no trial one of its `max_failures`.

    Tune itself forgives pre-emption only where an autoscaler has announced it (`RayActorError.preempted`). A spot
    machine that vanishes, a power cut, a node taken out by hand count as the trial's own failure there.
    """
    counted = getattr(Trial, "_handle_ray_actor_error", None)
    losses: Counter[str] = Counter()

    def handle(trial: Trial, error: RayActorError) -> None:
        losses[trial.trial_id] += is_node_loss(error)
        if counted and (not is_node_loss(error) or losses[trial.trial_id] > FORGIVEN):
            counted(trial, error)

    with attribute_replaced(Trial, "_handle_ray_actor_error", handle):
        yield


@contextmanager
def memory_kills_end_one_trial() -> Iterator[None]:
    """While the block runs, a worker that Ray kills for memory while it starts ends its trial, and not the whole run.

    The worker's first task then fails with OutOfMemoryError, which is no RayActorError, and Tune (2.60) takes any other
    error for a bug of its own.
    """
    handled = getattr(RayActorManager, "_actor_task_failed", None)

    def handle(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        if handled:
            handled(manager, tracked_actor_task=tracked_actor_task, exception=exception)

    with attribute_replaced(RayActorManager, "_actor_task_failed", handle):
        yield


def is_node_loss(error: RayActorError) -> bool:
    """Whether the worker ended because its whole node did."""
    return NODE_DIED in str(error)
