"""A node that is lost is no failure of the trials that ran on it: they begin again elsewhere."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import study.tuner.ray_environment  # noqa: F401

from ray.exceptions import RayActorError
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


def is_node_loss(error: RayActorError) -> bool:
    """Whether the worker ended because its whole node did."""
    return NODE_DIED in str(error)
