"""Properties of study.analysis.comparison: by hand, against SciPy, and coverage by simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.analysis.comparison import (
    MARGIN,
    holm,
    interquartile_mean,
    interquartile_means,
    paired_comparisons,
    win_probability,
)


def table(depth: int = 8, **accuracies: list[float]) -> pd.DataFrame:
    """Confirmed seeds: `isometric=[0.9, 0.8]`; a null diverged."""
    rows = [
        {"recipe": recipe, "depth": depth, "seed": seed, "val_accuracy": accuracy}
        | {"status": "ok" if not math.isnan(accuracy) else "diverged"}
        for recipe, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    fixed = {"phase": "confirm", "num_classes": 10, "dataset": "digits", "architecture": "plain"}
    return pd.DataFrame(rows).assign(**fixed, activation_slope=0.0, learning_rate=0.1)


A, B = [0.95, 0.96, 0.97, 0.94, 0.96], [0.90, 0.93, 0.91, 0.92, 0.90]


def test_a_comparison_is_scipys_paired_t_test_with_the_better_side_first() -> None:
    row = paired_comparisons(table(worse=B, better=A)).iloc[0]
    oracle = stats.ttest_rel(A, B)
    interval = oracle.confidence_interval()
    assert (row["a"], row["b"], row["pairs"]) == ("better", "worse", 5)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(
        (np.mean(A) - np.mean(B), interval.low, interval.high)
    )
    assert (row["p_value"], row["holm"]) == pytest.approx((oracle.pvalue, oracle.pvalue))


def test_a_verdict_needs_both_intervals() -> None:
    clear = paired_comparisons(table(worse=[0.9] * 5, better=[0.95, 0.96, 0.94, 0.955, 0.945])).iloc[0]
    assert min(clear["low"], clear["bootstrap_low"]) > 0
    assert clear["verdict"] == "better is better"
    few_values = paired_comparisons(table(worse=B, better=A)).iloc[0]  # three of five differences are 0.06 or 0.05
    assert few_values["low"] > 0 > few_values["bootstrap_low"]
    assert few_values["holm"] < 0.05
    assert few_values["verdict"] == "not told apart"


def test_a_verdict_needs_five_pairs() -> None:
    row = paired_comparisons(table(worse=B[:4], better=A[:4])).iloc[0]
    assert row["low"] > 0
    assert row["verdict"] == "none: under 5 pairs"


def test_a_verdict_needs_to_survive_the_correction() -> None:
    a, b = A, [0.93, 0.95, 0.94, 0.93, 0.94]
    alone = paired_comparisons(table(a=a, b=b))
    assert alone["verdict"].tolist() == ["a is better"]
    others = [table(depth, a=a, b=list(reversed(a))) for depth in range(20, 32)]
    among = paired_comparisons(pd.concat([table(a=a, b=b), *others]))
    assert among["low"].iloc[0] > 0
    assert among["verdict"].iloc[0] == "not told apart"


def test_no_spread_no_pairs_and_failures() -> None:
    same = paired_comparisons(table(a=[0.9] * 5, b=[0.8] * 5)).iloc[0]
    assert math.isnan(same["holm"])
    assert same["verdict"] == "the same difference in every seed"
    apart = pd.concat([table(a=[0.9]), table(b=[0.8]).assign(seed=7)])
    assert paired_comparisons(apart)["verdict"].tolist() == ["no equal seeds"]
    failed = paired_comparisons(table(a=A, b=[math.nan] * 5)).iloc[0]
    assert failed["difference"] == pytest.approx(np.mean(A) - 0.1)
    assert paired_comparisons(table(a=A).iloc[:0]).empty


def test_every_pair_at_every_depth_once() -> None:
    rows = pd.concat([table(8, a=A, b=B, c=A), table(20, a=A, c=B)])
    found = paired_comparisons(rows)
    assert len(found) == 4
    assert found["depth"].tolist() == [8, 8, 8, 20]


def test_a_null_is_compared_like_any_other_value() -> None:
    rows = pd.concat([table(a=A).assign(clip=None), table(a=B).assign(clip=0.1), table(a=A[::-1]).assign(clip=1.0)])
    for between, within in (("clip", ["depth"]), ("recipe", ["clip"])):
        named = rows.assign(clip=rows["clip"].map(lambda clip: "none" if pd.isna(clip) else f"{clip:g}"))
        found, oracle = (paired_comparisons(one, between=between, within=within) for one in (rows, named))
        numbers = ["difference", "low", "high", "p_value", "pairs"]
        pd.testing.assert_frame_equal(found[numbers], oracle[numbers])
    assert len(paired_comparisons(rows, between="clip")) == 3


def test_holm_by_hand_keeps_order_and_unknowns() -> None:
    # 0.01 * 4, max(0.04, 0.02 * 3), max(0.06, 0.03 * 2), 0.9 * 1.
    assert holm(np.array([0.02, math.nan, 0.01, 0.9, 0.03])) == pytest.approx(
        [0.06, math.nan, 0.04, 0.9, 0.06], nan_ok=True
    )
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]


def test_holm_rejects_true_hypotheses_in_one_family_of_twenty() -> None:
    generator = np.random.default_rng(0)
    families = [stats.ttest_1samp(generator.normal(size=(6, 12)), 0.0, axis=0).pvalue for _ in range(600)]
    assert np.mean([(holm(family) < 0.05).any() for family in families]) <= 0.08


def test_win_probability_is_wilsons_interval_with_ties_as_halves() -> None:
    found = win_probability(np.array([1.0, 2.0, 3.0, 4.0, -1.0]))
    oracle = stats.binomtest(4, 5).proportion_ci(method="wilson")
    assert found == pytest.approx((0.8, oracle.low, oracle.high, 5))
    assert win_probability(np.array([0.0, 0.0])).mean == 0.5
    sure = win_probability(np.ones(5))
    assert (sure.mean, sure.high) == (1.0, pytest.approx(1.0))
    assert sure.low == pytest.approx(stats.binomtest(5, 5).proportion_ci(method="wilson").low)


@pytest.mark.parametrize(("n", "shift"), [(5, 0.3), (12, 1.0)])
def test_the_interval_of_a_win_covers(n: int, shift: float) -> None:
    generator, truth = np.random.default_rng(n), float(stats.norm.cdf(shift))
    found = [win_probability(generator.normal(shift, 1.0, n)) for _ in range(1_000)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.92


def test_interquartile_mean_by_hand() -> None:
    # of 0.1 .. 0.8 the middle four are 0.3, 0.4, 0.5, 0.6
    samples = [np.array([0.1, 0.8, 0.3, 0.6]), np.array([0.2, 0.7, 0.5, 0.4])]
    found = interquartile_mean(samples)
    assert (found.mean, found.n) == (pytest.approx(0.45), 8)
    wider = interquartile_mean([np.linspace(0.1, 0.8, 5), np.linspace(0.2, 0.7, 5)])
    assert wider.low < wider.mean < wider.high
    assert math.isnan(interquartile_mean([np.array([0.5])]).low)
    assert interquartile_mean([]).n == 0


@pytest.mark.parametrize(("strata", "n"), [(1, 5), (1, 10), (4, 5), (4, 10)])
def test_interquartile_intervals_cover(strata: int, n: int) -> None:
    generator = np.random.default_rng(n)
    depths = (0.9, 0.88, 0.86, 0.84)[:strata]
    truth = stats.trim_mean(np.concatenate([generator.normal(mean, 0.03, 200_000) for mean in depths]), 0.25)
    covered = []
    for _ in range(250):
        low, high = interquartile_mean([generator.normal(mean, 0.03, n) for mean in depths], generator)[1:3]
        covered.append(low <= truth <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_below_five_seeds_a_cell_an_interquartile_mean_has_no_interval(n: int) -> None:
    """Its bootstrap would cover .61, .81 and .91 at n = 2, 3 and 4."""
    found = interquartile_mean([np.linspace(0.9, 0.95, n), np.linspace(0.8, 0.85, 9)])
    assert math.isnan(found.low)
    assert not math.isnan(found.mean)


def level_pairs(differences: np.ndarray) -> pd.DataFrame:
    """The table for rows of paired differences, (simulations, n), each at a depth of its own; on Fashion-MNIST."""
    tables = [table(depth, a=list(0.9 + row), b=[0.9] * len(row)) for depth, row in enumerate(differences)]
    return paired_comparisons(pd.concat(tables, ignore_index=True).assign(dataset="fashion_mnist"))


def is_level(differences: np.ndarray) -> float:
    """The share of simulations, (simulations, n), whose 90 % interval lies within the margin."""
    n = differences.shape[1]
    half = stats.t.ppf(0.95, n - 1) * differences.std(axis=1, ddof=1) / math.sqrt(n)
    return float(np.mean(np.abs(differences.mean(axis=1)) + half < MARGIN))


def test_a_difference_as_large_as_the_margin_is_called_level_one_time_in_20() -> None:
    """.05 of normal values at any spread, .04 of heavy tails (t3), .12 of a long tail upwards (gamma 2), at n = 5."""
    generator = np.random.default_rng(0)
    for spread, most in ((0.002, 0.055), (0.01, 0.055), (0.02, 0.02)):
        assert is_level(MARGIN + spread * generator.normal(size=(20_000, 5))) <= most
    assert is_level(MARGIN + 0.005 * generator.standard_t(3, size=(20_000, 5)) / math.sqrt(3)) <= 0.05
    assert is_level(MARGIN + 0.005 * (generator.gamma(2, size=(20_000, 5)) - 2) / math.sqrt(2)) <= 0.13
    assert is_level(0.005 * generator.normal(size=(20_000, 5))) >= 0.93  # and with no difference it is found


def test_the_verdict_level_is_that_test() -> None:
    differences = np.random.default_rng(1).normal(0.0, 0.008, size=(40, 5))
    found = level_pairs(differences)
    level = found["verdict"] == "level within 0.01"
    assert level.mean() == pytest.approx(is_level(differences))
    assert 0.1 < level.mean() < 0.9
    assert set(found["verdict"]) == {"level within 0.01", "not told apart"}
    oracle = stats.ttest_1samp(np.abs(differences[0].mean()) / differences[0].mean() * differences[0], 0.0)
    interval = oracle.confidence_interval(0.90)
    assert found.loc[0, ["level_low", "level_high"]].tolist() == pytest.approx([interval.low, interval.high])


def test_level_needs_five_pairs_2000_images_and_a_known_set() -> None:
    a, b = [0.95, 0.96, 0.97, 0.96, 0.95], [0.951, 0.9595, 0.9705, 0.961, 0.9495]
    fashion = table(a=a, b=b).assign(dataset="fashion_mnist", test_accuracy=[*a, *b])

    def verdict(rows: pd.DataFrame, **options: object) -> str:
        return str(paired_comparisons(rows, **options)["verdict"].iloc[0])

    assert verdict(fashion) == "level within 0.01"
    assert verdict(fashion, metric="test_accuracy") == "level within 0.01"
    assert verdict(fashion, margin=0.0005) == "not told apart"
    assert verdict(fashion[fashion["seed"] < 4]) == "none: under 5 pairs"
    for dataset in ("digits", "imagefolder", "my own"):  # 270 images; as many as the user has; unknown
        assert verdict(fashion.assign(dataset=dataset)) == "not told apart"


def test_the_images_own_error_is_binomial() -> None:
    row = paired_comparisons(table(a=[0.95] * 5, b=[0.90] * 5)).iloc[0]
    assert row["images"] == 270
    assert row["image_error"] == pytest.approx(1.96 * math.sqrt((0.95 * 0.05 + 0.9 * 0.1) / 270), rel=1e-3)
    generator = np.random.default_rng(0)
    found = np.abs(generator.binomial(270, 0.95, 4_000) / 270 - generator.binomial(270, 0.9, 4_000) / 270 - 0.05)
    assert np.mean(found <= row["image_error"]) == pytest.approx(0.95, abs=0.01)
    assert math.isnan(paired_comparisons(table(a=A, b=B).assign(dataset="my own"))["image_error"].iloc[0])


def test_interquartile_means_by_recipe() -> None:
    rows = pd.concat([table(8, a=A, b=B), table(20, a=B, b=B)])
    found = interquartile_means(rows).set_index("recipe")
    assert found.loc["a", "mean"] == pytest.approx(stats.trim_mean(A + B, 0.25))
    assert found["seeds"].tolist() == [10, 10]


def test_interquartile_means_are_over_the_depths_that_every_recipe_has() -> None:
    """A recipe that was also tried deeper, where it does worse, does not fall behind for it."""
    rows = pd.concat([table(8, a=A, b=B), table(200, a=[0.1] * 5), table(20, a=B, b=A)])
    found, oracle = interquartile_means(rows), interquartile_means(rows[rows["depth"] != 200])
    pd.testing.assert_frame_equal(found, oracle)
    assert found["points"].tolist() == [2, 2]
    assert interquartile_means(pd.concat([table(8, a=A), table(20, b=B)])).empty
    assert interquartile_means(table(8, a=A, b=B), strata=())["points"].tolist() == [1, 1]
