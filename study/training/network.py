"""The net of a config, built and compiled. Plain PyTorch."""

from typing import Any

import torch

from models.initializers import INITIALIZERS
from models.networks import NETWORK_SIZES, ConvNet
from models.regularizers import start_on_constraint_
from study.config import TrialConfig
from study.training.batches import generator_for


def build_network(config: TrialConfig, in_channels: int, num_classes: int) -> ConvNet:
    """The net that a config describes, freshly initialised from the seed's own weight stream, on its constraint."""
    network = NETWORK_SIZES[config.network_size][config.architecture](
        config.depth,
        width=config.width,
        in_channels=in_channels,
        num_classes=num_classes,
        activation=config.activation,
        activation_slope=config.activation_slope,
        norm_bias_init=config.norm_bias_init,
    )
    network.initialize(INITIALIZERS[config.initializer], generator_for(config.seed, "weights"))
    start_on_constraint_(network, config.regularizer)
    return network


def compile_network(network: ConvNet, device: torch.device) -> Any:
    """The net's forward and backward pass as one compiled graph; on a GPU replayed as a CUDA graph."""
    return torch.compile(network, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")
