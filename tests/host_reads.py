"""Checks shared by tests: which operators bring numbers to the host, or tensors from it."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NoHostReads(TorchDispatchMode):
    """Fails on every operator that reads a number back; on a GPU each would stop the pipeline."""

    FORBIDDEN = ("_local_scalar_dense", "is_nonzero", "item", "equal", "nonzero")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function.overloadpacket.__name__ not in self.FORBIDDEN, function
        return function(*args, **(kwargs or {}))


class HostCopies(TorchDispatchMode):
    """Counts the copies from the CPU to another device, `meta` in the place of a GPU; each waits for the host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {leaf.device.type for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}
        self.count += isinstance(result, torch.Tensor) and result.device.type != "cpu" and "cpu" in given
        return result
