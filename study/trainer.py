"""Train one net: `train(config, data)` yields one record an epoch. Plain PyTorch; knows nothing of Ray.

`load_network` gives a net back that a run has trained.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import record_function

from models.isometry import orthonormality_defect
from models.modulation import build_modulation
from models.networks import ConvNet
from study.config import TrialConfig
from study.datasets import AnyData
from study.records import locate_run
from study.store.code import read_code
from study.store.tensor_bytes import from_bytes, to_bytes
from study.store.weights import Weights, read_weights
from study.training.epoch_record import EpochRecord, finite, layer_rows
from study.training.evaluation import PRECISE_IMAGES, batch_statistics_accuracy, estimate_statistics_, evaluate
from study.training.network import build_network, compile_network
from study.training.own_parts import joined, parts_of
from study.training.proxies import proxied
from study.training.step_values import StepValues, learning_rate_at
from study.training.streaming import open_batches
from study.training.update import WeightUpdate

PartOfStep = Callable[[str], AbstractContextManager[Any]]
"""From the name of a part of a training step to what surrounds it."""


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
        data: the whole set: the image arrays, or the names of images that are streamed.
        device: a torch device.
        evaluate_test: whether the last record carries the test accuracy.
        loader_workers: processes that decode a streamed set; their number changes no record.
    """
    yield from Training(config, data, torch.device(device), loader_workers).epochs(evaluate_test=evaluate_test)


