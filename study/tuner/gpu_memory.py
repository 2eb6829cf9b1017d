"""How much memory the cluster's GPUs have, which Ray does not know: each node that has any is asked once."""

from collections.abc import Callable

import study.tuner.ray_environment  # noqa: F401

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

FIRST_SECONDS = 60.0  # for the first answers: torch is imported afresh, on nodes that may be busy
SLIVER = 0.0001  # of a GPU: the least that Ray gives, so that the task sees one


class GpuMemory:
    """The memory of GPUs by node. A node whose GPUs others hold answers once they let go.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked: dict[str, ray.ObjectRef[int]] = {}
        self._bytes: dict[str, int] = {}
        self._wait_seconds = FIRST_SECONDS

    def smallest_bytes(self) -> float | None:
        """Memory of the smallest GPU that is known by now; None where none is."""
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["Alive"] and node["Resources"].get("GPU", 0) >= 1 and node["NodeID"] not in self._asked:
                self._asked[node["NodeID"]] = _ask(node["NodeID"])
        open_asks = [answer for node, answer in self._asked.items() if node not in self._bytes]
        if open_asks and self._wait_seconds:
            self._say(f"Asking the nodes for their GPUs' memory, up to {self._wait_seconds:.0f} s.")
        if open_asks:
            ray.wait(open_asks, num_returns=len(open_asks), timeout=self._wait_seconds)
            self._wait_seconds = 0.0  # later nodes are not waited for
            self._collect()
        return min((bytes_ for bytes_ in self._bytes.values() if bytes_), default=None)

    def _collect(self) -> None:
        for node, answer in self._asked.items():
            if node not in self._bytes and ray.wait([answer], timeout=0)[0]:
                try:
                    self._bytes[node] = ray.get(answer)
                except ray.exceptions.RayError:  # the node is gone, or has no torch that sees its GPUs
                    self._bytes[node] = 0


def _ask(node: str) -> ray.ObjectRef[int]:
    where = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return _card_bytes.options(scheduling_strategy=where).remote()


@ray.remote(num_cpus=0, num_gpus=SLIVER, max_calls=1, max_retries=0)  # a process that ends gives its context back
def _card_bytes() -> int:
    """Bytes of the node's GPU; 0 where torch sees none."""
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0
