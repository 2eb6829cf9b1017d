"""Rows of the `layers` table: what a net and its errors are like, layer by layer. Only looks."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from models.isometry import dead_fractions, layer_statistics, mean_cosines
from models.modulation import Modulation
from models.networks import ConvNet
from study.training.epoch_record import finite

ERROR_COLUMNS = ("error_norm", "modulation_factor", "modulation_fired")


def layer_rows(network: ConvNet, modulation: Modulation, images: Tensor, epoch: int) -> Iterator[dict[str, Any]]:
    """One row a convolution. Error norm and factor, of the last recorded step, stand where the error was measured.

    Args:
        network: the net.
        modulation: its modulation.
        images: (B, C, H, W), normalised; on these channels are found dead.
        epoch: the column of that name.
    """
    measured = zip(modulation.error_norms.tolist(), modulation.factors.tolist(), modulation.fired.tolist(), strict=True)
    at_layer = dict(zip((site.layer for site in network.error_sites()), measured, strict=True))
    looks = zip(layer_statistics(network), mean_cosines(network), dead_fractions(network, images), strict=True)
    for row, cosine, dead_fraction in looks:
        error = zip(ERROR_COLUMNS, at_layer.get(int(row["layer"]), ()), strict=False)
        columns = {"epoch": epoch, **row, **dict(error), "mean_cosine": cosine, "dead_fraction": dead_fraction}
        yield {name: finite(value) for name, value in columns.items()}
