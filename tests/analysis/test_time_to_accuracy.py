"""How long nets take to an accuracy, by hand and against coverage."""

import math

import numpy as np
import pandas as pd
import pytest

from study.analysis.time_to_accuracy import time_to_accuracy, time_to_twin


def confirmed(**columns: object) -> pd.DataFrame:
    """Confirmed trials t0, t1, .. of ten steps an epoch."""
    n = max(len(column) for column in columns.values() if isinstance(column, list))
    fixed = {"status": "ok", "phase": "confirm", "device": "cpu", "depth": 8, "num_classes": 10, "recipe": "r"}
    fixed |= {"dataset": "digits", "architecture": "plain", "activation": "relu", "activation_slope": 0.0}
    fixed |= {"norm_bias_init": 0.0, "learning_rate": 0.1, "cell": "c", "val_accuracy": 0.9, "epochs_completed": 3}
    fixed |= {"steps_completed": 30, "seed": list(range(n)), "trial_id": [f"t{k}" for k in range(n)]}
    return pd.DataFrame({**fixed, **columns})


def epochs(*accuracies: list[float], seconds: float = 10.0) -> pd.DataFrame:
    """Of t0, t1, ..: the epochs in any order, each of equal length."""
    rows = [
        {"trial_id": f"t{trial}", "epoch": epoch, "seconds": seconds, "val_accuracy": accuracy}
        for trial, of in enumerate(accuracies)
        for epoch, accuracy in enumerate(of, 1)
    ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=0)


def test_a_seed_that_never_gets_there_takes_longer_than_its_training() -> None:
    trials = confirmed(seed=[0, 1, 2], status=["ok", "ok", "diverged"])
    ran = epochs([0.1, 0.9, 0.95], [0.1, 0.1, 0.92], [0.1, 0.1, 0.1])
    found = time_to_accuracy(trials, ran, 0.9).iloc[0]
    assert (found["seeds"], found["reached"]) == (3, 2)
    assert (found["steps_to_target"], found["seconds_to_target"]) == (30, 30)  # 20, 30, longer
    assert found["expected_seconds"] == (20 + 30 + 30) / 2
    assert (found["reached_low"], found["reached_high"]) == pytest.approx((0.0943, 0.9916), abs=1e-4)
    never = time_to_accuracy(trials, ran, 0.99).iloc[0]
    assert never["reached"] == 0
    assert math.isnan(never["steps_to_target"])
    assert math.isnan(never["expected_seconds"])


@pytest.mark.parametrize(("status", "seeds"), [("diverged", 2), ("failed", 1)])
def test_a_seed_that_diverged_did_not_get_there_and_one_that_failed_counts_nowhere(status: str, seeds: int) -> None:
    trials = confirmed(seed=[0, 1], status=["ok", status], device=["cpu", None], epochs_completed=[3, None])
    found = time_to_accuracy(trials, epochs([0.1, 0.95, 0.9]), 0.9).iloc[0]
    assert (found["seeds"], found["reached"], found["expected_seconds"]) == (seeds, 1, 20)


def test_devices_are_never_put_together_and_search_trials_never_count() -> None:
    trials = confirmed(seed=[0, 1, 2], device=["cpu", "cuda", "cpu"], phase=["confirm", "confirm", "search"])
    found = time_to_accuracy(trials, epochs([0.9], [0.9], [0.9]), 0.9)
    assert found[["device", "seeds"]].to_numpy().tolist() == [["cpu", 1], ["cuda", 1]]


def test_an_interval_of_the_median_takes_six_seeds() -> None:
    for seeds, known in ((5, False), (6, True)):
        ran = epochs(*([0.1] * k + [0.9] for k in range(seeds)))
        found = time_to_accuracy(confirmed(seed=list(range(seeds))), ran, 0.9).iloc[0]
        assert found["steps_to_target"] == 5.0 * (seeds + 1)
        assert math.isnan(found["steps_to_target_low"]) != known
        ends = (found["steps_to_target_low"], found["steps_to_target_high"])
        assert not known or ends == (10, 60)


def test_the_interval_of_a_median_covers_it() -> None:
    """Of 300 simulated groups of 9 seeds, some of which never get there, 97 % hold the median of all: 8 epochs."""
    generator, held = np.random.default_rng(0), 0
    groups = 300
    first = generator.integers(1, 16, (groups, 9))  # 1 .. 15, and after 12 the training is over
    trials = confirmed(seed=list(range(9)) * groups, depth=np.repeat(np.arange(groups), 9).tolist())
    ran = pd.DataFrame(
        {
            "trial_id": [f"t{k}" for k in range(9 * groups)],
            "epoch": first.ravel(),
            "seconds": 1.0,
            "val_accuracy": np.where(first.ravel() <= 12, 0.9, 0.1),
        }
    )
    found = time_to_accuracy(trials, ran, 0.9)
    low, high = found["steps_to_target_low"].fillna(0), found["steps_to_target_high"].fillna(math.inf)
    held = ((low <= 80) & (high >= 80)).mean()
    assert 0.93 <= held <= 1.0


def test_the_target_is_what_the_twin_of_the_same_seed_ends_with() -> None:
    trials = confirmed(
        seed=[0, 1, 0, 1],
        architecture=["plain"] * 2 + ["residual"] * 2,
        recipe=["p"] * 2 + ["twin"] * 2,
        cell=["p"] * 2 + ["twin"] * 2,
        val_accuracy=[0.9, 0.9, 0.8, 0.9],
    )
    ran = epochs([0.1, 0.8, 0.9], [0.1, 0.8, 0.9], [0.8], [0.9])
    (found,) = time_to_twin(trials, ran).to_dict("records")
    assert (found["recipe"], found["twin"], found["seeds"], found["reached"]) == ("p", "twin", 2, 2)
    assert (found["target"], found["steps_to_target"]) == (pytest.approx(0.85), 25)  # of 20 and 30 steps
    lost = trials.assign(status=["ok", "ok", "ok", "diverged"])
    assert time_to_twin(lost, ran)["seeds"].tolist() == [1]
    assert time_to_twin(trials.assign(depth=[8, 8, 20, 20]), ran).empty
    assert time_to_twin(trials.assign(architecture="plain"), ran).empty
    assert time_to_twin(trials.head(2), ran, by=["cell"]).empty


def test_the_twin_with_the_same_activation_is_the_one() -> None:
    trials = confirmed(
        seed=[0, 0, 0, 0],
        architecture=["plain", "plain", "residual", "residual"],
        activation_slope=[0.5, 0.0, 0.5, 0.0],
        activation=["leaky_relu", "relu", "leaky_relu", "relu"],
        recipe=["leaky", "relu", "residual_leaky", "residual"],
        cell=["leaky", "relu", "residual_leaky", "residual"],
    )
    ran = epochs([0.9], [0.9], [0.9], [0.9])
    twins = {"leaky": "residual_leaky", "relu": "residual"}
    assert time_to_twin(trials, ran).set_index("recipe")["twin"].to_dict() == twins
    more = trials.iloc[[0, 3]].assign(seed=1, trial_id=["t4", "t5"])  # a seed that only the other twin has
    found = time_to_twin(pd.concat([trials, more], ignore_index=True), ran)
    assert found.set_index("recipe")["twin"].to_dict() == twins
    assert found["seeds"].tolist() == [1, 1]
