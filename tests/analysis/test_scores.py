"""Properties of study.analysis.scores: intervals against SciPy and by simulation, and which rows count as what."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.analysis.scores import (
    bootstrap_t_interval,
    cell_name,
    comparable,
    confirmed_rows,
    groups_of,
    matches,
    mean_difference,
    mean_interval,
    scored,
    seed_scores,
    select,
)


def confirmed(**columns: object) -> pd.DataFrame:
    """Confirmed rows of one plain cell on ten classes, with these columns over it."""
    fixed = {"phase": "confirm", "status": "ok", "num_classes": 10, "architecture": "plain", "dataset": "digits"}
    return pd.DataFrame(fixed | {"activation_slope": 0.0, "learning_rate": 0.1, "depth": 8} | columns)


def test_below_ten_values_the_interval_is_students() -> None:
    values = np.array([0.91, 0.95, 0.94, 0.97])
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((values.mean(), expected.low, expected.high, 4))


def test_students_interval_by_hand() -> None:
    # mean 0.8, s = 0.1, t(0.975, 2) = 4.3027: half width 4.3027 * 0.1 / sqrt(3).
    assert mean_interval([0.7, 0.8, 0.9]) == pytest.approx((0.8, 0.8 - 0.24841, 0.8 + 0.24841, 3), abs=1e-5)


def test_from_ten_values_the_interval_is_a_widened_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).beta(8.0, 2.0, size=12)
    level = 1 - 2 * stats.norm.cdf(-math.sqrt(12 / 11) * stats.t.ppf(0.975, 11))
    oracle = stats.bootstrap(
        (values,), np.mean, confidence_level=level, method="percentile", n_resamples=40_000, rng=1
    ).confidence_interval
    width = oracle.high - oracle.low
    assert mean_interval(values).low == pytest.approx(oracle.low, abs=0.04 * width)
    assert mean_interval(values).high == pytest.approx(oracle.high, abs=0.04 * width)


@pytest.mark.parametrize("n", [3, 9, 10, 25])
def test_intervals_cover_the_true_mean_19_times_in_20(n: int) -> None:
    generator = np.random.default_rng(n)
    found = [mean_interval(generator.normal(0.9, 0.02, size=n), generator) for _ in range(600)]
    coverage = np.mean([estimate.low <= 0.9 <= estimate.high for estimate in found])
    assert 0.92 <= coverage <= 0.98  # Three standard deviations of 600 trials at 0.95.


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([0.5]) == pytest.approx((0.5, math.nan, math.nan, 1), nan_ok=True)
    assert mean_interval([]) == pytest.approx((math.nan, math.nan, math.nan, 0), nan_ok=True)


def test_equal_values_give_an_interval_of_no_width() -> None:
    for n in (3, 12):
        assert mean_interval([0.1] * n) == pytest.approx((0.1, 0.1, 0.1, n))


def test_the_same_generator_or_none_gives_the_same_interval() -> None:
    values = np.linspace(0.0, 1.0, 11)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values, np.random.default_rng(3)) == mean_interval(values, np.random.default_rng(3))
    assert mean_interval(values, np.random.default_rng(3)) != mean_interval(values, np.random.default_rng(4))


def test_difference_is_over_equal_index_values_and_stays_in_range() -> None:
    a, b = pd.Series({1: 1.0, 2: 0.9, 3: 0.8}), pd.Series({2: 0.1, 1: 0.0, 9: 0.5})
    difference = mean_difference(a, b)
    assert (difference.mean, difference.n) == (pytest.approx(0.9), 2)
    assert -1.0 <= difference.low <= difference.high <= 1.0


def test_divergence_scores_chance_whatever_its_row_holds_and_a_fault_is_no_row() -> None:
    rows = confirmed(
        seed=[1, 2, 3, 4, 5],
        val_accuracy=[0.9, None, 0.7, 0.7, None],
        status=["ok", "diverged", "diverged", "failed", "out_of_memory"],
    )
    scores = confirmed_rows(rows, "val_accuracy", ["depth"])
    assert scores["score"].tolist() == pytest.approx([0.9, 0.1, 0.1])
    assert scores["diverged"].tolist() == [False, True, True]
    assert scores["at_chance"].tolist() == [False, True, True]
    assert scores["trained"].tolist() == [True, False, False]


def test_search_pruned_and_unmeasured_rows_do_not_count() -> None:
    rows = confirmed(
        seed=[1, 2, 3, 4],
        val_accuracy=[0.9, 0.8, 0.7, None],
        phase=["confirm", "search", "confirm", "confirm"],
        status=["ok", "ok", "pruned", "ok"],
    )
    assert confirmed_rows(rows, "val_accuracy", ["depth"])["seed"].tolist() == [1]


def test_at_chance_is_a_twentieth_of_the_way_to_perfect() -> None:
    rows = confirmed(seed=[1, 2, 3], val_accuracy=[0.09, 0.144, 0.146])
    assert confirmed_rows(rows, "val_accuracy", ["depth"])["at_chance"].tolist() == [True, True, False]


def test_trained_is_half_of_the_way_to_perfect() -> None:
    rows = confirmed(seed=[1, 2, 3], val_accuracy=[0.2, 0.54, 0.56])
    assert confirmed_rows(rows, "val_accuracy", ["depth"])["trained"].tolist() == [False, False, True]


def test_a_row_without_num_classes_takes_that_of_its_data_set() -> None:
    rows = confirmed(
        seed=[1, 1, 2, 3],
        val_accuracy=[0.9, 0.9, None, None],
        phase=["search", "search", "confirm", "confirm"],
        status=["ok", "ok", "diverged", "diverged"],
        dataset=["digits", "cifar100", "cifar100", "digits"],
        num_classes=[10, 100, None, None],
    )
    assert confirmed_rows(rows, "val_accuracy", ["dataset"])["score"].tolist() == pytest.approx([0.01, 0.1])


def test_a_score_is_the_accuracy_or_chance_and_what_ended_otherwise_has_none() -> None:
    status = ["ok", "diverged", "failed", "pruned", "ok"]
    rows = confirmed(val_accuracy=[0.9, None, None, None, None], status=status, num_classes=[4, 4, None, 4, 4])
    found = scored(rows, ["phase"])
    assert found["score"].tolist() == pytest.approx([0.9, 0.25, *[math.nan] * 3], nan_ok=True)
    assert found["chance"].tolist() == [0.25] * 5
    assert scored(rows.iloc[:0], ["phase"]).empty


def test_groups_hold_every_row_once_null_is_a_value_and_no_axis_makes_one_group() -> None:
    rows = pd.DataFrame({"clip": [None, 1.0, None], "depth": [8, 8, 20]})
    found = groups_of(rows, ["clip"])
    assert [len(group) for _, group in found] == [1, 2]
    assert [list(values) for values, _ in found] == [["clip"], ["clip"]]
    assert [values for values, _ in groups_of(rows, [])] == [{}]
    assert groups_of(rows.iloc[:0], []) == []


def test_bootstrap_t_is_that_of_all_resamples() -> None:
    values = np.array([0.91, 0.95, 0.94, 0.97])
    drawn = values[np.array(list(itertools.product(range(4), repeat=4)))]
    errors = drawn.std(axis=1, ddof=1) / 2
    ratios = (drawn.mean(axis=1) - values.mean())[errors > 0] / errors[errors > 0]
    low, high = values.mean() - np.quantile(ratios, (0.975, 0.025)) * values.std(ddof=1) / 2
    found = bootstrap_t_interval(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


@pytest.mark.parametrize(("n", "covered"), [(3, 0.82), (5, 0.957), (8, 0.949), (20, 0.954)])
def test_bootstrap_t_covers_as_its_docstring_says(n: int, covered: float) -> None:
    generator = np.random.default_rng(n)
    found = [bootstrap_t_interval(generator.normal(0.9, 0.02, size=n), generator) for _ in range(400)]
    assert np.mean([one.low <= 0.9 <= one.high for one in found]) == pytest.approx(covered, abs=0.04)


def test_bootstrap_t_of_values_without_a_spread() -> None:
    assert bootstrap_t_interval([0.1] * 5) == pytest.approx((0.1, 0.1, 0.1, 5))
    assert bootstrap_t_interval([0.1, 0.2]) == pytest.approx((0.15, math.nan, math.nan, 2), nan_ok=True)
    assert bootstrap_t_interval([]) == pytest.approx((math.nan, math.nan, math.nan, 0), nan_ok=True)


def test_repeats_of_a_seed_are_averaged() -> None:
    rows = confirmed(seed=[1, 1, 2], val_accuracy=[0.8, None, 0.9], status=["ok", "diverged", "ok"])
    scores = seed_scores(confirmed_rows(rows, "val_accuracy", ["depth"]), ["depth"])
    assert scores["score"].tolist() == pytest.approx([0.45, 0.9])
    assert scores["diverged"].tolist() == [True, False]
    assert scores["at_chance"].tolist() == [False, False]


def test_bad_tables_are_refused_by_name() -> None:
    rows = confirmed(seed=[1], val_accuracy=[0.9], train_loss=[0.1])
    with pytest.raises(ValueError, match="metric 'train_loss': must be one of val_accuracy"):
        confirmed_rows(rows, "train_loss", ["depth"])
    with pytest.raises(ValueError, match="no column recipe in this table"):
        confirmed_rows(rows, "val_accuracy", ["recipe"])
    with pytest.raises(ValueError, match="num_classes is null"):
        confirmed_rows(rows.assign(num_classes=None), "val_accuracy", ["depth"])


def test_lists_are_compared_as_text_and_null_matches_null() -> None:
    table = pd.DataFrame({"drops": [[0.5], np.array([0.5]), (0.7,)], "clip": [1.0, None, None]})
    rows = select(table, ["drops", "clip"])
    assert rows["drops"].tolist() == ["[0.5]", "[0.5]", "[0.7]"]
    assert matches(rows, {"clip": None}).tolist() == [False, True, True]
    assert matches(rows, {"clip": 1.0}).tolist() == [True, False, False]


def test_compared_values_can_be_sorted_and_null_is_one_of_them() -> None:
    clip = pd.Series([None, 0.1, 1.0])
    assert comparable(clip).tolist() == ["none", "0.1", "1"]
    assert comparable(pd.Series(["1", 1.0, 1], dtype=object)).tolist() == ["1", "1", "1"]
    for whole in (pd.Series([8, 20]), pd.Series([0.1, 1.0]), pd.Series([True, False]), pd.Series(["a", "b"])):
        assert comparable(whole).tolist() == whole.tolist()
    assert comparable(clip.iloc[:0]).empty


def test_cell_names_read_like_settings() -> None:
    cell = pd.Series({"depth": 110, "recipe": "isometric", "band": 1.02, "clip": None})
    assert cell_name(cell, ["depth", "recipe", "band", "clip"]) == "depth=110 isometric band=1.02 clip=none"
