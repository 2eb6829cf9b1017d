"""Where the time of a step goes: the trainer's own parts, each with a stopwatch around it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

from study.bench.subjects import Stepper
from study.bench.timing import WARM_ROUNDS

REST = "rest"  # schedules, loss, zeroing gradients, sums for the epoch's record


def step_parts(stepper: Stepper, steps: int, clock: Callable[[], float]) -> dict[str, float]:
    """Shares of a step, in its order: part to a number in [0, 1]; backward includes the recording of magnitudes."""
    for _ in range(WARM_ROUNDS):
        stepper()
    with stopwatches(stepper, clock) as seconds:
        started = clock()
        for _ in range(steps):
            stepper()
        total = clock() - started
    shares = {name: seconds[name] / total for name in _places(stepper)}
    return shares | {REST: 1.0 - sum(shares.values())}


@contextmanager
def stopwatches(stepper: Stepper, clock: Callable[[], float]) -> Iterator[Counter[str]]:
    """Sum up, while the block runs, the seconds of each part."""
    seconds: Counter[str] = Counter()
    with ExitStack() as stack:
        for name, (owner, method) in _places(stepper).items():
            timed = _timed(getattr(owner, method), name, seconds, clock)
            stack.enter_context(mock.patch.object(owner, method, timed))
        yield seconds


def _places(stepper: Stepper) -> dict[str, tuple[Any, str]]:
    """Part to the object and the method that do it."""
    training = stepper.training
    update = training._update
    return {
        "forward": (training.network, "forward"),
        "backward": (torch.Tensor, "backward"),
        "factors and rescale": (training._modulation, "finish_backward"),
        "penalty": (update._penalty, "add_gradients_"),
        "optimiser": (update._optimizer, "step"),
    }


def _timed(
    function: Callable[..., Any], name: str, seconds: Counter[str], clock: Callable[[], float]
) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        started = clock()
        result = function(*arguments, **options)
        seconds[name] += clock() - started  # type: ignore[assignment]
        return result

    return timed
