"""A check shared by tests: no operator may bring a number to the host."""

from torch.utils._python_dispatch import TorchDispatchMode


class NoHostReads(TorchDispatchMode):
    """Fails on every operator that reads a number back; on a GPU each would stop the pipeline."""

    FORBIDDEN = ("_local_scalar_dense", "is_nonzero", "item", "equal", "nonzero")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function.overloadpacket.__name__ not in self.FORBIDDEN, function
        return function(*args, **(kwargs or {}))
