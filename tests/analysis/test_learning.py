"""Learning curves: steps by hand, trials joined, means over the seeds that got there."""

import pandas as pd
import pytest

import study
from study.analysis.learning import learning_curves, mean_curves
from study.bench.tables import GeneratedRun
from study.records import read_table
from study.store.storage import Storage


def trials_of(**columns: object) -> pd.DataFrame:
    fixed = {"cell": "c", "phase": "confirm", "recipe": "r", "status": "ok", "dataset": "digits", "batch_size": 100}
    fixed |= {"train_images": None, "steps_completed": 30, "epochs_completed": 3, "learning_rate": 0.1}
    return pd.DataFrame(fixed | {"trial_id": ["a", "b"], "seed": [0, 1]} | columns)


def epochs_of(**trials: int) -> pd.DataFrame:
    """So many epochs of each trial, the later ones first, with a loss of 1 / epoch."""
    rows = [(name, epoch) for name, count in trials.items() for epoch in range(count, 0, -1)]
    frame = pd.DataFrame(rows, columns=["trial_id", "epoch"])
    measures = dict.fromkeys(("val_loss", "train_accuracy", "val_accuracy", "learning_rate"), 0.5)
    return frame.assign(train_loss=1 / frame["epoch"], **measures)


def test_a_step_is_counted_at_the_epochs_end_and_a_last_epoch_may_be_short() -> None:
    """1,257 digits are 13 batches of 100."""
    curves = learning_curves(trials_of(), epochs_of(a=3, b=1))
    assert curves["step"].tolist() == [13, 26, 30, 13]
    assert curves["epoch"].tolist() == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("columns", "told", "steps"),
    [
        ({"train_images": 500}, {}, [5, 10, 15]),
        ({"dataset": "imagefolder"}, {"imagefolder": 901}, [9, 18, 27]),  # a batch of one image is left out
        ({"dataset": "imagefolder"}, {}, [10, 20, 30]),
    ],
)
def test_steps_follow_the_images_that_are_trained_on(
    columns: dict[str, object], told: dict[str, int], steps: list[int]
) -> None:
    curves = learning_curves(trials_of(**columns), epochs_of(a=3), train_images=told)
    assert curves["step"].tolist() == steps


def test_a_compared_name_that_epochs_have_too_is_kept_apart() -> None:
    curves = learning_curves(trials_of(learning_rate=[0.1, 0.2]), epochs_of(a=1, b=1), ["learning_rate", "recipe"])
    assert curves["learning_rate"].tolist() == [0.5, 0.5]
    assert curves["learning_rate_compared"].tolist() == [0.1, 0.2]


def test_a_mean_is_over_the_seeds_that_got_there() -> None:
    epochs = epochs_of(a=2, b=1)
    epochs.loc[epochs["trial_id"] == "b", "train_loss"] = 3.0
    means = mean_curves(learning_curves(trials_of(), epochs))
    assert means["train_loss"].tolist() == [2.0, 0.5]
    assert means["seeds"].tolist() == [2, 1]
    assert means["step"].tolist() == [13, 26]


def test_curves_of_a_run_have_its_compared_fields_beside_each_epoch(tmp_path) -> None:
    GeneratedRun(depths=(8, 20), searches=1, confirms=1).write(Storage.at(tmp_path))
    curves, trials = study.curves(tmp_path), read_table(tmp_path, "trials").set_index("trial_id")
    assert len(curves) == len(read_table(tmp_path, "epochs")) == 3 * len(trials)
    for name in ("cell", "phase", "recipe", "seed", "depth"):
        assert (curves[name] == curves["trial_id"].map(trials[name])).all()
    assert (curves["step"] > 0).all()
    assert {"train_loss", "val_loss", "train_accuracy", "val_accuracy"} <= {*curves.columns}
