"""What a part of a user's own must be, tried once on small tensors before anything starts: each fault is one line."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from models.regularizers import Layer, LayerPenalty
from search_spaces.sweep import Parts
from study.config import TrialConfig
from study.planning.user_file import one_line
from study.training.own_parts import entries_of

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")  # part of cells' names, of files' and of --set's lists
WEIGHTS = ((8, 4, 3, 3), (8, 3, 1, 1), (40, 4, 3, 3))  # tall, a 1x1, and more filters than entries in one
LAYERS = (Layer(index=0, stage=0, stride=1, depth=8), Layer(index=6, stage=2, stride=2, depth=8))
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # in float64, between a closed form and autograd
MOMENTS = (0.0, 0.3, 0.5, 0.99)


def checked(parts: Parts) -> Parts:
    """The parts, once they have proved sound.

    Raises:
        ValueError: a part is not what it must be; the message names it and says what is wrong.
    """
    for kind, entries in entries_of(parts).items():
        for name, entry in entries.items():
            where = f"parts: {kind} {name!r}"
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ValueError(f"{where}: a name is of letters, digits, '_', '.' and '-', and begins with a letter")
            if kind in CHECKS:
                _check(where, kind, entry, parts[kind][name])
    return parts


def _check(where: str, kind: str, entry: Any, part: Any) -> None:
    if not all(map(callable, part if isinstance(part, tuple) else (part,))):
        raise ValueError(f"{where} = {part!r}: give a function, see docs/own-parts.md")
    try:
        fault = next(CHECKS[kind](entry), None)
    except Exception as error:  # the user's code may raise anything
        raise ValueError(f"{where} does not work: {one_line(error)}") from error
    if fault is not None:
        raise ValueError(f"{where}: {fault}")


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _random(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=_generator(), dtype=dtype)


def _regularizer(penalty: LayerPenalty) -> Iterator[str]:
    """Its value is a number that depends on the weight, and its closed form is autograd's gradient."""
    acts = False
    for shape in WEIGHTS:
        weights = [_random(shape, torch.float64) for _ in LAYERS]
        for weight, layer in zip(weights, LAYERS, strict=True):
            value = torch.as_tensor(penalty.value(weight.requires_grad_(), layer))
            if value.numel() != 1 or not value.isfinite().all():
                yield f"its value of a weight {shape} is {value.tolist()}, not one finite number"
            acts |= value.requires_grad
        given = penalty.gradients([weight.detach() for weight in weights], LAYERS)
        for ours, theirs in zip(penalty.differentiated(weights, LAYERS), given, strict=True):
            if theirs.shape != ours.shape or not torch.allclose(theirs, ours, rtol=RELATIVE, atol=ABSOLUTE):
                apart = (theirs - ours).abs().max() if theirs.shape == ours.shape else math.inf
                yield f"its gradient at a weight {shape} is not that of its value: autograd's is up to {apart:.3g} away"
    if not acts:
        yield "its value does not depend on the weight: compute it by torch, and detach nothing"


def _initializer(fill: Callable[[Tensor, torch.Generator], Any]) -> Iterator[str]:
    """It fills a weight in place, with what its generator alone decides."""
    for shape in WEIGHTS:
        filled = [torch.full(shape, math.nan) for _ in range(2)]
        for weight in filled:
            with torch.no_grad():
                fill(weight, _generator())
            if not weight.isfinite().all():
                yield f"it does not fill a weight {shape} in place with finite numbers"
        if not torch.equal(*filled):
            yield "it draws from another generator than the one that it is given: pass generator=generator on"


def _activation(make: Callable[[float], nn.Module]) -> Iterator[str]:
    """It keeps the shape, and its parameters can be reset."""
    module, features = make(0.0), _random((2, 4, 5, 3))
    if next(module.parameters(), None) is not None and not hasattr(module, "reset_parameters"):
        yield "it has parameters and no reset_parameters() that sets them, as torch's layers have"
    answers = [module(features.clone()) for _ in range(2)]
    if answers[0].shape != features.shape or not answers[0].isfinite().all():
        yield f"it makes {tuple(answers[0].shape)} of {tuple(features.shape)}, or numbers that are not finite"
    if not torch.equal(*answers):
        yield "it draws at random, so that no trial could be repeated"


def _schedule(factor: Callable[[float, float, tuple[float, ...]], float]) -> Iterator[str]:
    """It answers a factor in [0, 1]."""
    for progress in MOMENTS:
        answer = factor(progress, 0.5, (0.5, 1.0))
        if not (isinstance(answer, int | float) and 0.0 <= answer <= 1.0):
            yield f"at progress {progress} it answers {answer!r}, not a number from 0 to 1"


def _optimizer(make: Callable[..., Any]) -> Iterator[str]:
    """It takes a step as long as the learning rate says, at every step anew."""
    parameter, rate = nn.Parameter(torch.ones(4, 4)), torch.tensor(0.1)
    optimizer = make([parameter], TrialConfig(epochs=1), rate)
    if not isinstance(optimizer, torch.optim.Optimizer):
        yield f"it answers {optimizer!r}, not a torch.optim.Optimizer"
    if len(optimizer.param_groups) != 1 or optimizer.param_groups[0]["lr"] is not rate:
        yield "its learning rate is not the tensor that it is given, which changes at every step: pass lr=learning_rate"
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    if not parameter.isfinite().all() or torch.equal(parameter, torch.ones(4, 4)):
        yield "its step leaves the parameter as it was, or not finite"


CHECKS: dict[str, Callable[[Any], Iterator[str]]] = {
    "activation": _activation,
    "initializer": _initializer,
    "optimizer": _optimizer,
    "regularizer": _regularizer,
    "schedule": _schedule,
}
"""Kind to the faults of an entry. Arrays of a data set are checked where they are read."""
