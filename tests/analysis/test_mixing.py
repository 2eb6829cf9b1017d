"""No statistic puts rows of several settings together: it names what they differ in, whichever way it is asked."""

from collections.abc import Callable

import pandas as pd
import pytest
from confirmed_tables import confirm, table

from study.analysis import (
    answer,
    depth_curve,
    interquartile_means,
    loss_fits,
    paired_comparisons,
    paired_difference,
    trainability_limits,
    training_outcomes,
)

Statistic = Callable[[pd.DataFrame], object]

STATISTICS: dict[str, Statistic] = {
    "answer": answer,
    "depth_curve": depth_curve,
    "interquartile_means": interquartile_means,
    "loss_fits": loss_fits,
    "paired_comparisons": paired_comparisons,
    "trainability_limits": trainability_limits,
    "training_outcomes": training_outcomes,
    "paired_difference": lambda rows: paired_difference(
        rows, {"recipe": "a"}, {"recipe": "residual"}, on=("depth", "seed")
    ),
}


def run(**over: object) -> pd.DataFrame:
    """Two recipes at two depths, three seeds each."""
    cells = [confirm(depth, recipe, [0.9, 0.92, 0.94], **over) for depth in (8, 20) for recipe in ("a", "residual")]
    return table(*cells)


MIXTURES = {
    "two data sets": ("dataset (digits, fashion_mnist)", [run(), run(dataset="fashion_mnist")]),
    "three widths": ("width (8, 16, 32)", [run(width=8), run(width=16, seed=7), run(width=32, seed=9)]),
    "equal seeds, other settings": ("learning_rate (0.02, 0.1)", [run(), run(learning_rate=0.1)]),
    "set and unset": ("gradient_clip (none, 1.0)", [run(gradient_clip=None), run(gradient_clip=1.0)]),
    "lists": ("learning_rate_drops ([0.5], [0.5, 0.75])", [run(), run()]),
}


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_rows_that_differ_in_what_a_run_compared_are_refused_by_name(statistic: str, mixture: str) -> None:
    said, (first, *others) = MIXTURES[mixture]
    if mixture == "lists":
        first = first.assign(learning_rate_drops=[[0.5]] * len(first))
        others = [one.assign(learning_rate_drops=[[0.5, 0.75]] * len(one)) for one in others]
    rows = pd.concat([first, *others], ignore_index=True)
    with pytest.raises(ValueError, match="confirmed rows of ") as refusal:
        STATISTICS[statistic](rows)
    assert f" differ in {said}: their mean would be of no net that was trained." in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_rows_of_one_setting_are_no_mixture(statistic: str) -> None:
    again = run().assign(commit="later", host="elsewhere", trial_id="again", checkpoint_every_epochs=5)
    STATISTICS[statistic](pd.concat([run(), again.assign(seed=again["seed"] + 50)], ignore_index=True))
    searched = run(learning_rate=0.5, phase="search", dataset="cifar10")
    STATISTICS[statistic](pd.concat([run(), searched], ignore_index=True))


def test_what_is_named_is_kept_apart() -> None:
    rows = pd.concat([run(width=8), run(width=16)], ignore_index=True)
    axes = ("width", "depth", "recipe")
    assert depth_curve(rows, by=axes)["seeds"].tolist() == [3] * 8
    assert len(paired_comparisons(rows, within=("width", "depth"))) == 4
    assert answer(rows, by=axes).startswith("Of 8 cells, ")


def test_two_sides_on_different_images_are_not_compared() -> None:
    """Each cell is of one data set, but the cells that would be set beside each other are not."""
    rows = table(confirm(8, "a", [0.9, 0.92]), confirm(8, "b", [0.8, 0.82], dataset="fashion_mnist"))
    for statistic in (
        answer,
        paired_comparisons,
        lambda rows: paired_difference(rows, {"recipe": "a"}, {"recipe": "b"}),
    ):
        with pytest.raises(ValueError, match=r"differ in dataset \(digits, fashion_mnist\)"):
            statistic(rows)
    named = [{"recipe": recipe, "dataset": data} for recipe, data in (("a", "digits"), ("b", "fashion_mnist"))]
    assert paired_difference(rows, *named).n == 2
    assert len(paired_comparisons(rows.assign(recipe="a"), between="dataset")) == 1


def test_a_long_list_of_differences_is_cut() -> None:
    rows = pd.concat([run(width=k, momentum=k, epochs=k, steps=k, precision=k) for k in range(1, 7)])
    with pytest.raises(ValueError, match=r"width \(1, 2, 3, 4, \.\.\.\), momentum .*, \.\.\.: their mean"):
        depth_curve(rows)
