"""Optimisers: each is made of parameters, the trial's fields and a learning rate that others change from step to step.

The penalty stands in the place of weight decay, so that theirs is off.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn


class Fields(Protocol):
    """What is read of a trial's config."""

    @property
    def momentum(self) -> float:
        """In [0, 1)."""

    @property
    def nesterov(self) -> bool:
        """Whether the momentum looks ahead."""


Optimizer = Callable[[list[nn.Parameter], Fields, Tensor], torch.optim.Optimizer]


def sgd(parameters: list[nn.Parameter], config: Fields, learning_rate: Tensor) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=config.momentum, nesterov=config.nesterov, fused=True)


def adamw(parameters: list[nn.Parameter], config: Fields, learning_rate: Tensor) -> torch.optim.Optimizer:
    """AdamW, whose first beta is the config's momentum."""
    betas = (config.momentum, 0.999)
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=betas, weight_decay=0.0, fused=True)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": sgd,
    "lars": sgd,
    "lars_joint": sgd,
    "adamw": adamw,
}
