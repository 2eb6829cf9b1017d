"""Train one net: `train(config, data)` yields one record an epoch. Plain PyTorch; knows nothing of Ray or files."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.initializers import INITIALIZERS
from models.isometry import dead_fractions, layer_statistics, mean_cosines, orthonormality_defect
from models.modulation import build_modulation
from models.networks import NETWORK_SIZES, ConvNet
from study.batches import stream
from study.config import TrialConfig
from study.datasets import AnyData
from study.learning_rate import learning_rate_at
from study.step_values import StepValues
from study.streaming import open_batches
from study.update import WeightUpdate

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
    layers: tuple[dict[str, Any], ...] = ()
    test_accuracy: float | None = None


def train(
    config: TrialConfig,
    data: AnyData,
    *,
    device: str = "cpu",
    evaluate_test: bool = False,
    loader_workers: int = 0,
) -> Iterator[EpochRecord]:
    """Train as `config` says.

    Same config and data on the same machine give identical records on a CPU, `seconds` apart.

    Args:
        config: every knob.
        data: the image arrays, or the names of images that are streamed.
        device: a torch device.
        evaluate_test: whether the last record carries the test accuracy.
        loader_workers: processes that decode a streamed set; their number changes no record.
    """
    training = Training(config, data, torch.device(device), loader_workers)
    epochs = math.ceil(training.total_steps / training.steps_per_epoch)
    for epoch in range(1, epochs + 1):
        record = training.run_epoch(epoch, last=epoch == epochs, evaluate_test=evaluate_test)
        yield record
        if record.status == "diverged":
            return


class Training:
    """A net with all that moves while it is trained."""

    def __init__(self, config: TrialConfig, data: AnyData, device: torch.device, loader_workers: int = 0) -> None:
        self.config = config
        self.steps_per_epoch = config.steps_per_epoch(len(data.train.labels))
        self.total_steps = config.total_steps(len(data.train.labels))
        self.network: ConvNet = build_network(config, data).to(device).to(memory_format=torch.channels_last)
        self.batches = open_batches(
            data,
            device,
            augment=config.augmentation == "standard",
            seed=config.seed,
            loader_workers=loader_workers,
        )
        self._modulation = build_modulation(
            self.network,
            rule=config.modulation,
            band=config.modulation_band,
            target=config.modulation_target,
            statistic=config.modulation_statistic,
        )
        self._values = StepValues(config, device)
        self._modulation.strength = self._values.modulation_strength
        self._update = WeightUpdate(self.network, config, self._values.learning_rate, self._values.regularizer_strength)
        self._compiled = compile_network(self.network, device) if config.compile_step else self.network
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
        self._steps = self._images = 0

    def run_epoch(self, epoch: int, *, last: bool, evaluate_test: bool) -> EpochRecord:
        """Train one epoch (the last may be a part of one), then measure."""
        started = time.perf_counter()
        before = self._images
        train_loss, train_accuracy, modulated_fraction = self._train_epoch()
        images_per_second = (self._images - before) / (time.perf_counter() - started)
        val_loss, val_accuracy = self._evaluate("validation")
        diverged = not (math.isfinite(train_loss) and math.isfinite(val_loss))
        diagnose = last or diverged or epoch == 1 or epoch % self.config.diagnostics_every_epochs == 0
        return EpochRecord(
            epoch=epoch,
            steps=self._steps,
            status="diverged" if diverged else "ok",
            learning_rate=learning_rate_at(self.config, (self._steps - 1) / self.total_steps),
            train_loss=_finite(train_loss),
            train_accuracy=train_accuracy,
            val_loss=_finite(val_loss),
            val_accuracy=val_accuracy,
            orthonormality_defect=_finite(orthonormality_defect(self.network)),
            modulated_fraction=modulated_fraction,
            error_norm_ratio=_finite(_mean_ratio(self._modulation.error_norms)),
            layers=tuple(self._layer_rows(epoch)) if diagnose else (),
            test_accuracy=self._evaluate("test")[1] if last and evaluate_test and not diverged else None,
            images_per_second=images_per_second,
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            seconds=time.perf_counter() - started,
        )

    def _train_epoch(self) -> tuple[float, float, float]:
        """Mean loss, accuracy, and share of modulated (step, layer) pairs. The device is read once, at the end."""
        self.network.train()
        steps = min(self.steps_per_epoch, self.total_steps - self._steps)
        before, totals = self._images, []
        for step, (images, labels) in enumerate(islice(self.batches.training(self.config.batch_size), steps), 1):
            totals.append(self.step(images, labels, record=step == steps))
        seen = self._images - before
        loss, correct, fired = torch.stack(totals).sum(0).tolist()
        return loss / seen, correct / seen, fired / steps

    def step(self, images: Tensor, labels: Tensor, *, record: bool) -> Tensor:
        """One gradient step. Returns summed loss, number correct and share of modulated layers, on the device (3,)."""
        self._values.set_to(self._steps / self.total_steps)
        self._modulation.recording = record
        # A compiled net has one batch size: the smaller last batch goes the usual way.
        network = self._compiled if len(labels) == self.config.batch_size else self.network
        with self._autocast:
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels)
        self._update.forget_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        self._modulation.finish_backward()
        self._update.apply()
        self._steps += 1
        self._images += len(labels)
        correct = (logits.detach().argmax(1) == labels).sum()
        return torch.stack((loss.detach() * len(labels), correct, self._modulation.fired.float().mean()))

    @torch.no_grad()
    def _evaluate(self, split: str) -> tuple[float, float]:
        """Mean loss and accuracy on `validation` or `test`."""
        self.network.eval()
        seen, totals = 0, []
        for images, labels in self.batches.evaluation(split):
            with self._autocast:
                logits = self.network(images)
            loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
            totals.append(torch.stack((loss, (logits.argmax(1) == labels).sum())))
            seen += len(labels)
        loss, correct = torch.stack(totals).sum(0).tolist()
        return loss / seen, correct / seen

    def _layer_rows(self, epoch: int) -> Iterator[dict[str, Any]]:
        """Rows of the `layers` table; error norm and factor stand at the layer whose output's error was measured."""
        images, _ = next(self.batches.evaluation("validation"))
        dead = dead_fractions(self.network, images)
        modulation = self._modulation
        measured = zip(
            modulation.error_norms.tolist(), modulation.factors.tolist(), modulation.fired.tolist(), strict=True
        )
        at_layer = dict(zip((site.layer for site in self.network.error_sites()), measured, strict=True))
        cosines = mean_cosines(self.network)
        for row, cosine, dead_fraction in zip(layer_statistics(self.network), cosines, dead, strict=True):
            error = zip(ERROR_COLUMNS, at_layer.get(int(row["layer"]), ()), strict=False)
            columns = {"epoch": epoch, **row, **dict(error), "mean_cosine": cosine, "dead_fraction": dead_fraction}
            yield {name: _finite(value) for name, value in columns.items()}


def build_network(config: TrialConfig, data: AnyData) -> ConvNet:
    """The net that a config describes, freshly initialised from the seed's own weight stream."""
    network = NETWORK_SIZES[config.network_size][config.architecture](
        config.depth,
        width=config.width,
        in_channels=data.image_shape[0],
        num_classes=data.num_classes,
        activation=config.activation,
        activation_slope=config.activation_slope,
        norm_bias_init=config.norm_bias_init,
    )
    network.initialize(INITIALIZERS[config.initializer], stream(config.seed, "weights"))
    return network


def compile_network(network: ConvNet, device: torch.device) -> Any:
    """The net's forward and backward pass as one compiled graph; on a GPU replayed as a CUDA graph."""
    return torch.compile(network, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")


def _mean_ratio(error_norms: Tensor) -> float:
    """Geometric mean of the ratios of consecutive magnitudes, from the loss down; (L,) first layer first."""
    first, last = error_norms[0].item(), error_norms[-1].item()
    if len(error_norms) < 2 or not (first > 0 and last > 0):
        return math.nan
    return float((first / last) ** (1.0 / (len(error_norms) - 1)))


def _finite(value: Any) -> Any:
    """The value, or None for a float that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
