"""What became of a seed: three failures that validation accuracy alone cannot tell apart."""

import pandas as pd
import pytest
from confirmed_tables import confirm, table

from study.analysis import answer, trainability_limits, training_outcomes
from study.analysis.outcomes import FAILURES, MEANS


def seeds(train: float, batch: float, running: float, recipe: str = "open_relu") -> list[dict[str, object]]:
    """Three seeds alike, at 110 layers: accuracy in training, in validation by batch and by running statistics."""
    means = {"train_accuracy": train, "val_accuracy_batch_statistics": batch}
    return confirm(110, recipe, [running] * 3, **means)


@pytest.mark.parametrize(
    ("train", "batch", "running", "failure"),
    [
        (0.15, 0.14, 0.10, "not_learned"),
        (0.971, 0.910, 0.320, "not_evaluated"),  # measured: 110 layers, batch 32, 60 epochs on digits
        (0.97, 0.92, 0.86, "not_evaluated"),  # trained by its accuracy, and still not described by its statistics
        (1.0, 0.70, 0.69, "not_generalized"),
        (1.0, 0.965, 0.967, None),
    ],
)
def test_each_failure_is_told_from_the_others(train: float, batch: float, running: float, failure: str | None) -> None:
    (found,) = training_outcomes(table(seeds(train, batch, running))).to_dict("records")
    assert {name: found[name] for name in FAILURES} == {name: 3 if name == failure else 0 for name in FAILURES}
    assert [found[name] for name in MEANS] == pytest.approx([train, batch, running])


def test_a_diverged_seed_is_no_other_failure_and_in_no_mean() -> None:
    diverged = confirm(110, "open_relu", [None], train_accuracy=0.1, val_accuracy_batch_statistics=0.1)
    (found,) = training_outcomes(table(seeds(1.0, 0.96, 0.96), diverged)).to_dict("records")
    assert (found["seeds"], found["diverged"], found["not_learned"]) == (4, 1, 0)
    assert found["train_accuracy"] == pytest.approx(1.0)


def test_tables_that_lack_the_columns_tell_of_no_failure() -> None:
    (found,) = training_outcomes(table(confirm(110, "open_relu", [0.1, 0.9]))).to_dict("records")
    assert not any(found[name] for name in FAILURES)
    assert pd.isna(found["train_accuracy"])


def test_the_sentence_says_that_a_net_learns_and_does_not_evaluate() -> None:
    rows = table(seeds(0.971, 0.910, 0.320), confirm(110, "residual", [0.96] * 3))
    assert (
        "learns but does not evaluate: open_relu in 3 of 3 seeds "
        "(train 0.971, validation 0.910 by batch statistics, 0.320 by running ones)" in answer(rows)
    )


def test_a_limit_says_how_seeds_failed() -> None:
    rows = table(confirm(20, "open_relu", [0.96] * 3), seeds(0.971, 0.910, 0.320))
    (limit,) = trainability_limits(rows).to_dict("records")
    assert (limit["method"], limit["trained"], limit["not_evaluated"], limit["not_learned"]) == ("bracket", 3, 3, 0)
