"""Properties of study.analysis.curves on small tables whose numbers are known by hand or from SciPy."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.analysis.comparison import paired_comparisons
from study.analysis.curves import axes_of, baseline_accuracy, best_of_each_cell, depth_curve, paired_difference
from study.analysis.sentence import answer

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


@pytest.fixture
def trials() -> pd.DataFrame:
    """Two depths, four recipes: at 110 isometric and residual train, he_l2 does not, orthonormal diverges."""
    return table(
        confirm(8, "he_l2", [0.94, 0.95, 0.96]),
        confirm(8, "residual", [0.95, 0.95, 0.97]),
        confirm(110, "he_l2", [0.09, 0.11, None]),
        confirm(110, "isometric", [0.95, 0.96, 0.97]),
        confirm(110, "orthonormal", [None, None, None]),
        confirm(110, "residual", [0.94, 0.96, 0.97]),
        search(110, "orthonormal", [None, 0.3]),
    )


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


@pytest.mark.parametrize("by", [("dataset",), ("dataset", "regularizer"), ("activation_slope", "depth"), ("cell",)])
def test_any_column_is_an_axis(trials: pd.DataFrame, by: tuple[str, ...]) -> None:
    curve = depth_curve(trials, by=by)
    assert axes_of(curve) == list(by)
    assert len(curve) == len(trials.loc[trials["phase"] == "confirm", list(by)].drop_duplicates())


def test_pooled_rows_are_averaged_by_seed_and_share_only_what_is_equal(trials: pd.DataFrame) -> None:
    pooled = depth_curve(trials, by=("recipe",)).set_index("recipe").loc["residual"]
    assert pooled["seeds"] == 3
    assert pooled["mean"] == pytest.approx(np.mean([0.945, 0.955, 0.97]))
    assert depth_curve(trials, by=("depth",))["activation_slope"].isna().tolist() == [False, True]


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


def test_paired_difference_counts_failures_as_chance_and_only_equal_seeds() -> None:
    rows = table(confirm(8, "a", [0.9, 0.8, 0.7]), confirm(8, "b", [None, 0.8]), confirm(20, "c", [0.5], seed=7))
    difference = paired_difference(rows, {"recipe": "a"}, {"recipe": "b"})
    assert (difference.mean, difference.n) == (pytest.approx(0.4), 2)
    nothing = paired_difference(rows, {"recipe": "a"}, {"recipe": "c"})
    assert nothing.n == 0
    assert math.isnan(nothing.mean)


def test_ambiguous_pairs_are_refused_and_more_columns_settle_them(trials: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="several rows with equal seed"):
        paired_difference(trials, {"recipe": "he_l2"}, {"recipe": "residual"})
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


def test_answer_to_a_depth_sweep_is_built_from_its_numbers(trials: pd.DataFrame) -> None:
    assert answer(trials, BASELINE) == (
        "Of 3 plain recipes at depth 110, isometric has the highest mean: validation accuracy 0.960 [0.935, 0.985] "
        "over 3 seeds (activation slope 0.5); it is above residual (difference +0.003 [-0.011, +0.018] over 3 "
        "paired seeds) and above the linear baseline (0.850), with too few seeds for a verdict; at chance or diverged: "
        "he_l2 in 3 of 3 seeds (1 diverged or failed), orthonormal in 3 of 3 seeds (3 diverged or failed)."
    )


@pytest.mark.parametrize(
    ("rival", "verdict"),
    [
        ([0.80, 0.82, 0.83, 0.81, 0.80], "better than residual"),
        ([0.975, 0.985, 0.99, 0.985, 0.975], "worse than residual"),
        ([0.94, 0.96, 0.97, 0.96, 0.95], "not distinguishable from residual"),
        ([0.85, 0.86, 0.87, 0.86, 0.85], "higher, by the same amount in every seed, than residual"),
    ],
)
def test_verdicts_follow_the_interval_of_the_paired_difference(rival: list[float | None], verdict: str) -> None:
    rows = table(confirm(44, "isometric", [0.95, 0.96, 0.97, 0.96, 0.95]), confirm(44, "residual", rival))
    assert f"it is {verdict} (difference " in answer(rows)


def noise(recipes: int, depths: tuple[int, ...], seed: int) -> pd.DataFrame:
    """Confirmed cells that differ by luck alone, and a little in truth where the seed is odd."""
    generator = np.random.default_rng(seed)
    return table(
        *(
            confirm(depth, f"r{k}", list(np.clip(generator.normal(0.9 + 0.01 * k * (seed % 2), 0.01, 5), 0, 0.999)))
            for depth in depths
            for k in range(recipes)
        )
    )


def test_the_sentence_says_better_exactly_where_the_corrected_table_does() -> None:
    said = set()
    for seed in range(60):
        rows = noise(4, (20, 44), seed)
        pairs, text = paired_comparisons(rows), answer(rows)
        leader = depth_curve(rows).query("depth == 44").sort_values("mean", ascending=False)["recipe"].tolist()[:2]
        (verdict,) = pairs[(pairs["depth"] == 44) & pairs["a"].isin(leader) & pairs["b"].isin(leader)]["verdict"]
        assert (f"better than {leader[1]} " in text) == (verdict == f"{leader[0]} is better")
        assert (f"not distinguishable from {leader[1]} " in text) == (verdict == "not distinguishable")
        said.add(verdict.endswith("is better"))
    assert said == {True, False}


def test_where_nothing_differs_better_is_rarely_said_also_of_the_baseline() -> None:
    said = [answer(noise(6, (44,), 2 * seed), {"validation_accuracy": 0.9}) for seed in range(100)]
    assert sum("better than r" in text for text in said) <= 8
    assert sum("better than the linear" in text for text in said) <= 8


def test_cells_that_the_table_does_not_pair_get_no_verdict() -> None:
    rows = table(
        confirm(20, "a", [0.95, 0.96, 0.94, 0.955, 0.945]), confirm(44, "a", [0.9] * 5), confirm(44, "b", [0.5] * 5)
    )
    text = answer(rows.assign(width=8), by=("width", "depth", "recipe"))
    assert "it is above width=8 depth=44 a (difference" in text
    assert "over 5 paired seeds; no verdict, for they differ in depth)" in text
    assert "too few seeds" not in text


def test_one_seed_allows_no_verdict() -> None:
    text = answer(table(confirm(44, "isometric", [0.95]), confirm(44, "residual", [0.2])), BASELINE)
    assert "validation accuracy 0.950 over 1 seed" in text
    assert "above residual (difference +0.750 over 1 paired seed)" in text
    assert "above the linear baseline (0.850), with too few seeds for a verdict" in text
    assert "better" not in text


def test_the_next_plain_recipe_stands_beside_the_leader() -> None:
    rows = table(confirm(44, "a", [0.9, 0.91, 0.95]), confirm(44, "b", [0.9, 0.92, 0.93]))
    assert "it is above b (difference" in answer(rows)


def test_recipes_without_equal_seeds_are_not_compared() -> None:
    rows = table(confirm(44, "isometric", [0.9, 0.8]), [row | {"seed": 1} for row in confirm(44, "residual", [0.7])])
    assert "without equal seeds to compare with residual" in answer(rows)


def test_all_diverged_is_said_plainly(trials: pd.DataFrame) -> None:
    lost = trials[trials["recipe"].isin(["he_l2", "orthonormal", "residual"])]
    assert answer(lost, BASELINE).startswith(
        "No plain recipe leaves chance at depth 110; residual has validation accuracy 0.957 [0.919, 0.995] over 3 "
        "seeds (activation slope 0); the linear baseline has 0.850; at chance or diverged: he_l2 in 3 of 3 seeds"
    )


def test_any_part_of_a_depth_sweep_has_an_answer(trials: pd.DataFrame) -> None:
    one = answer(trials[(trials["depth"] == 8) & (trials["recipe"] == "he_l2")], BASELINE)
    assert one == (
        "The only plain recipe at depth 8, he_l2, has validation accuracy 0.950 [0.925, 0.975] over 3 seeds "
        "(activation slope 0); it is above the linear baseline (0.850), with too few seeds for a verdict."
    )
    no_plain = answer(trials[trials["recipe"] == "residual"])
    assert no_plain.startswith("No plain recipe is confirmed at depth 110; residual has validation accuracy 0.957")
    unfinished = answer(trials[~((trials["recipe"] == "orthonormal") & (trials["phase"] == "confirm"))])
    assert unfinished.endswith("; not confirmed yet: depth=110 orthonormal.")
    assert "test accuracy 0.960" in answer(trials, BASELINE, metric="test_accuracy")


def test_nothing_confirmed_yet_is_said_with_the_search_so_far(trials: pd.DataFrame) -> None:
    assert answer(trials[trials["phase"] == "search"], BASELINE) == (
        "Nothing is confirmed yet: 2 search trials finished; the best reached validation accuracy 0.300, on one seed."
    )
    assert answer(pd.DataFrame()) == "Nothing is confirmed yet: 0 search trials finished."


def test_other_axes_get_the_general_sentence(trials: pd.DataFrame) -> None:
    text = answer(trials, by=("dataset", "depth", "recipe"))
    assert text.startswith(
        "Of 6 cells, dataset=digits depth=110 isometric has the highest mean: validation accuracy 0.960 [0.935, 0.985] "
        "over 3 seeds (activation slope 0.5); it is above dataset=digits depth=8 residual ("
    )
    assert answer(trials, by=("regularizer",)).startswith("The only cell, regularizer=l2, has validation accuracy")
    assert answer(trials, by=()).startswith("Of 6 cells, cell=isometric-110 has the highest mean")


def test_many_cells_at_chance_are_counted_not_named() -> None:
    lost = [confirm(depth, "he_l2", [None, None]) for depth in (8, 14, 20, 26, 32, 38, 44)]
    text = answer(table(confirm(8, "fine", [0.9, 0.91]), *lost), by=("depth", "recipe", "dataset"))
    assert text.endswith("; at chance or diverged: 7 cells in some of their seeds.")


def test_ten_thousand_trials_take_under_three_seconds() -> None:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(confirm(8, "he_l2", [0.9] * 10))
    many = pd.concat([rows] * 1_000, ignore_index=True)
    many = many.assign(depth=np.repeat(np.arange(1_000), 10), val_accuracy=generator.uniform(0.8, 1.0, 10_000))
    started = time.monotonic()
    assert len(depth_curve(many)) == 1_000
    assert time.monotonic() - started < 3.0


def test_the_nearest_neighbour_is_named_and_nothing_is_held_against_it(trials: pd.DataFrame) -> None:
    neighbor = {"validation_accuracy": 0.999, "test_accuracy": 0.998}
    assert answer(trials, BASELINE, neighbor) == answer(trials, BASELINE).replace(
        "the linear baseline (0.850)", "the linear baseline (0.850; the nearest neighbour has 0.999)"
    )
    assert "the nearest neighbour has 0.998" in answer(trials, BASELINE, neighbor, metric="test_accuracy")
