"""Checkpoints for trials that run anywhere: one process on the driver's node reads and writes them for all.

So a node needs no access to the run's storage; Ray carries the bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import study.tuner.ray_environment  # noqa: F401

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.config import TrialConfig
from study.store.checkpoints import Checkpoints
from study.store.storage import Storage


class CheckpointService:
    """What a trial is given: `study.store.checkpoints.Checkpoints`, reached from where the trial runs."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def save(self, trial_id: str, config: TrialConfig, content: bytes) -> None:
        """See `Checkpoints.save`."""
        _answer(self._actor.save.remote(trial_id, config, content))

    def load(self, trial_id: str, config: TrialConfig) -> bytes | None:
        """See `Checkpoints.load`."""
        loaded: bytes | None = _answer(self._actor.load.remote(trial_id, config))
        return loaded

    def remove(self, trial_id: str) -> None:
        """See `Checkpoints.remove`."""
        _answer(self._actor.remove.remote(trial_id))


@contextmanager
def checkpoint_service(storage: Storage) -> Iterator[CheckpointService]:
    """The service of a run while the block runs; needs a Ray session."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # It holds nothing in memory, so an actor that was lost may start again and be asked again.
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    actor: Any = ray.remote(Checkpoints).options(**options).remote(storage)
    try:
        yield CheckpointService(actor)
    finally:
        ray.kill(actor)


def _answer(reference: Any) -> Any:
    """What a call answers. An error is raised as it was there, without Ray's traceback around it."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None
