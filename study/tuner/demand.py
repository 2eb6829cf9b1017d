"""Tells a cluster's autoscaler what the run can use, so that nodes come, and go when the work runs out."""

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from study.tuner.ray_environment import DriverOnly

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError
from ray.tune import Callback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.search.cells import CellStudies
from study.tuner import head_config
from study.tuner.autoscaler import Autoscaler, autoscaler_of
from study.tuner.slots import HEAD, ResourceRequest, Slots

ANSWER_SECONDS = 60.0  # of a head: its process starts, and Kubernetes is asked
LOOK_SECONDS = 5.0  # as often as Ray's autoscaler looks
REPEAT_SECONDS = 60.0  # the request is one for the whole cluster: another driver may have replaced or cleared it


class Demand(DriverOnly, Callback):
    """While it is entered, the autoscaler knows what the remaining trials ask for; at any end, it knows of nothing.

    A driver that is killed with -9, or whose machine is lost, leaves its request behind, and so many nodes stay: the
    next run replaces it, as does `ray.autoscaler.sdk.request_resources()` called by hand.

    Args:
        studies: the cells' trials.
        slots: what trials ask, and how much of it there could be. Without an autoscaler nothing is ever said.
        ends: whether no further trial may begin.
    """

    def __init__(self, studies: CellStudies, slots: Slots, should_stop: Callable[[], bool]) -> None:
        self._studies, self._slots, self._should_stop = studies, slots, should_stop
        self._asked: list[ResourceRequest] = []
        self._looked_at = self._told_at = -math.inf

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _traceback: TracebackType | None) -> None:
        if self._told_at > -math.inf:
            self._tell([])

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look how much is left, now and then."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        asks = self._slots.within_reach(self._wanted())
        if asks != self._asked or (asks and self._looked_at - self._told_at > REPEAT_SECONDS):
            self._tell(asks)

    def _wanted(self) -> list[ResourceRequest]:
        """What the trials that run and those that are left ask: of a cell's trials each as the largest."""
        counts = Counter(planned.cell for planned in self._studies.running_trials)
        if not self._should_stop():
            counts.update(self._studies.trials_left)
        return [ask for name, count in counts.items() if count for ask in [self._ask(name)] * count]

    def _ask(self, cell: str) -> ResourceRequest:
        return max(map(self._slots.ask, self._studies.planned[cell].examples.values()))

    def _tell(self, asks: list[ResourceRequest]) -> None:
        self._asked, self._told_at = asks, time.monotonic()
        with suppress(RayError):  # the head may be restarting: it is told again
            request_resources(bundles=[ask.bundle for ask in asks])


def find_autoscaler(say: Callable[[str], None]) -> Autoscaler | None:
    """Ask the head of the cluster that was joined; None where none is, or what it may add cannot be found out."""
    head = next((node for node in ray.nodes() if node["Alive"] and HEAD in node["Resources"]), None)  # type: ignore[no-untyped-call]
    if head is None:
        return None
    ray.cloudpickle.register_pickle_by_value(head_config)  # type: ignore[no-untyped-call]
    where = NodeAffinitySchedulingStrategy(node_id=head["NodeID"], soft=False)
    ask = ray.remote(head_config.head_config).options(num_cpus=0, max_retries=0, scheduling_strategy=where)
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    try:
        return autoscaler_of(ray.get(ask.remote(port), timeout=ANSWER_SECONDS))
    except RayError as error:
        why = str(error).strip().splitlines()[-1]
        say(f"What the cluster's autoscaler may add cannot be read ({why}): the run uses the nodes that are there.")
        return None