class Training:
    """A net with all that moves while it is trained.

    Attributes:
        records: one an epoch so far, those from before a `restore` among them.
    """

    def __init__(self, config: TrialConfig, data: AnyData, device: torch.device, loader_workers: int = 0) -> None:
        self.config, data = config, proxied(data, config.proxy, device)
        if config.augmentation == "crop":  # of letters or arrows, whose mirror images are of no class or another
            data = replace(data, mirror_keeps_class=False)
        self.steps_per_epoch = config.steps_per_epoch(len(data.train.labels))
        self.total_steps = config.total_steps(len(data.train.labels))
        self._total_epochs = math.ceil(self.total_steps / self.steps_per_epoch)
        self._validation_images = len(data.validation.labels)
        self._in_channels, self._num_classes = data.image_shape[0], data.num_classes
        self._fingerprint = data.fingerprint
        network = build_network(config, self._in_channels, self._num_classes)
        self.network: ConvNet = network.to(device).to(memory_format=torch.channels_last)
        self.batches = open_batches(
            data,
            device,
            augment=config.augmentation != "none",
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
        self._values = StepValues(config, self.total_steps, device)
        self._modulation.strength = self._values.modulation_strength
        self._update = WeightUpdate(self.network, config, self._values.learning_rate, self._values.regularizer_strength)
        self._compiled = compile_network(self.network, device) if config.compile_step else self.network
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
        self._steps = self._images = 0
        self.records: list[EpochRecord] = []

    @property
    def ended(self) -> bool:
        """Whether the last epoch is done, or the loss was not finite."""
        return len(self.records) == self._total_epochs or any(record.status == "diverged" for record in self.records)

    def epochs(
        self, *, evaluate_test: bool = False, keep: Callable[[bytes], None] | None = None
    ) -> Iterator[EpochRecord]:
        """All epochs' records, those of earlier ones at once, then one by one as it trains to the end.

        Args:
            evaluate_test: whether the last record carries the test accuracy.
            keep: given a checkpoint for `restore` every `checkpoint_every_epochs` and at the end.
        """
        yield from self.records
        while not self.ended:
            epoch = len(self.records) + 1
            record = self.run_epoch(epoch, last=epoch == self._total_epochs, evaluate_test=evaluate_test)
            self.records.append(record)
            every = self.config.checkpoint_every_epochs
            if keep is not None and every is not None and (self.ended or epoch % every == 0):
                keep(self.checkpoint())
            yield record

    def checkpoint(self) -> bytes:
        """All that the next epochs depend on, at the end of an epoch. Modulation carries nothing from step to step."""
        content = {
            "network": self.network.state_dict(),
            "optimizer": self._update.state(),
            "batches": self.batches.state(),
            "counts": [self._steps, self._images],
            "data": self._fingerprint,
            "records": [asdict(record) for record in self.records],
        }
        return to_bytes(content)

    def restore(self, checkpoint: bytes) -> None:
        """Go on from where a training with the same config and data was.

        Raises:
            ValueError: it cannot be read or does not fit; this training must then not be used.
        """
        content = from_bytes(checkpoint)
        if content.get("data", self._fingerprint) != self._fingerprint:  # older ones do not say
            raise ValueError("is of other data")
        try:
            self.network.load_state_dict(content["network"])
            self._update.restore(content["optimizer"])
            self.batches.restore(content["batches"])
            self._steps, self._images = content["counts"]
            self.records = [EpochRecord(**record) for record in content["records"]]
        except torch.OutOfMemoryError:  # which says nothing of the checkpoint
            raise
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"does not fit: {repr(error).splitlines()[0]}") from error

    def weights(self, trial_id: str) -> bytes:
        """The net as it is now, for `load_network`."""
        state = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
        kept = Weights(trial_id, self.config, self._in_channels, self._num_classes, state, self._fingerprint)
        return kept.to_bytes()

    def run_epoch(self, epoch: int, *, last: bool, evaluate_test: bool) -> EpochRecord:
        """Train one epoch (the last may be a part of one), then measure."""
        started = time.perf_counter()
        before = self._images
        train_loss, train_accuracy, modulated_fraction = self._train_epoch()
        images_per_second = (self._images - before) / (time.perf_counter() - started)
        if self.config.norm_statistics == "precise":
            training_images = self.batches.full("train", self.config.batch_size, at_least=PRECISE_IMAGES)
            estimate_statistics_(self.network, training_images, self._autocast)
        val_loss, val_accuracy = self._evaluate("validation")
        diverged = not (math.isfinite(train_loss) and math.isfinite(val_loss))
        diagnose = last or diverged or epoch == 1 or epoch % self.config.diagnostics_every_epochs == 0
        return EpochRecord(
            epoch=epoch,
            steps=self._steps,
            status="diverged" if diverged else "ok",
            learning_rate=learning_rate_at(self.config, self._steps, self.total_steps),
            train_loss=finite(train_loss),
            train_accuracy=train_accuracy,
            val_loss=finite(val_loss),
            val_accuracy=val_accuracy,
            val_accuracy_batch_statistics=self._batch_statistics_accuracy() if diagnose else None,
            orthonormality_defect=finite(orthonormality_defect(self.network)),
            modulated_fraction=modulated_fraction,
            error_norm_ratio=finite(_mean_ratio(self._modulation.error_norms)),
            layers=self._layer_rows(epoch) if diagnose else (),
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

    def step(self, images: Tensor, labels: Tensor, *, record: bool, part: PartOfStep = record_function) -> Tensor:
        """One gradient step. Returns summed loss, number correct and share of modulated layers, on the device (3,).

        Args:
            images: (B, C, H, W), normalised.
            labels: (B,).
            record: whether error magnitudes are recorded even where modulation is off.
            part: surrounds each named part of the step; torch's profiler shows them.
        """
        self._values.set_to(self._steps + 1)
        self._modulation.recording = record
        # A compiled net has one batch size: the smaller last batch goes the usual way.
        network = self._compiled if len(labels) == self.config.batch_size else self.network
        with part("forward"), self._autocast:
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels)
        self._update.forget_gradients()
        with part("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with part("factors and rescale"):
            self._modulation.finish_backward()
        with part("penalty"):
            self._update.add_penalty()
        with part("optimiser"):
            self._update.apply()
        self._steps += 1
        self._images += len(labels)
        correct = (logits.detach().argmax(1) == labels).sum()
        return torch.stack((loss.detach() * len(labels), correct, self._modulation.fired.float().mean()))

    def _evaluate(self, split: str) -> tuple[float, float]:
        """Mean loss and accuracy on `validation` or `test`."""
        return evaluate(self.network, self.batches.evaluation(split), self._autocast)

    def _batch_statistics_accuracy(self) -> float:
        batches = self.batches.full("validation", self.config.batch_size)
        return batch_statistics_accuracy(self.network, batches, self._validation_images, self._autocast)

    def _layer_rows(self, epoch: int) -> tuple[dict[str, Any], ...]:
        images, _ = next(self.batches.evaluation("validation"))
        return tuple(layer_rows(self.network, self._modulation, images, epoch))


def load_network(run: str | Path, trial_id: str) -> ConvNet:
    """The trained net of a confirmed trial, on the CPU and in eval mode; its `class_names` say what its outputs mean.

    Where the run's sweep had parts of its own, the copy of its code that the run keeps is run.

    Args:
        run: the name of a run under results/, a path, or a URI.
        trial_id: as in the table `trials`.

    Raises:
        ValueError: no such run, or it keeps no weights of such a trial, or these or its code are damaged.
    """
    storage = locate_run(run)
    weights = read_weights(storage, trial_id)
    with joined(parts_of(read_code(storage))):
        network = build_network(weights.config, weights.in_channels, weights.num_classes)
    try:
        network.load_state_dict(weights.state)
    except RuntimeError as error:  # torch's word for keys or shapes that do not fit
        raise ValueError(f"the weights of {trial_id} do not fit its net: {error}") from error
    network.class_names = tuple(weights.data.get("class_names", ()))
    return network.to(memory_format=torch.channels_last).eval()


def _mean_ratio(error_norms: Tensor) -> float:
    """Geometric mean of the ratios of consecutive magnitudes, from the loss down; (L,) first layer first."""
    first, last = error_norms[0].item(), error_norms[-1].item()
    if len(error_norms) < 2 or not (first > 0 and last > 0):
        return math.nan
    return float((first / last) ** (1.0 / (len(error_norms) - 1)))
