"""What a trial asks of Ray, and how many trials the cluster has room for, as nodes come and go."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import study.tuner.ray_environment  # noqa: F401

import ray
from ray import tune

from study.config import TrialConfig
from study.datasets import AnyData
from study.forecast import kind_of, trial_bytes
from study.options import Options
from study.training.memory import SMALLEST_SHARE, gpu_share
from study.tuner.autoscaler import Autoscaler, Node

BELIEF_SECONDS = 2.0  # how long a look at the cluster is believed: new nodes are seen within this
EXACT = 1e-6  # below what Ray tells apart (1e-4), above what sums of floats are off by
HEAD = "node:__internal_head__"  # a resource that the head alone has
MOST = 1000  # trials that nodes are asked for: packing so many anew every 5 s takes Ray's autoscaler up to 1.4 s


@dataclass(frozen=True, order=True)
class ResourceRequest:
    """What one trial holds while it runs.

    Attributes:
        gpus: a share of one GPU, or whole ones.
    """

    gpus: float
    cpus: float

    def ray_config(self) -> dict[str, float]:
        """For the trial's config, from which `resources_of` reads it again."""
        return {"asked_cpus": self.cpus, "asked_gpus": self.gpus}

    @property
    def bundle(self) -> dict[str, float]:
        """The request in the form that Ray's autoscaler takes."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} GPU{'s' * (self.gpus > 1)}" if self.gpus else ""
        return f"{self.cpus:g} CPU{'s' * (self.cpus > 1)}{gpus}"


def resources_of(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray is asked for on behalf of a trial; called by Tune in the driver."""
    return tune.PlacementGroupFactory([{"CPU": config["asked_cpus"], "GPU": config["asked_gpus"]}])


