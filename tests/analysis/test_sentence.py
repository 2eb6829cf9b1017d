"""The sentence that answers a sweep: built from its numbers, never saying more than the table of pairs."""

import numpy as np
import pandas as pd
import pytest
from confirmed_tables import BASELINE, confirm, table

from study.analysis import answer, depth_curve, paired_comparisons


def test_answer_to_a_depth_sweep_is_built_from_its_numbers(trials: pd.DataFrame) -> None:
    assert answer(trials, BASELINE) == (
        "Of 3 plain recipes at depth 110, isometric has the highest mean: validation accuracy 0.960 [0.935, 0.985] "
        "over 3 seeds, which all trained (share that trains [0.29, 1.00]; activation slope 0.5); it is above residual "
        "(difference +0.003 [-0.011, +0.018] over 3 paired seeds) and above the linear baseline (0.850), with too few "
        "seeds for a verdict; at chance or diverged: he_l2 in 3 of 3 seeds (1 diverged), orthonormal in 3 of 3 seeds "
        "(3 diverged)."
    )


@pytest.mark.parametrize(
    ("rival", "verdict"),
    [
        ([0.80, 0.82, 0.83, 0.81, 0.80], "better than residual"),
        ([0.975, 0.985, 0.99, 0.985, 0.975], "worse than residual"),
        ([0.94, 0.96, 0.97, 0.96, 0.95], "not told apart from residual"),
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
    for seed in range(20, 40):  # in 37 there is a better one
        rows = noise(4, (20, 44), seed)
        pairs, text = paired_comparisons(rows), answer(rows)
        leader = depth_curve(rows).query("depth == 44").sort_values("mean", ascending=False)["recipe"].tolist()[:2]
        (verdict,) = pairs[(pairs["depth"] == 44) & pairs["a"].isin(leader) & pairs["b"].isin(leader)]["verdict"]
        assert (f"better than {leader[1]} " in text) == (verdict == f"{leader[0]} is better")
        assert (f"not told apart from {leader[1]} " in text) == (verdict == "not told apart")
        said.add(verdict.endswith("is better"))
    assert said == {True, False}


def test_where_nothing_differs_better_is_rarely_said_also_of_the_baseline() -> None:
    said = [answer(noise(6, (44,), 2 * seed), {"validation_accuracy": 0.9}) for seed in range(50)]
    assert sum("better than r" in text for text in said) <= 6
    assert sum("better than the linear" in text for text in said) <= 6


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
        "seeds, which all trained (share that trains [0.29, 1.00]; activation slope 0); the linear baseline has 0.850; "
        "at chance or diverged: he_l2 in 3 of 3 seeds"
    )


def test_any_part_of_a_depth_sweep_has_an_answer(trials: pd.DataFrame) -> None:
    one = answer(trials[(trials["depth"] == 8) & (trials["recipe"] == "he_l2")], BASELINE)
    assert one == (
        "The only plain recipe at depth 8, he_l2, has validation accuracy 0.950 [0.925, 0.975] over 3 seeds, which all "
        "trained (share that trains [0.29, 1.00]; activation slope 0); it is above the linear baseline (0.850), with "
        "too few seeds for a verdict."
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
        "over 3 seeds, which all trained (share that trains [0.29, 1.00]; activation slope 0.5); it is above "
        "dataset=digits depth=8 residual ("
    )
    one = trials[trials["cell"] == "he_l2-8"]
    assert answer(one, by=("regularizer",)).startswith("The only cell, regularizer=l2, has validation accuracy")
    assert answer(trials, by=()).startswith("Of 6 cells, cell=isometric-110 has the highest mean")


def test_many_cells_at_chance_are_counted_not_named() -> None:
    lost = [confirm(depth, "he_l2", [None, None]) for depth in (8, 14, 20, 26, 32, 38, 44)]
    text = answer(table(confirm(8, "fine", [0.9, 0.91]), *lost), by=("depth", "recipe", "dataset"))
    assert text.endswith("; at chance or diverged: 7 cells in some of their seeds.")


def test_the_nearest_neighbour_is_named_and_nothing_is_held_against_it(trials: pd.DataFrame) -> None:
    neighbor = {"validation_accuracy": 0.999, "test_accuracy": 0.998}
    assert answer(trials, BASELINE, neighbor) == answer(trials, BASELINE).replace(
        "the linear baseline (0.850)", "the linear baseline (0.850; the nearest neighbour has 0.999)"
    )
    assert "the nearest neighbour has 0.998" in answer(trials, BASELINE, neighbor, metric="test_accuracy")


def test_a_mean_is_of_the_seeds_that_trained_and_says_how_many_and_the_rank_counts_divergence() -> None:
    rows = table(
        confirm(44, "risky", [0.96, 0.97, 0.95, 0.96, None]), confirm(44, "safe", [0.70, 0.71, 0.72, 0.7, 0.7])
    )
    assert (
        "risky has the highest mean: validation accuracy 0.960 [0.947, 0.973] among the 4 of 5 seeds that trained, "
        "0.788 over all, diverged ones as chance (share that trains [0.28, 0.99]; activation slope 0); it is not told "
        "apart from safe (difference +0.082 [-0.392, +0.556] over 5 paired seeds, diverged ones as chance)"
    ) in answer(rows)
    assert "0.300 [0.052, 0.548] over 3 seeds, of which none trained (share that trains [0.00, 0.71]" in answer(
        table(confirm(44, "slow", [0.2, 0.3, 0.4]))
    )


def test_level_is_said_inside_the_margin_and_only_from_2000_images_on() -> None:
    near = [0.951, 0.9595, 0.9705, 0.961, 0.9495]
    rows = table(confirm(44, "isometric", [0.95, 0.96, 0.97, 0.96, 0.95]), confirm(44, "residual", near))
    assert "it is not told apart from residual (difference -0.000 [" in answer(rows)  # 270 images
    assert "it is level (within 0.01) with residual (difference" in answer(rows.assign(dataset="fashion_mnist"))
    assert "it is not told apart from residual" in answer(rows.assign(dataset="my own"))


def test_the_twin_with_the_leaders_activation_comes_first_and_the_relu_twin_beside_it() -> None:
    open_relu = {"norm_bias_init": 1.0}
    twins = (
        confirm(44, "residual", [0.96, 0.97, 0.96], norm_bias_init=0.0),
        confirm(44, "residual_leaky", [0.94, 0.95, 0.94], activation_slope=0.5, norm_bias_init=0.0),
        confirm(44, "residual_open", [0.95, 0.95, 0.94], **open_relu),
    )
    leaky = answer(table(confirm(44, "isometric", [0.9, 0.91, 0.92], norm_bias_init=0.0), *twins))
    assert 0 < leaky.index("below residual_leaky (") < leaky.index("below residual (")
    assert "residual_open" not in leaky
    opened = answer(table(confirm(44, "open_relu", [0.9, 0.91, 0.92], **open_relu), *twins))
    assert 0 < opened.index("below residual_open (") < opened.index("below residual (")
    plain = answer(table(confirm(44, "he_l2", [0.9, 0.91, 0.92], norm_bias_init=0.0), *twins))
    assert "it is below residual (" in plain
    assert "residual_leaky" not in plain
    lone = answer(table(confirm(44, "he_l2", [0.9, 0.91], norm_bias_init=0.0), twins[1]))
    assert "it is below residual_leaky (" in lone
