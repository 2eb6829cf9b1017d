"""The net of a config: built, compiled, evaluated. Plain PyTorch."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.initializers import INITIALIZERS
from models.networks import NETWORK_SIZES, ConvNet
from study.config import TrialConfig
from study.training.batches import stream


def build_network(config: TrialConfig, in_channels: int, num_classes: int) -> ConvNet:
    """The net that a config describes, freshly initialised from the seed's own weight stream."""
    network = NETWORK_SIZES[config.network_size][config.architecture](
        config.depth,
        width=config.width,
        in_channels=in_channels,
        num_classes=num_classes,
        activation=config.activation,
        activation_slope=config.activation_slope,
        norm_bias_init=config.norm_bias_init,
    )
    network.initialize(INITIALIZERS[config.initializer], stream(config.seed, "weights"))
    return network


def compile_network(network: ConvNet, device: torch.device) -> Any:
    """The net's forward and backward pass as one compiled graph; on a GPU replayed as a CUDA graph."""
    return torch.compile(network, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")


@torch.no_grad()
def evaluate(
    network: ConvNet, batches: Iterable[tuple[Tensor, Tensor]], autocast: AbstractContextManager[Any] | None = None
) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy; leaves the net in eval mode.

    Args:
        network: on the batches' device.
        batches: normalised images and labels, as `study.training.streaming` opens them.
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