class Slots:
    """How many trials the cluster has room for.

    Where no trial was told how much of a GPU it takes, all of a run take some if any node has one by the start, or the
    autoscaler may add one that has: such a cluster is there for its GPUs, also while none of them lives yet.

    Args:
        options: `workers`, and what a trial is to ask where the user says so.
        data: data set name to the data itself, for the forecast of a trial's memory.
        nodes: the resources of each living node.
        card_bytes: memory of the cluster's smallest GPU; None while it is not known: then a trial asks for a whole one.
        autoscaler: what may be added; None: nothing, or nothing is known of it.
        clock: seconds.
    """

    def __init__(
        self,
        options: Options,
        data: Mapping[str, AnyData],
        nodes: Callable[[], Sequence[Node]],
        card_bytes: Callable[[], float | None],
        autoscaler: Autoscaler | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpus, self._workers, self._data = options.cpus_per_trial, options.workers, data
        self._look, self._card_bytes, self._autoscaler = nodes, card_bytes, autoscaler
        self._clock = clock
        self._nodes: Sequence[Node] = ()
        self._addable: Sequence[Node] = autoscaler.nodes if autoscaler else ()
        self._seen_at = -math.inf
        self._capacities: dict[ResourceRequest, int] = {}
        self._card: float | None = None
        self._asks: dict[tuple[str, int, int | None], ResourceRequest] = {}
        self._gpus = options.gpus_per_trial
        self._settled_for_cpus = self._gpus is None and not has_gpu([*nodes(), *self._addable])
        if self._settled_for_cpus:
            self._gpus = 0.0
        self.largest = self.smallest

    @property
    def passes_over_gpus(self) -> bool:
        """Whether GPUs have joined after the run had begun on CPUs: one run does not compare trials of both."""
        self._refresh()
        return self._settled_for_cpus and has_gpu(self._nodes)

    @property
    def smallest(self) -> ResourceRequest:
        """The least that any trial asks."""
        return ResourceRequest(SMALLEST_SHARE if self._gpus is None else self._gpus, self._cpus)

    def ask(self, config: TrialConfig) -> ResourceRequest:
        """What a trial asks: as the user says, else the share of a GPU that its memory needs."""
        if self._gpus is not None:
            return self.smallest
        self._refresh()
        kind = (kind_of(config), config.depth, config.train_images)
        if kind not in self._asks:
            self._asks[kind] = ResourceRequest(self._share(config), self._cpus)
        self.largest = max(self.largest, self._asks[kind])
        return self._asks[kind]

    def _share(self, config: TrialConfig) -> float:
        return 1.0 if self._card is None else gpu_share(trial_bytes(config, self._data[config.dataset]), self._card)

    def have_room(self, asks: Sequence[ResourceRequest]) -> bool:
        """Whether all of them can run at once."""
        if self._workers is not None and len(asks) > self._workers:
            return False
        self._refresh()
        if len(set(asks)) == 1:
            return len(asks) <= self._capacity(asks[0])
        return all_fit(self._nodes, asks)

    def count(self) -> int:
        """Trials at a time, were all as large as the largest so far."""
        self._refresh()
        count = self._capacity(self.largest)
        return count if self._workers is None else min(count, self._workers)

    @property
    def can_grow(self) -> bool:
        """Whether a node could be added that holds a trial as large as the largest so far."""
        return any(room_on(node, self.largest) for node in self._addable)

    def within_reach(self, asks: Sequence[ResourceRequest]) -> list[ResourceRequest]:
        """Keep the requests that a cluster grown to its full would hold at once, within `--workers`; without one, none.

        Never more: the autoscaler of Ray's second version, asked for more than it may ever add, adds nothing at all.
        """
        if self._autoscaler is None:
            return []
        self._refresh()
        asks = sorted(asks, reverse=True)[: min(MOST, self._workers or MOST)]
        added = self._autoscaler.grown(len(asks), lambda node: any(room_on(node, ask) for ask in set(asks)))
        rooms = [_Room(node) for node in (*added, *(node for node in self._nodes if HEAD in node))]
        return [ask for ask in asks if any(room.take(ask) for room in rooms)]

    def check_possible(self, configs: Iterable[TrialConfig] = ()) -> None:
        """ValueError when no node, there or to be added, can hold a single trial, of those of `configs` the largest."""
        for config in configs:
            self.ask(config)
        self._refresh()
        if self._gpus is not None and self._gpus > 1 and self._gpus % 1:
            raise ValueError(f"--gpus-per-trial {self._gpus:g}: more than one GPU must be a whole number")
        if not self._capacity(self.largest) and not self.can_grow:
            nodes = [*self._nodes, *self._addable]
            best = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
            which = "largest node that is there or may be added" if self._addable else "largest node"
            raise ValueError(
                f"a trial asks for {self.largest.cpus:g} CPUs and {self.largest.gpus:g} GPUs, and the {which} "
                f"has {best.get('CPU', 0):g} and {best.get('GPU', 0):g}: "
                "lower --cpus-per-trial or --gpus-per-trial, or wait until the cluster's nodes have joined"
            )

    def _refresh(self) -> None:
        if self._clock() - self._seen_at > BELIEF_SECONDS:
            self._nodes, self._seen_at = self._look(), self._clock()
            self._capacities.clear()
            card = self._card_bytes() if self._gpus is None else None
            if card != self._card:  # what was asked of another card tells nothing of this one
                self._card, self.largest = card, self.smallest
                self._asks.clear()

    def _capacity(self, ask: ResourceRequest) -> int:
        if ask not in self._capacities:
            self._capacities[ask] = sum(room_on(node, ask) for node in self._nodes)
        return self._capacities[ask]


def has_gpu(nodes: Sequence[Node]) -> bool:
    """Whether any of them has a whole GPU."""
    return any(node.get("GPU", 0) >= 1 for node in nodes)


def room_on(node: Node, ask: ResourceRequest) -> int:
    """Trials of one kind that a node holds: no share of a GPU is put together from two."""
    by_cpu = math.floor(node.get("CPU", 0) / ask.cpus + EXACT)
    if not ask.gpus:
        return by_cpu
    cards = node.get("GPU", 0)
    by_gpu = math.floor(cards) * math.floor(1 / ask.gpus + EXACT) if ask.gpus < 1 else math.floor(cards / ask.gpus)
    return min(by_cpu, by_gpu)


def all_fit(nodes: Sequence[Node], asks: Iterable[ResourceRequest]) -> bool:
    """Whether trials of several kinds can run at once: largest first, each where there is room first.

    Halved shares leave no gaps this way. Ray may place them otherwise: a trial that then finds no room waits in Ray.
    """
    rooms = [_Room(node) for node in nodes]
    return all(any(room.take(ask) for room in rooms) for ask in sorted(asks, reverse=True))


class _Room:
    """What is left of a node."""

    def __init__(self, node: Node) -> None:
        self._cpus = node.get("CPU", 0.0)
        self._cards = [1.0] * math.floor(node.get("GPU", 0))

    def take(self, ask: ResourceRequest) -> bool:
        """Put a trial here, if there is room."""
        share, wanted = (ask.gpus, 1) if ask.gpus < 1 else (1.0, round(ask.gpus))
        free = [number for number, left in enumerate(self._cards) if left >= share - EXACT]
        wanted = wanted if ask.gpus else 0
        if self._cpus < ask.cpus - EXACT or len(free) < wanted:
            return False
        self._cpus -= ask.cpus
        for number in free[:wanted]:
            self._cards[number] -= share
        return True


def living_nodes() -> list[Node]:
    """The resources of each living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
