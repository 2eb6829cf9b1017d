"""Small tables of confirmed trials, for statistics whose answer is known."""

import pandas as pd

BASELINE = {"validation_accuracy": 0.85, "test_accuracy": 0.8, "inverse_regularization": 0.1}


def confirm(depth: int, recipe: str, accuracies: list[float | None], **over: object) -> list[dict[str, object]]:
    """One confirmed row a seed; None is a diverged seed."""
    return [
        {
            "cell": f"{recipe}-{depth}",
            "phase": "confirm",
            "trial_id": f"{recipe}-{depth}-confirm-{seed}",
            "status": "diverged" if accuracy is None else "ok",
            "depth": depth,
            "recipe": recipe,
            "architecture": "residual" if recipe.startswith("residual") else "plain",
            "activation_slope": 0.5 if recipe == "isometric" else 0.0,
            "learning_rate": 0.02,
            "dataset": "digits",
            "regularizer": "l2",
            "seed": 100 + seed,
            "val_accuracy": accuracy,
            "test_accuracy": accuracy,
            "num_classes": 10,
        }
        | over
        for seed, accuracy in enumerate(accuracies)
    ]


def search(depth: int, recipe: str, accuracies: list[float | None]) -> list[dict[str, object]]:
    """One search row a trial; None is a diverged one."""
    rows = confirm(depth, recipe, accuracies, phase="search", test_accuracy=None)
    return [row | {"trial_id": f"{recipe}-{depth}-search-{k}"} for k, row in enumerate(rows)]


def table(*groups: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([row for group in groups for row in group])
