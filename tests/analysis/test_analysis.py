"""Properties of study.analysis.curves on small tables whose numbers are known by hand or from SciPy."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from confirmed_tables import BASELINE, confirm, search, table
from scipy import stats

from study.analysis.curves import axes_of, baseline_accuracy, best_of_each_cell, depth_curve, paired_difference


def test_curve_has_one_row_a_confirmed_cell_with_what_the_cell_shares(trials: pd.DataFrame) -> None:
    curve = depth_curve(trials)
    assert axes_of(curve) == ["depth", "recipe"]
    assert list(zip(curve["depth"], curve["recipe"], strict=True)) == [
        (8, "he_l2"),
        (8, "residual"),
        (110, "he_l2"),
        (110, "isometric"),
        (110, "orthonormal"),
        (110, "residual"),
    ]
    isometric = curve.iloc[3]
    expected = stats.ttest_1samp([0.95, 0.96, 0.97], 0.0).confidence_interval()
    assert (isometric["mean"], isometric["low"], isometric["high"]) == pytest.approx(
        (0.96, expected.low, expected.high)
    )
    assert (isometric["seeds"], isometric["diverged"], isometric["at_chance"]) == (3, 0, 0)
    assert (isometric["activation_slope"], isometric["learning_rate"], isometric["chance"]) == (0.5, 0.02, 0.1)
    assert (isometric["architecture"], isometric["metric"]) == ("plain", "val_accuracy")


def test_diverged_seeds_are_chance_in_the_mean_and_counted(trials: pd.DataFrame) -> None:
    curve = depth_curve(trials).set_index(["depth", "recipe"])
    he, orthonormal = curve.loc[(110, "he_l2")], curve.loc[(110, "orthonormal")]
    assert he["mean"] == pytest.approx((0.09 + 0.11 + 0.1) / 3)
    assert (he["diverged"], he["at_chance"]) == (1, 3)
    assert (orthonormal["mean"], orthonormal["low"], orthonormal["high"]) == pytest.approx((0.1, 0.1, 0.1))
    assert orthonormal["diverged"] == 3


def test_intervals_stay_within_0_and_1_and_one_seed_has_none() -> None:
    curve = depth_curve(table(confirm(8, "wild", [0.1, 0.99, 0.98]), confirm(8, "xenial", [0.9])))
    assert (curve["low"][0], curve["high"][0]) == (0.0, 1.0)
    assert curve.loc[1, ["low", "high"]].isna().all()
    assert curve["mean"][1] == 0.9


def test_ten_seeds_are_bootstrapped_with_the_given_generator() -> None:
    rows = table(confirm(8, "he_l2", list(np.linspace(0.8, 0.9, 10))))
    one, same, other = (depth_curve(rows, generator=np.random.default_rng(seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert one["low"][0] != other["low"][0]
    assert one["low"][0] == pytest.approx(other["low"][0], abs=0.005)


@pytest.mark.parametrize("by", [("dataset", "depth", "recipe"), ("regularizer", "recipe", "depth"), ("cell",)])
def test_any_column_is_an_axis(trials: pd.DataFrame, by: tuple[str, ...]) -> None:
    curve = depth_curve(trials, by=by)
    assert axes_of(curve) == list(by)
    assert len(curve) == len(trials.loc[trials["phase"] == "confirm", list(by)].drop_duplicates())


def test_a_seed_that_was_run_again_is_averaged_and_no_new_seed() -> None:
    rows = table(confirm(8, "he_l2", [0.9, 0.8]), confirm(8, "he_l2", [0.7], trial_id="again"))
    (cell,) = depth_curve(rows).to_dict("records")
    assert (cell["seeds"], cell["mean"]) == (2, pytest.approx(0.8))


def test_a_seed_that_failed_for_the_environments_reasons_counts_nowhere(trials: pd.DataFrame) -> None:
    faults = table(
        confirm(110, "isometric", [None], status="failed", seed=103, num_classes=None),
        confirm(110, "isometric", [None], status="out_of_memory", seed=104),
    )
    pd.testing.assert_frame_equal(depth_curve(pd.concat([trials, faults])), depth_curve(trials))
    only = depth_curve(pd.concat([trials, faults.assign(depth=44)]))
    assert 44 not in only["depth"].tolist()


def test_null_and_lists_can_be_compared() -> None:
    rows = table(
        confirm(8, "a", [0.9, 0.8], clip=None, drops=[0.5, 0.75]), confirm(8, "a", [0.7], clip=1.0, drops=[0.5, 0.75])
    )
    curve = depth_curve(rows, by=("clip", "drops"))
    assert curve["mean"].tolist() == pytest.approx([0.7, 0.85])
    assert curve["clip"].isna().tolist() == [False, True]


def test_nothing_confirmed_is_an_empty_curve_with_the_same_columns(trials: pd.DataFrame) -> None:
    columns = list(depth_curve(trials).columns)
    for nothing in (trials[trials["phase"] == "search"], trials.iloc[:0], pd.DataFrame()):
        curve = depth_curve(nothing)
        assert curve.empty
        assert list(curve.columns) == columns


def test_paired_difference_is_scipys_and_pairs_by_seed(trials: pd.DataFrame) -> None:
    shuffled = trials.sample(frac=1.0, random_state=1)
    difference = paired_difference(
        shuffled, {"depth": 110, "recipe": "isometric"}, {"depth": 110, "recipe": "residual"}
    )
    expected = stats.ttest_rel([0.95, 0.96, 0.97], [0.94, 0.96, 0.97]).confidence_interval()
    assert difference == pytest.approx((0.01 / 3, expected.low, expected.high, 3))


def test_paired_difference_counts_divergence_as_chance_and_only_equal_seeds() -> None:
    rows = table(confirm(8, "a", [0.9, 0.8, 0.7]), confirm(8, "b", [None, 0.8]), confirm(20, "c", [0.5], seed=7))
    difference = paired_difference(rows, {"recipe": "a"}, {"recipe": "b"})
    assert (difference.mean, difference.n) == (pytest.approx(0.4), 2)
    nothing = paired_difference(rows, {"recipe": "a"}, {"recipe": "c"})
    assert nothing.n == 0
    assert math.isnan(nothing.mean)


def test_ambiguous_pairs_are_refused_and_more_columns_settle_them(trials: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"recipe=he_l2 differ in depth \(8, 110\)"):
        paired_difference(trials, {"recipe": "he_l2"}, {"recipe": "residual"})
    with pytest.raises(ValueError, match="several rows with equal seed"):
        paired_difference(pd.concat([trials] * 2), {"cell": "he_l2-8"}, {"cell": "residual-8"})
    difference = paired_difference(trials, {"recipe": "he_l2"}, {"recipe": "residual"}, on=("depth", "seed"))
    assert difference.n == 6


def test_best_of_each_cell_counts_by_status_and_ignores_confirmed_and_unfinished(trials: pd.DataFrame) -> None:
    more = search(8, "he_l2", [0.9, 0.95, 0.99])
    more[2]["status"] = "pruned"
    best = best_of_each_cell(pd.concat([trials, pd.DataFrame(more)])).set_index("cell")
    assert list(best.index) == ["he_l2-8", "orthonormal-110"]
    assert best.loc["he_l2-8", ["val_accuracy", "trial_id", "trials", "ok", "pruned", "diverged"]].tolist() == [
        0.95,
        "he_l2-8-search-1",
        3,
        2,
        1,
        0,
    ]
    only_diverged = best_of_each_cell(table(search(110, "he_l2", [None])), by=("depth", "recipe"))
    assert only_diverged["val_accuracy"].isna().all()
    assert only_diverged["trial_id"].isna().all()
    assert only_diverged[["trials", "ok", "diverged", "failed"]].iloc[0].tolist() == [1, 0, 1, 0]
    assert best_of_each_cell(pd.DataFrame()).empty


def test_baseline_is_of_the_metrics_split() -> None:
    assert baseline_accuracy(BASELINE, "val_accuracy") == 0.85
    assert baseline_accuracy(BASELINE, "test_accuracy") == 0.8


def test_ten_thousand_trials_take_under_three_seconds() -> None:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(confirm(8, "he_l2", [0.9] * 10))
    many = pd.concat([rows] * 1_000, ignore_index=True)
    many = many.assign(depth=np.repeat(np.arange(1_000), 10), val_accuracy=generator.uniform(0.8, 1.0, 10_000))
    started = time.process_time()
    assert len(depth_curve(many)) == 1_000
    assert time.process_time() - started < 3.0
