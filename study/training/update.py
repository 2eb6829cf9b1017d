"""From gradients to the next weights: clipping, penalty, optimiser, hard constraint."""

from typing import Any

import torch
from torch import Tensor

from models.gradient_scaling import CLIPS, TRUST_NORMS, add_in_trust_
from models.networks import ConvNet, gradient_of
from models.optimizers import OPTIMIZERS
from models.regularizers import NetworkPenalty
from study.config import TrialConfig


class WeightUpdate:
    """Holds the optimiser and the penalty of one net.

    The penalty joins the gradient after clipping, so that neither clipping nor modulation ever scales it. Under AdamW
    it is decoupled from the adaptive step, as weight decay is there (Loshchilov and Hutter 2019); LARS scales both.

    Args:
        network: on its device.
        config: of the trial.
        learning_rate: tensor () on the device, read at every step.
        strength: of the penalty, likewise.
    """

    def __init__(self, network: ConvNet, config: TrialConfig, learning_rate: Tensor, strength: Tensor) -> None:
        self._config, self._learning_rate, self._strength = config, learning_rate, strength
        self._parameters = list(network.parameters())
        self._penalty = NetworkPenalty(network, config.regularizer)
        self._optimizer = OPTIMIZERS[config.optimizer](self._parameters, config, learning_rate)

    def forget_gradients(self) -> None:
        """Begin a step: forget the last one's gradients."""
        self._optimizer.zero_grad()

    @torch.no_grad()
    def add_penalty(self) -> None:
        """Clip the gradients that lie in `.grad`, then let the penalty act: on them, or under AdamW on the weights."""
        if self._config.gradient_clip is not None:
            CLIPS[self._config.gradient_clip_scope](self._parameters, self._config.gradient_clip)
        if self._config.optimizer == "adamw":
            decay = self._learning_rate * self._strength
            for parameter, gradient in zip(self._parameters, self._penalty_gradients(decay), strict=True):
                parameter.sub_(gradient)
        elif self._config.optimizer in TRUST_NORMS:
            add_in_trust_(self._parameters, self._penalty_gradients(self._strength), self._config.optimizer)
        else:
            self._penalty.add_gradients_(self._strength)

    def apply(self) -> None:
        """Make a step with the gradients, the penalty's among them."""
        self._optimizer.step()
        self._penalty.project_()

    def state(self) -> dict[int, Any]:
        """What the optimiser remembers of earlier steps."""
        return dict(self._optimizer.state_dict()["state"])

    def restore(self, state: dict[int, Any]) -> None:
        """Go on from where another of the same net and config was. The rate's object stays: others set it."""
        groups = self._optimizer.state_dict()["param_groups"]
        rate = groups[0]["lr"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        self._optimizer.param_groups[0]["lr"] = rate

    def _penalty_gradients(self, strength: Tensor) -> list[Tensor]:
        """The penalty's gradients by themselves, of each parameter; the loss's stay in `.grad`."""
        of_loss = [parameter.grad for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)
        self._penalty.add_gradients_(strength)
        of_penalty = [gradient_of(parameter) for parameter in self._parameters]
        for parameter, gradient in zip(self._parameters, of_loss, strict=True):
            parameter.grad = gradient
        return of_penalty
