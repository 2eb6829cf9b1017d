"""How good a net is: its loss and accuracy, under which statistics of batch normalisation. Plain PyTorch."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks import ConvNet

Batch = tuple[Tensor, Tensor]
"""Normalised images (B, C, H, W) and labels (B,)."""

PRECISE_IMAGES = 10_000  # to re-estimate statistics from; Wu and Johnson (2021) find no gain beyond some thousands


@torch.no_grad()
def evaluate(
    network: ConvNet, batches: Iterable[Batch], autocast: AbstractContextManager[Any] | None = None
) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy; leaves the net in eval mode.

    Args:
        network: on the batches' device.
        batches: as `study.training.streaming` opens them.
        autocast: `torch.autocast` of another precision than float32; a net trained in bf16 was also evaluated in it.
    """
    network.eval()
    seen, totals = 0, []
    for images, labels in batches:
        with autocast or nullcontext():
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        totals.append(torch.stack((loss, (logits.argmax(1) == labels).sum())))
        seen += len(labels)
    loss, correct = torch.stack(totals).sum(0).tolist()
    return loss / seen, correct / seen


@torch.no_grad()
def batch_statistics_accuracy(
    network: ConvNet, batches: Iterable[Batch], images: int, autocast: AbstractContextManager[Any] | None = None
) -> float:
    """Accuracy with each batch normalised by its own statistics, as in training; changes nothing of the net.

    It looks across the batch, so it is a diagnostic and no score: a net whose accuracy is much higher so than in eval
    mode has learned, and its running statistics do not describe it.

    Args:
        network: left in eval mode, its parameters and buffers as they were.
        batches: full ones, as their `full` gives: the last one begins with images that were counted before.
        images: how many there are.
        autocast: as in `evaluate`.
    """
    left, correct = images, []
    with _own_statistics(network):
        for pictures, labels in batches:
            with autocast or nullcontext():
                hits = network(pictures).argmax(1) == labels
            correct.append(hits[-min(left, len(labels)) :].sum())
            left -= len(labels)
    return float(torch.stack(correct).sum().item() / images)


@contextmanager
def _own_statistics(network: ConvNet) -> Iterator[None]:
    """Batch normalisations that take each batch's own statistics and keep none of them."""
    network.train()
    for norm in network.norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in network.norms:
            norm.track_running_stats = True
        network.eval()


@torch.no_grad()
def estimate_statistics_(
    network: ConvNet, batches: Iterable[Batch], autocast: AbstractContextManager[Any] | None = None
) -> None:
    """Put the population's mean and variance, in place of running averages, into every batch normalisation.

    Each layer's moments are pooled over all batches, the layers below normalised by the batch's own statistics as in
    training: mean E[x], variance E[x^2] - E[x]^2 (Wu and Johnson 2021, "Rethinking Batch in BatchNorm", section 3).
    `torch.optim.swa_utils.update_bn` averages the batches' variances instead, which leaves out how their means differ.

    Args:
        network: left in eval mode.
        batches: of one size, training images.
        autocast: as in `evaluate`.
    """
    moments = [_Moments() for _ in network.norms]
    hooks = [norm.register_forward_pre_hook(own.take_in) for norm, own in zip(network.norms, moments, strict=True)]
    try:
        with _own_statistics(network):
            for images, _ in batches:
                with autocast or nullcontext():
                    network(images)
    finally:
        for hook in hooks:
            hook.remove()
    for norm, own in zip(network.norms, moments, strict=True):
        own.put_into_(norm)


class _Moments:
    """Sums over batches of one layer's mean and mean square by channel, in float64: their difference is small."""

    def __init__(self) -> None:
        self._batches = 0
        self._mean = self._square = torch.zeros(())

    def take_in(self, _norm: nn.Module, inputs: tuple[Tensor]) -> None:
        """Add a batch (B, C, H, W)."""
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        variance, mean = variance.double(), mean.double()
        self._mean, self._square = self._mean + mean, self._square + variance + mean**2
        self._batches += 1

    def put_into_(self, norm: nn.BatchNorm2d) -> None:
        """Make the pooled moments the statistics of a batch normalisation."""
        assert norm.running_mean is not None, "a net of this study keeps running statistics"
        assert norm.running_var is not None, "a net of this study keeps running statistics"
        mean = self._mean / self._batches
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(self._square / self._batches - mean**2)
