"""How long readers and the report take with a large run, which is made up here. Never Ray or torch.

Accuracies fall with depth, faster for some recipes than others, and some deep trials diverge, so that every part of
a report has something to show. The numbers mean nothing.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from study.analysis.curves import depth_curve
from study.bench.measurement import Row, Setting, Target
from study.config import CONFIRM, SEARCH, TrialConfig
from study.records import FIRST_VERSION, TRIALS_PER_PART, read_arrow, read_table
from study.report.page import write_report
from study.store.schemas import SCHEMAS
from study.store.storage import RUN_FILE, Storage, write_json
from study.training.memory import peak_memory_bytes

RUN, SWEEP = "generated", "depth_sweep"
RECIPES = ("he_l2", "isometric", "orthonormal", "residual")
SEARCHED = {"learning_rate": (0.003, 0.3), "regularizer_strength": (1e-5, 1e-2)}
LIMITS = {"he_l2": 40.0, "isometric": 400.0, "orthonormal": 60.0, "residual": 300.0}  # where half of the trials diverge
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LARGE_DEPTHS = (8, 14, 20, 32, 44, 56, 74, 92, 110, 200)  # 40 cells of 250 trials

PROGRAM = """\
import json, sys
from study.bench.tables import measure_readers
from study.store.storage import Storage
print(json.dumps(measure_readers(Storage.at(sys.argv[1]))))"""

ROWS = {  # key of `measure_readers`: words, unit, target
    "read_trials_seconds": ('read_table("trials")', "s", Target(1.0)),
    "depth_curve_seconds": ("depth curves", "s", Target(3.0)),
    "report_seconds": ("report", "s", Target(60.0)),
    "report_megabytes": ("size of the report", "MB", Target(8.0)),
    "peak_memory_megabytes": ("peak memory of the process", "MB", Target(2_000.0)),
}


@dataclass(frozen=True)
class GeneratedRun:
    """The shape of a made-up run: `depths` times RECIPES cells, each with its searches and confirmations.

    Attributes:
        epochs: rows of `epochs` a trial.
        layer_rows: rows of `layers` a trial, about: whole epochs of depth - 1 layers.
    """

    depths: tuple[int, ...] = (8, 20, 44, 110)
    searches: int = 4
    confirms: int = 5
    epochs: int = 3
    layer_rows: int = 60
    dataset: str = "digits"

    def write(self, storage: Storage) -> None:
        """Write run.json and the three tables, in parts like those of a real run."""
        generator = np.random.default_rng(0)
        write_json(storage, RUN_FILE, self._facts())
        trials = self._trials(generator)
        for number, start in enumerate(range(0, len(trials), TRIALS_PER_PART)):
            part = trials.iloc[start : start + TRIALS_PER_PART]
            _write(storage, "layers", number, self._layers(part, generator))
            _write(storage, "epochs", number, self._epochs(part, generator))
            _write(storage, "trials", number, part)

    def _cells(self) -> Iterator[tuple[str, int, str]]:
        for depth in self.depths:
            for recipe in RECIPES:
                yield f"depth={depth},recipe={recipe}", depth, recipe

    def _facts(self) -> dict[str, Any]:
        box = {"name": "FloatDistribution"}
        ends = (
            (field, {"low": low, "high": high, "log": True, "step": None}) for field, (low, high) in SEARCHED.items()
        )
        space = {field: {**box, "attributes": attributes} for field, attributes in ends}
        cells = {cell: {"fixed": {}, "search": space, "known": {}} for cell, _, _ in self._cells()}
        return {
            "run": RUN,
            "question": "How deep can a plain CNN be trained, and under which recipe?",
            "compared": {cell: {"depth": depth, "recipe": recipe} for cell, depth, recipe in self._cells()},
            "declaration": {"sweep": SWEEP, "scale": "quick", "seed": 0, "cells": cells},
            "trials_per_cell": self.searches,
            "confirm_seeds": self.confirms,
            "created_at": BEGAN.isoformat(),
            "versions": {"commit": "0" * 40, "python": "3.11"},
            "machine": {"host": "nowhere", "cores": 2},
            "linear_baseline": {self.dataset: {"validation_accuracy": 0.9, "test_accuracy": 0.9}},
            "nearest_neighbor_baseline": {
                self.dataset: {"validation_accuracy": 0.95, "test_accuracy": 0.95, "train_images": 1_000}
            },
        }

    def _trials(self, generator: np.random.Generator) -> pd.DataFrame:
        kinds = [(SEARCH, k) for k in range(self.searches)] + [(CONFIRM, k) for k in range(self.confirms)]
        rows = [
            {"cell": cell, "depth": depth, "recipe": recipe, "phase": phase, "seed": k}
            | {"trial_id": f"{RUN}:{cell}:{phase}:{k}"}
            for cell, depth, recipe in self._cells()
            for phase, k in kinds
        ]
        defaults = TrialConfig(epochs=self.epochs).model_dump(exclude={"depth", "seed", *SEARCHED})
        drops = pd.Series([list(defaults.pop("learning_rate_drops"))] * len(rows))
        table = pd.DataFrame(rows).assign(**defaults | {"dataset": self.dataset}, learning_rate_drops=drops)
        table["architecture"] = np.where(table["recipe"] == "residual", "residual", "plain")
        return self._outcomes(table, generator)

    def _outcomes(self, table: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
        n, depth = len(table), table["depth"].to_numpy(dtype=np.float64)
        for field, (low, high) in SEARCHED.items():
            table[field] = np.exp(generator.uniform(np.log(low), np.log(high), n))
        confirmed = (table["phase"] == CONFIRM).to_numpy()
        table.loc[confirmed, "learning_rate"] = 1.0 / table.loc[confirmed, "depth"]
        table.loc[confirmed, "regularizer_strength"] = 1e-4  # all seeds of a cell confirm one point
        limit = table["recipe"].map(LIMITS).to_numpy()
        lost = generator.random(n) < 1 / (1 + (limit / depth) ** 3)
        accuracy = np.clip(0.99 - 0.02 * depth / limit + generator.normal(0, 0.005, n), 0.1, 1.0)
        ended = np.where(lost, np.nan, accuracy)
        times = [BEGAN + timedelta(seconds=k) for k in range(n)]
        fixed: dict[str, Any] = {
            "run": RUN,
            "sweep": SWEEP,
            "attempts": 1,
            "num_classes": 10,
            "device": "cpu",
            "host": "nowhere",
        }
        return table.assign(
            **fixed,
            status=np.where(lost, "diverged", "ok"),
            val_accuracy=ended,
            best_val_accuracy=ended,
            test_accuracy=np.where(confirmed, ended - 0.005, np.nan),
            train_loss=0.1,
            val_loss=0.2,
            epochs_completed=self.epochs,
            steps_completed=10 * self.epochs,
            parameters=table["depth"] * 15_000,
            train_seconds=depth * generator.uniform(0.1, 0.12, n),
            images_per_second=1e5 / depth,
            peak_memory_bytes=2**29,
            started_at=times,
            finished_at=times,
            commit="0" * 40,
        )

    def _epochs(self, trials: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
        n = len(trials) * self.epochs
        epoch = np.tile(np.arange(1, self.epochs + 1), len(trials))
        final = np.repeat(trials["val_accuracy"].fillna(0.1).to_numpy(), self.epochs)
        measures = ("train_loss", "val_loss", "orthonormality_defect", "modulated_fraction", "error_norm_ratio")
        return pd.DataFrame(
            {
                "trial_id": np.repeat(trials["trial_id"].to_numpy(), self.epochs),
                "epoch": epoch,
                "learning_rate": np.repeat(trials["learning_rate"].to_numpy(), self.epochs),
                **{name: generator.random(n) for name in measures},
                "train_accuracy": final,
                "val_accuracy": final * epoch / self.epochs,
                "seconds": np.repeat(trials["train_seconds"].to_numpy() / self.epochs, self.epochs),
            }
        )

    def _layers(self, trials: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
        layers = trials["depth"].to_numpy() - 1
        recorded = np.maximum(1, self.layer_rows // layers)
        sizes = layers * recorded
        row = np.concatenate([np.arange(size) for size in sizes])
        depth = np.repeat(layers, sizes)
        growth = np.where(trials["recipe"] == "isometric", 1.0, 1.05)
        noise = generator.normal(0, 0.05, len(row))
        error = np.repeat(growth, sizes) ** (depth - row % depth) * np.exp(noise)
        measures = ("gram_defect", "singular_value_mean", "weight_norm", "dead_fraction")
        return pd.DataFrame(
            {
                "trial_id": np.repeat(trials["trial_id"].to_numpy(), sizes),
                "epoch": row // depth + 1,
                "layer": row % depth,
                "stage": 3 * (row % depth) // depth,
                "error_norm": error,
                "modulation_factor": np.exp(noise),
                "singular_value_min": 0.9 - np.abs(noise),
                "singular_value_max": 1.1 + np.abs(noise),
                **{name: generator.random(len(row)) for name in measures},
            }
        )


def _write(storage: Storage, name: str, number: int, frame: pd.DataFrame) -> None:
    complete = frame.reindex(columns=SCHEMAS[name].names)
    table = pa.Table.from_pandas(complete, schema=SCHEMAS[name], preserve_index=False)
    buffer = BytesIO()
    mark = {"study.schema_version": str(FIRST_VERSION), "study.provenance": "{}"}
    pq.write_table(table.replace_schema_metadata(mark), buffer, compression="zstd")
    storage.write(f"{name}/part-{number:05}.parquet", buffer.getvalue())


def measure(setting: Setting) -> Iterator[Row]:
    """A row each; the run has the same size at every pace."""
    setting.say("a run of 10,000 trials")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, f"{folder}/large"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    measured = json.loads(answer.stdout)
    sizes = " + ".join(f"{measured[f'{name}_rows']:,.0f} {name}" for name in ("trials", "epochs", "layers"))
    for key, (words, unit, target) in ROWS.items():
        yield Row(f"{sizes}: {words}", measured[key], unit, target)


def measure_readers(storage: Storage) -> dict[str, float]:
    """Write a run of 10,000 trials, 1,000,000 epoch rows and 5,000,000 layer rows there, and time its readers.

    Returns:
        Seconds of `read_table("trials")`, of the depth curves and of the report; rows of each table; the page's MB;
        the process' greatest resident memory so far in MB. Run it in a process of its own for that to mean anything.
    """
    large = GeneratedRun(depths=LARGE_DEPTHS, searches=190, confirms=60, epochs=100, layer_rows=540)
    large.write(storage)
    seconds, trials = _timed(lambda: read_table(storage.root, "trials"))
    curve_seconds, _ = _timed(lambda: depth_curve(trials))
    report_seconds, _ = _timed(lambda: write_report(storage))
    return {
        **{f"{name}_rows": float(read_arrow(storage, name, columns=["trial_id"]).num_rows) for name in SCHEMAS},
        "read_trials_seconds": seconds,
        "depth_curve_seconds": curve_seconds,
        "report_seconds": report_seconds,
        "report_megabytes": len(storage.read("report.html")) / 1e6,
        "peak_memory_megabytes": peak_memory_bytes("cpu") / 1e6,
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
