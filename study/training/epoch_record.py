"""What is known of one epoch of one training run, and of its layers. Only looks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.isometry import dead_fractions, layer_statistics, mean_cosines
from models.modulation import Modulation
from models.networks import ConvNet

ERROR_COLUMNS = ("error_norm", "modulation_factor", "modulation_fired")


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch was like. Losses are mean cross-entropies in nats; None: not finite, or not measured.

    Attributes:
        seconds: of the epoch, evaluation included; images_per_second is of its training part alone.
        parameters: trainable ones of the net.
        status: `ok`, or `diverged` when the loss was not finite: then it is the last record.
        steps: gradient steps so far.
        orthonormality_defect: see `models.isometry.orthonormality_defect`.
        modulated_fraction: share of (step, layer) pairs where modulation acted.
        error_norm_ratio: geometric mean, over consecutive layers, of the factor by which the raw error grows from a
            layer to the one below it, at the epoch's last step.
        val_accuracy_batch_statistics: that of the same images, each batch normalised by its own statistics as in
            training; on diagnostic epochs. A diagnostic, never a score: see `study.training.evaluation`.
        layers: rows of the `layers` table, on diagnostic epochs.
        test_accuracy: only where asked for, and only in the last record.
    """

    epoch: int
    steps: int
    status: str
    learning_rate: float
    train_loss: float | None
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float
    orthonormality_defect: float | None
    modulated_fraction: float
    error_norm_ratio: float | None
    seconds: float
    images_per_second: float
    parameters: int
    val_accuracy_batch_statistics: float | None = None
    layers: tuple[dict[str, Any], ...] = ()
    test_accuracy: float | None = None


def layer_rows(network: ConvNet, modulation: Modulation, images: Tensor, epoch: int) -> Iterator[dict[str, Any]]:
    """Rows of the `layers` table, one a convolution.

    Error norm and factor, of the last recorded step, stand where the error was measured.

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


def finite(value: Any) -> Any:
    """The value, or None for a float that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
