"""Repeat one trial of a run and say whether every epoch record is identical."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from study.config import TrialConfig, parse_config
from study.datasets import AnyData, load_dataset
from study.records import locate_run, read_arrow
from study.store.code import read_code
from study.store.schemas import SCHEMAS
from study.store.storage import RUN_FILE, Storage, read_json
from study.trainer import train
from study.training.own_parts import joined, parts_of

CLOCK = {"seconds"}  # what no two runs share
COMPARED = [name for name in SCHEMAS["epochs"].names if name not in {"trial_id", *CLOCK}]


def replay(run: str, trial_id: str, data_dir: Path | None, console: Console) -> bool:
    """Train a recorded trial again, epoch by epoch beside its record; whether all epochs are identical.

    Raises:
        ValueError: no such run or trial, one that recorded no epoch, or one that was trained on other data.
    """
    storage = locate_run(run)
    with joined(parts_of(read_code(storage))):
        return _replayed(storage, trial_id, data_dir, console)


def _replayed(storage: Storage, trial_id: str, data_dir: Path | None, console: Console) -> bool:
    row = _row(storage, trial_id)
    config = recorded_config(row)
    data = _same_data(storage, config.dataset, data_dir)
    recorded = [epoch for epoch in read_arrow(storage, "epochs").to_pylist() if epoch["trial_id"] == trial_id]
    if not recorded:
        raise ValueError(f"trial {trial_id} recorded no epoch (status {row['status']}): there is nothing to compare")
    device = "cpu" if row["device"] in {None, "cpu"} else "cuda"
    torch.set_num_threads(row["cpu_threads"] or 1)  # sums depend on how many threads share them
    identical = True
    for epoch, again in zip(recorded, train(config, data, device=device), strict=False):
        differences = list(_differences(epoch, asdict(again)))
        identical &= not differences
        console.print(f"epoch {epoch['epoch']}: {'; '.join(differences) or 'identical'}", markup=False)
    verdict = "identical" if identical else "not identical"
    console.print(f"{trial_id}: {len(recorded)} epochs, {verdict}; recorded at commit {row['commit']}", markup=False)
    return identical


def recorded_config(row: dict[str, Any]) -> TrialConfig:
    """The config of a row of `trials`. A field that is null there, as one that came later, has its default."""
    known = {name: row[name] for name in TrialConfig.model_fields if row[name] is not None}
    return parse_config(known, where=f"trial {row['trial_id']}")


def _same_data(storage: Storage, dataset: str, data_dir: Path | None) -> AnyData:
    """The data set that the run was made on, where the run says which that was."""
    data = load_dataset(dataset, data_dir)
    known = read_json(storage, RUN_FILE).get("data", {}).get(dataset, data.fingerprint)
    changed = [part for part in data.fingerprint if known.get(part) != data.fingerprint[part]]
    if changed:
        raise ValueError(
            f"{storage.location} was made on other data: {dataset} has changed since in {', '.join(changed)}, so there "
            "is nothing to compare"
        )
    return data


def _row(storage: Storage, trial_id: str) -> dict[str, Any]:
    rows = {row["trial_id"]: row for row in read_arrow(storage, "trials").to_pylist()}
    if trial_id not in rows:
        example = next(iter(rows), "none: the run has no finished trial")
        raise ValueError(f"no trial {trial_id!r} in {storage.location}; a trial's id looks like {example}")
    return dict(rows[trial_id])


def _differences(recorded: dict[str, Any], again: dict[str, Any]) -> Iterator[str]:
    for name in COMPARED:
        if recorded[name] != again[name]:
            yield f"{name} was {recorded[name]} and is {again[name]}"
