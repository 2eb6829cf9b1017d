"""Says so while nothing runs: others hold what a trial asks, no node has it any more, or workers are still starting."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from study.tuner.ray_environment import DriverOnly

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util import placement_group_table

from study.tuner.slots import ResourceRequest, Slots

REPEAT_SECONDS = 60.0
LOOK_SECONDS = 1.0
EXACT = 1e-6


class Waiting(DriverOnly, Callback):
    """Told at every step of Tune's loop.

    Args:
        slots: the cluster's room.
        say: takes a line.
        clock: seconds.
    """

    def __init__(self, slots: Slots, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._slots, self._say, self._clock = slots, say, clock
        self._looked_at, self._ran_at = -math.inf, clock()
        self._told_of_gpus = False

    def say_at_once(self) -> None:
        """Before the first trial: whatever is in use now is in use by others."""
        self._tell()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look whether anything runs, now and then."""
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if not self._told_of_gpus and self._slots.passes_over_gpus:
            self._told_of_gpus = True
            self._say("GPUs have joined. This run goes on with CPUs: stop it and start it again to use them.")
        if any(trial.status == Trial.RUNNING for trial in trials):
            self._ran_at = now
        elif now - self._ran_at > REPEAT_SECONDS:
            self._ran_at = now
            self._tell()

    def _tell(self) -> None:
        if holds_resources():
            self._say("workers are still starting: they import torch, which takes long on a busy machine")
            return
        total, free = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]
        reason = reason_to_wait(self._slots.largest, self._slots.count(), total, free, asked=self._slots.can_grow)
        if reason is not None:
            self._say(reason)


def holds_resources() -> bool:
    """Whether this driver's trials hold any resources: a placement group's id ends with its driver's job."""
    job = ray.get_runtime_context().get_job_id()
    groups = placement_group_table().items()
    return any(name.endswith(job) and group["state"] == "CREATED" for name, group in groups)


def reason_to_wait(
    ask: ResourceRequest, slots: int, total: Mapping[str, float], free: Mapping[str, float], *, asked: bool
) -> str | None:
    """`waiting for 1 CPU: 2 of 2 CPUs are in use by others`; None where a trial could begin.

    Args:
        ask: what a trial asks.
        slots: how many trials the present nodes could hold.
        total: CPUs and GPUs of the whole cluster.
        free: those that nobody holds.
        asked: the autoscaler was asked for a node that could hold one.
    """
    if slots == 0 and asked:
        return f"waiting for a node with {ask}: asked the autoscaler"
    if slots == 0:
        return f"waiting for {ask}: no node has as much any more"
    wanted = {"CPU": ask.cpus, "GPU": ask.gpus}
    lacking = [kind for kind, amount in wanted.items() if free.get(kind, 0.0) < amount - EXACT]
    used = (f"{total.get(kind, 0) - free.get(kind, 0.0):g} of {total.get(kind, 0):g} {kind}s" for kind in lacking)
    return f"waiting for {ask}: {' and '.join(used)} are in use by others" if lacking else None
