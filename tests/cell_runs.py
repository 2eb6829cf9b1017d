"""Cells run to their end without training: what tests give a search in the place of results."""

from study.search.cell_study import PlannedTrial
from study.search.cells import CellStudies

ROW = ("trial_id", "cell", "phase")


def run_all(studies: CellStudies, score) -> list[PlannedTrial]:
    """One trial after another, each ended at once."""
    planned_trials = []
    while not studies.finished:
        planned = studies.next_trial()
        planned_trials.append(planned)
        studies.tell(planned.trial_id, row_of(planned, *score(planned)))
    return planned_trials


def row_of(planned: PlannedTrial, status: str = "ok", val_accuracy: float | None = 0.5) -> dict:
    known = {name: getattr(planned, name) for name in ROW}
    measured = {"val_accuracy": val_accuracy, "train_loss": None, "val_loss": None, "num_classes": 4}
    return {**planned.config.model_dump(), **known, "status": status, **measured}


def by_learning_rate(planned: PlannedTrial) -> tuple[str, float]:
    return "ok", planned.config.learning_rate


def best_in_the_middle(planned: PlannedTrial) -> tuple[str, float]:
    return "ok", 1.0 - abs(planned.config.learning_rate - 0.0421)
