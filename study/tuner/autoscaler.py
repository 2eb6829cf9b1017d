"""What the autoscaler of a cluster may add: node types, read from its configuration. Knows nothing of Ray."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, float]  # a node's resources


@dataclass(frozen=True)
class NodeType:
    """A kind of node that is started when it is asked for.

    Attributes:
        most: so many of them at a time.
    """

    name: str
    resources: Node
    most: int

    def __str__(self) -> str:
        amounts = {kind: self.resources.get(kind, 0) for kind in ("CPU", "GPU")}
        holds = ", ".join(f"{amount:g} {kind}{'s' * (amount > 1)}" for kind, amount in amounts.items() if amount)
        return f"{self.most} x {self.name} ({holds})"


@dataclass(frozen=True)
class Autoscaler:
    """Starts nodes that are asked for, and ends those that idle.

    Attributes:
        types: those that it may start, and whose size is known before.
        most: nodes of all types together.
    """

    types: Sequence[NodeType]
    most: int

    def __str__(self) -> str:
        each = ", ".join(map(str, self.types))
        return f"{each}, {self.most} in all" if sum(type_.most for type_ in self.types) > self.most else each

    @property
    def nodes(self) -> list[Node]:
        """Resources of one node of each type."""
        return [type_.resources for type_ in self.types]

    def grown(self, count: int, fits: Callable[[Node], object]) -> list[Node]:
        """Resources of the nodes that it may start, up to `count`, of the types that fit.

        Which types it will choose where it may not start them all is not known: the smallest, for what they hold, the
        others hold as well.
        """
        fitting = sorted((type_ for type_ in self.types if fits(type_.resources)), key=_size)
        nodes = [type_.resources for type_ in fitting for _ in range(min(type_.most, count))]
        return nodes[: min(self.most, count)]


def autoscaler_of(config: Mapping[str, Any] | None) -> Autoscaler | None:
    """From a configuration as `ray up` and KubeRay write it; None where nothing is to be had that could hold a trial.

    A type that does not tell its CPUs (`type: local`: its machines are all started anyway) is none of the types.
    """
    types = list(_types(config)) if config else []
    if config is None or not types:
        return None
    return Autoscaler(types, config.get("max_workers") or sum(type_.most for type_ in types))


def _types(config: Mapping[str, Any]) -> Iterator[NodeType]:
    """Find the node types that may be added. Ray's own defaults: no second head, of the others as many as of all."""
    for name, type_ in config["available_node_types"].items():
        unsaid = 0 if name == config.get("head_node_type") else config.get("max_workers", 0)
        found = NodeType(name, type_.get("resources") or {}, type_.get("max_workers", unsaid))
        if found.most and found.resources.get("CPU"):
            yield found


def _size(type_: NodeType) -> tuple[float, float]:
    return type_.resources.get("GPU", 0), type_.resources["CPU"]
