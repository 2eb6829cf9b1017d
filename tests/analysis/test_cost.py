"""Properties of study.analysis.cost, by hand and against brute force."""

from itertools import combinations

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy.stats.qmc import Sobol

from study.analysis.cost import (
    cost_table,
    divergence_map,
    expected_best,
    expected_best_by_trials,
    non_dominated,
    pareto_front,
)
from study.config import OBJECTIVES


def rows(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    fixed = {"status": "ok", "phase": "search", "device": "cpu", "depth": 8, "num_classes": 10, "recipe": "r"}
    fixed["dataset"] = "digits"
    fixed |= {"trial_id": [f"t{k}" for k in range(n)], "images_per_second": 1.0, "peak_memory_bytes": 1}
    return pd.DataFrame({**fixed, **columns})


def test_cost_by_depth_never_mixes_devices_and_counts_failed_seconds() -> None:
    table = cost_table(
        rows(
            train_seconds=[10.0, 20, 30, 40, 5],
            device=["cpu", "cpu", "cpu", "cuda", "cpu"],
            status=["ok"] * 4 + ["diverged"],
        )
    )
    assert table["device"].tolist() == ["cpu", "cuda"]
    assert table["median_seconds"].tolist() == [20, 40]
    assert table["hours"].tolist() == pytest.approx([65 / 3600, 40 / 3600])
    assert (table["spread_low"][0], table["spread_high"][0]) == (15, 25)


def test_every_trial_has_its_place_in_the_costs_also_without_a_device() -> None:
    status = ["ok", "pruned", "failed", "ok"]
    trials = rows(train_seconds=[10.0, 4, None, 20], device=["cpu", None, None, "cpu"], status=status)
    one = cost_table(trials).iloc[0]
    assert (one["device"], one["trials"], one["median_seconds"]) == ("cpu", 4, 15)
    assert one["hours"] == pytest.approx(34 / 3600)
    several = cost_table(trials.assign(device=["cpu", None, None, "cuda"])).set_index("device")
    assert several["trials"].to_dict() == {"cpu": 1, "cuda": 1, "unknown": 2}
    assert several["hours"].sum() == pytest.approx(34 / 3600)
    assert cost_table(trials.assign(device=None))["trials"].sum() == 4


def test_the_front_is_what_no_other_row_beats() -> None:
    frame = pd.DataFrame({"best": [0.5, 0.9, 0.8, 0.9, None], "cost": [1.0, 3, 3, 4, 1]}, index=list("abcde"))
    assert pareto_front(frame, best="best", cost="cost").to_dict() == {
        "a": True,
        "b": True,
        "c": False,
        "d": False,
        "e": False,
    }


def test_rows_that_are_equal_do_not_beat_each_other_and_an_index_may_repeat() -> None:
    """A tie at equal cost was once left out, and of a repeated index every row was on the front if one was."""
    frame = pd.DataFrame({"best": [0.9, 0.9, 0.5, 0.5, 0.9], "cost": [3.0, 3.0, 1.0, 2.0, 4.0]}, index=[0, 1, 0, 1, 0])
    assert pareto_front(frame, best="best", cost="cost").tolist() == [True, True, True, False, False]


def test_the_front_is_that_of_brute_force_and_of_non_dominated() -> None:
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(draw.random((80, 2)).round(1), columns=["val_accuracy", "train_seconds"])
    frame = frame.assign(phase="search", status="ok").set_index(draw.integers(9, size=80))
    found = frame[pareto_front(frame, best="val_accuracy", cost="train_seconds").to_numpy()]
    oracle = non_dominated(frame, ["val_accuracy", "train_seconds"])
    assert sorted(map(tuple, found.to_numpy())) == sorted(map(tuple, oracle.to_numpy()))
    assert pareto_front(frame.iloc[:0], best="val_accuracy", cost="train_seconds").empty


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_expected_best_is_the_mean_over_every_choice_of_k(n: int) -> None:
    scores = np.random.default_rng(n).random(n)
    expected = [np.mean([max(chosen) for chosen in combinations(scores, k)]) for k in range(1, n + 1)]
    assert expected_best(scores) == pytest.approx(expected)


def test_expected_best_is_unbiased() -> None:
    generator = np.random.default_rng(0)
    found = np.mean([expected_best(generator.random(6))[2] for _ in range(4_000)])
    assert found == pytest.approx(3 / 4, abs=0.01)  # the mean of the largest of three uniform numbers


def test_sobol_points_are_not_the_draws_that_the_estimator_needs() -> None:
    """Of 8 Sobol points it says .781 for the best of 3 draws, which is .75, and .837 where the first 4 have .876."""
    points = [Sobol(1, scramble=True, seed=seed).random_base2(3)[:, 0] for seed in range(400)]
    estimates = np.mean([expected_best(one) for one in points], axis=0)
    assert estimates[2] == pytest.approx(0.781, abs=0.005)
    assert np.mean([one[:4].max() for one in points]) - estimates[3] == pytest.approx(0.039, abs=0.01)


def test_expected_best_of_many_trials_stays_finite() -> None:
    curve = expected_best(np.linspace(0, 1, 2_000))
    assert np.isfinite(curve).all()
    assert (np.diff(curve) >= -1e-9).all()
    assert curve[-1] == pytest.approx(1.0)


def test_expected_best_is_refused_where_it_would_not_hold() -> None:
    trials = rows(val_accuracy=[0.8, 0.9, None], status=["ok", "ok", "diverged"])
    found = expected_best_by_trials(trials, "random", by=["recipe"])
    assert found["val_accuracy"].tolist() == pytest.approx(expected_best([0.8, 0.9, 0.1]))
    known = rows(val_accuracy=[0.99], trial_id=["run:cell:search:0"])
    pd.testing.assert_frame_equal(expected_best_by_trials(pd.concat([trials, known]), "random", by=["recipe"]), found)
    faults = rows(val_accuracy=[None, None], status=["failed", "out_of_memory"], trial_id=["f0", "f1"])
    pd.testing.assert_frame_equal(expected_best_by_trials(pd.concat([trials, faults]), "random", by=["recipe"]), found)
    with pytest.raises(ValueError, match="proposed by tpe, which learns from earlier trials, and the expected best of"):
        expected_best_by_trials(trials, "tpe", by=["recipe"])
    with pytest.raises(ValueError, match="by sobol, whose points are laid out evenly together, so that no k of them"):
        expected_best_by_trials(trials, "sobol", by=["recipe"])
    with pytest.raises(ValueError, match="1 of 3 search trials were pruned"):
        expected_best_by_trials(trials.assign(status=["ok", "ok", "pruned"]), "random", by=["recipe"])


def test_divergence_is_counted_by_depth_and_bin() -> None:
    trials = rows(learning_rate=[0.01, 0.02, 1.0, 0.9, 0.8], status=["ok", "ok", "diverged", "diverged", "failed"])
    found = divergence_map(trials, "learning_rate", bins=2)
    assert found["low"].tolist() == pytest.approx([0.01, 0.1])
    assert found["high"].tolist() == pytest.approx([0.1, 1.0])
    assert found[["trials", "diverged", "share"]].to_numpy().tolist() == [[2, 0, 0.0], [2, 2, 1.0]]
    assert divergence_map(trials.assign(phase="confirm"), "learning_rate").empty


def test_the_front_over_three_objectives_is_optunas() -> None:
    draw = np.random.default_rng(0)
    names = ["val_accuracy", "train_seconds", "parameters"]
    trials = pd.DataFrame(draw.random((60, 3)).round(1), columns=names).assign(phase="search", status="ok")
    study = optuna.create_study(directions=[OBJECTIVES[name] for name in names])
    study.add_trials([optuna.create_trial(values=row) for row in trials[names].to_numpy().tolist()])
    front = non_dominated(trials, names)
    assert sorted(front[names].to_numpy().tolist()) == sorted(trial.values for trial in study.best_trials)
    assert front["val_accuracy"].is_monotonic_decreasing
