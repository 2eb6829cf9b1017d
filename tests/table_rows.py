"""Rows of a run's tables, written as the Recorder writes them."""

from study.config import TrialConfig
from study.records import TableWriter
from study.store.storage import Storage

PROVENANCE = {"commit": "abc", "pandas": "3.1.1"}


def trial(number: int, **columns: object) -> dict[str, object]:
    known = {"trial_id": f"t{number}", "cell": "all", "phase": "search", "status": "ok"}
    return {**known, **TrialConfig(epochs=1).model_dump(), **columns}


def write_trial(storage: Storage, number: int) -> None:
    """As the Recorder does: layers and epochs first."""
    TableWriter(storage, "layers", PROVENANCE).append([{"trial_id": f"t{number}", "epoch": 1, "layer": 0}])
    TableWriter(storage, "epochs", PROVENANCE).append([{"trial_id": f"t{number}", "epoch": 1}])
    TableWriter(storage, "trials", PROVENANCE).append([trial(number)])
