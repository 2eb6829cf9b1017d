"""The Ray trainable: one training run on the resources that Ray gave it, reported epoch by epoch."""

import dataclasses
import gc
import math
import socket
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import ray
import torch
from ray import tune

from study.config import CONFIRM, TrialConfig
from study.datasets import ImageData
from study.memory import peak_memory_bytes, reset_peak_memory
from study.records import SCHEMAS
from study.trainer import EpochRecord, train


def run_trial(config: dict[str, Any], *, data: Mapping[str, Any]) -> None:
    """Train what `config` says and report each epoch; the last report carries the outcome.

    Running out of memory is an outcome. Any other error is raised: Ray then begins the trial again, as often as it may.

    Args:
        config: all fields of TrialConfig, and `trial_id` and `phase`.
        data: data set name to the Ray reference of its ImageData.
    """
    resources = tune.get_context().get_trial_resources().required_resources
    device = "cuda" if resources.get("GPU", 0) > 0 else "cpu"
    torch.set_num_threads(max(1, math.floor(resources.get("CPU", 1))))
    fields = TrialConfig.model_validate({name: config[name] for name in TrialConfig.model_fields})
    reset_peak_memory(device)
    outcome = {"host": socket.gethostname(), "device": _device_name(device), "started_at": datetime.now(UTC)}
    try:
        outcome |= _train(fields, ray.get(data[fields.dataset]), device, confirm=config["phase"] == CONFIRM)
    except (torch.OutOfMemoryError, MemoryError) as error:
        outcome |= {"status": "out_of_memory", "error": str(error)}
    outcome |= {"finished_at": datetime.now(UTC), "peak_memory_bytes": peak_memory_bytes(device)}
    gc.collect()  # the process is used again for the next trial
    tune.report({"val_accuracy": outcome.get("val_accuracy"), "outcome": outcome})


def _train(config: TrialConfig, data: ImageData, device: str, *, confirm: bool) -> dict[str, Any]:
    """Train and report; returns the outcome columns of a run that ended by itself."""
    records = []
    for record in train(config, data, device=device, evaluate_test=confirm):
        records.append(record)
        tune.report({"val_accuracy": record.val_accuracy, "epoch": _epoch_row(record), "layers": list(record.layers)})
    return _outcome(records)


def _outcome(records: Sequence[EpochRecord]) -> dict[str, Any]:
    """Columns of the `trials` table that sum up the epochs."""
    last = records[-1]
    finished = last.status == "ok"
    return {
        "status": last.status,
        "val_accuracy": last.val_accuracy if finished else None,
        "best_val_accuracy": max(record.val_accuracy for record in records),
        "test_accuracy": last.test_accuracy,
        "train_loss": last.train_loss,
        "val_loss": last.val_loss,
        "epochs_completed": len(records),
        "steps_completed": last.steps,
        "parameters": last.parameters,
        "train_seconds": sum(record.seconds for record in records),
        "images_per_second": statistics.median(record.images_per_second for record in records),
    }


def _epoch_row(record: EpochRecord) -> dict[str, Any]:
    """A record's columns of the `epochs` table."""
    row = dataclasses.asdict(record)
    return {name: row[name] for name in SCHEMAS["epochs"].names if name in row}


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"
