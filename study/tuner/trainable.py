"""The Ray trainable: one training run on the resources that Ray gave it, reported epoch by epoch."""

import gc
import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import ray
import torch
from ray import tune

from study.config import CONFIRM, TrialConfig
from study.datasets import AnyData, StreamedData
from study.planning.user_file import Code
from study.trainer import Training
from study.training.memory import (
    cap_memory,
    keep_freed_memory,
    line_on_memory,
    peak_memory_bytes,
    release_freed_memory,
    reset_peak_memory,
)
from study.training.own_parts import joined, parts_of
from study.tuner.checkpoint_service import CheckpointService
from study.tuner.messages import Attempt, EpochDone, Note, TrialDone, send


def run_trial(
    config: dict[str, Any],
    *,
    data: Mapping[str, Any],
    checkpoints: CheckpointService | None = None,
    code: Code = MappingProxyType({}),
) -> None:
    """Train what `config` says and report each epoch, and the end.

    Running out of memory is an outcome. Any other error is raised: Ray then begins the trial again, as often as it may.

    Args:
        config: all fields of TrialConfig, and `trial_id` and `phase`.
        data: data set name to the Ray reference of its images, or of their names where it is streamed.
        checkpoints: where the trial's are; None: it neither writes one nor goes on from one.
        code: the files of a sweep that has parts of its own.
    """
    with joined(parts_of(code)):
        _run(config, data, checkpoints)


def _run(config: dict[str, Any], data: Mapping[str, Any], checkpoints: CheckpointService | None) -> None:
    resources = tune.get_context().get_trial_resources().required_resources
    device, share = device_of(resources)
    fields = TrialConfig.model_validate({name: config[name] for name in TrialConfig.model_fields})
    images = ray.get(data[fields.dataset])
    cpus = max(1, math.floor(resources.get("CPU", 1)))
    loaders = loader_workers(images, cpus, device)
    torch.set_num_threads(cpus - loaders)
    keep_freed_memory()
    if device == "cuda":
        cap_memory(share)
    reset_peak_memory(device)
    attempt = Attempt(socket.gethostname(), _device_name(device), torch.get_num_threads(), datetime.now(UTC))
    ending: dict[str, Any] = {"attempt": attempt}
    try:
        build = partial(Training, fields, images, torch.device(device), loaders)
        ending |= _train(build, attempt, config["trial_id"], config["phase"] == CONFIRM, checkpoints)
    except (MemoryError, RuntimeError, OSError) as error:
        reason = line_on_memory(f"{type(error).__name__}: {error}")
        if reason is None and not isinstance(error, MemoryError):
            raise
        ending |= {"status": "out_of_memory", "error": reason or repr(error)}
    done = TrialDone(finished_at=datetime.now(UTC), peak_memory_bytes=peak_memory_bytes(device), **ending)
    gc.collect()  # the process is used again for the next trial
    release_freed_memory()
    send(done)


def device_of(resources: Mapping[str, float]) -> tuple[str, float]:
    """Where to train and with which share of a GPU, by what Ray gave: a trial without GPUs may still see one."""
    share = resources.get("GPU", 0.0)
    return ("cuda" if share > 0 else "cpu"), share


def loader_workers(data: AnyData, cpus: int, device: str) -> int:
    """Number of processes that decode images, so that they and the training together take the trial's CPUs.

    On a GPU all but the one that drives it; on CPUs one, since training takes many times as long as decoding.
    """
    if not isinstance(data, StreamedData):
        return 0
    return cpus - 1 if device == "cuda" else min(1, cpus - 1)


def _train(
    build: Callable[[], Training],
    attempt: Attempt,
    trial_id: str,
    confirm: bool,
    checkpoints: CheckpointService | None,
) -> dict[str, Any]:
    """Train and report each epoch; what a run that ended by itself has to say at the end."""
    training, keep = build(), None
    if checkpoints is not None:
        training = _resumed(training, trial_id, checkpoints) or build()
        keep = partial(_save, checkpoints, trial_id, training.config)
    attempt = replace(attempt, resumed_epochs=len(training.records))
    for record in training.epochs(evaluate_test=confirm, keep=keep):
        send(EpochDone(attempt, record))
    kept = confirm and training.records[-1].status == "ok"
    weights = np.frombuffer(training.weights(trial_id), dtype=np.uint8) if kept else None
    return {"attempt": attempt, "weights": weights}


def _resumed(training: Training, trial_id: str, checkpoints: CheckpointService) -> Training | None:
    """The training as its checkpoint left it, or fresh where there is none; None where there is one that is no good."""
    try:
        content = checkpoints.load(trial_id, training.config)
        if content is not None:
            training.restore(content)
    except ValueError as error:
        checkpoints.remove(trial_id)
        send(Note(f"the checkpoint of {trial_id} {error}: the trial starts anew"))
        return None
    return training


def _save(checkpoints: CheckpointService, trial_id: str, config: TrialConfig, content: bytes) -> None:
    """Keep a checkpoint. A trial trains on without one rather than fail."""
    try:
        checkpoints.save(trial_id, config, content)
    except OSError as error:
        send(Note(f"no checkpoint of {trial_id} could be written: {error}"))


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"
