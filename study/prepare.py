"""All that is checked and made ready before Ray starts: storage, run.json, earlier results, data, baseline."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.baseline import linear_baseline
from study.cells import CellStudies
from study.datasets import ImageData, load_dataset
from study.names import check_names
from study.plan import Plan
from study.provenance import provenance
from study.records import read_arrow, recover
from study.run_file import open_run_file, save_run_file
from study.storage import RESULTS, Storage

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Options:
    """How a run is carried out; no part of what it asks.

    Attributes:
        storage: folder or URI that holds runs.
        fresh: delete what the run has and start anew.
        workers: most trials at a time; None: as many as the cluster has room for.
        cpus_per_trial, gpus_per_trial: what a trial asks of Ray; None: one GPU where a node has any, else none.
        address: a running Ray cluster; None: start one here.
        data_dir: where data sets lie.
    """

    storage: str = RESULTS
    fresh: bool = False
    workers: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    address: str | None = None
    data_dir: Path | None = None


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start."""

    plan: Plan
    storage: Storage
    studies: CellStudies
    data: dict[str, ImageData]
    provenance: dict[str, str]
    finished_trials: list[dict[str, Any]]
    linear_baseline: dict[str, dict[str, float]]


def prepare(plan: Plan, options: Options, say: Callable[[str], None]) -> PreparedRun:
    """Check and load all that a run needs.

    Raises:
        ValueError: a bad run name, unknown names, unwritable storage, a changed declaration or a missing data set.
    """
    check_run_name(plan.run)
    check_names(plan)
    data = {name: load_dataset(name, options.data_dir) for name in plan.datasets}
    storage = Storage.at(options.storage).sub(plan.run)
    storage.check_writable()
    if options.fresh:
        storage.delete_folder()
    content = open_run_file(storage, plan)
    content["linear_baseline"] = _baselines(data, content["linear_baseline"])
    save_run_file(storage, content)
    recover(storage, say)
    finished = read_arrow(storage, "trials").to_pylist()
    return PreparedRun(
        plan=plan,
        storage=storage,
        studies=CellStudies(plan, finished),
        data=data,
        provenance=provenance(),
        finished_trials=finished,
        linear_baseline=content["linear_baseline"],
    )


def check_run_name(name: str) -> None:
    """A run's name is one folder name; ValueError else, so that no name leads out of the results."""
    if not RUN_NAME.fullmatch(name):
        raise ValueError(
            f"run name {name!r}: use letters, digits, '.', '_' and '-', beginning with a letter or digit; "
            "where runs are kept is --storage"
        )


def _baselines(data: dict[str, ImageData], known: dict[str, Any]) -> dict[str, Any]:
    """The linear baseline of each data set; fitted once a run."""
    return {name: known.get(name) or linear_baseline(arrays) for name, arrays in data.items()}
