"""The answer in one plain line: by hand, and never more than the table of pairs says."""

import pandas as pd
import pytest
from confirmed_tables import confirm, search, table

from study.analysis.comparison import contrast_of
from study.analysis.curves import depth_curve
from study.analysis.headline import headline
from study.analysis.outcomes import training_outcomes
from study.analysis.sentence import Findings, pairs_of

GOOD, BETTER = [0.96, 0.97, 0.965, 0.972, 0.968], [0.985, 0.99, 0.984, 0.991, 0.988]


def said(trials: pd.DataFrame, axes: tuple[str, ...] = ("depth", "recipe")) -> str:
    contrast = contrast_of(trials, list(axes)) or ""
    pairs, outcomes = pairs_of(trials, axes, contrast or None), training_outcomes(trials, by=axes)
    return headline(Findings(trials, list(axes), contrast, depth_curve(trials, by=axes), pairs, outcomes))


@pytest.mark.parametrize(
    ("twin", "words"),
    [
        (GOOD[1:] + GOOD[:1], "not told apart from residual 0.967"),
        (BETTER, "worse than residual 0.988"),
        ([0.7, 0.712, 0.69, 0.72, 0.7], "better than residual 0.704"),
        ([0.95, 0.96, 0.955], "above residual 0.955, with too few seeds for a verdict"),
    ],
)
def test_who_trains_and_who_does_not_stands_in_one_line(twin: list[float | None], words: str) -> None:
    lost = [0.1, 0.1, None, 0.1, 0.1]
    rows = table(
        *(confirm(110, "orthonormal_modulated", GOOD), confirm(110, "residual", twin), confirm(110, "he_l2", lost)),
        *(confirm(110, "orthonormal", lost), confirm(110, "open_relu", [*GOOD[:4], 0.1]), confirm(8, "he_l2", BETTER)),
    )
    assert said(rows) == (
        f"orthonormal_modulated trains at 110 layers: 0.967, {words}; open_relu in 4 of 5 seeds; "
        "he_l2 and orthonormal do not."
    )


def test_where_no_plain_net_trains_the_twins_that_do_are_named() -> None:
    rows = table(confirm(110, "he_l2", [0.1, None, 0.1]), confirm(110, "residual", GOOD[:3]))
    assert said(rows) == "No plain net trains at 110 layers; residual trains."


def test_many_cells_are_counted() -> None:
    cells = [confirm(20, f"r{number}", [0.9 - number / 100] * 3) for number in range(8)]
    assert said(table(*cells)).endswith("; 6 others train too.")


def test_other_axes_name_their_cells_and_a_lone_net_is_the_net() -> None:
    widths = [confirm(20, "he_l2", GOOD, width=width, cell=f"w{width}") for width in (8, 16)]
    rows = table(*widths)
    rows.loc[rows["width"] == 16, "val_accuracy"] = BETTER
    assert said(rows, ("width",)) == "width=16 trains: 0.988, better than width=8 0.967."
    assert said(rows[rows["width"] == 8], ("depth",)) == "The net trains at 20 layers: 0.967."


def test_before_a_confirmation_it_says_what_the_search_has_found() -> None:
    assert said(table(search(110, "he_l2", [0.5, None]))) == (
        "Nothing is confirmed yet: 2 search trials finished; the best reached validation accuracy 0.500, on one seed."
    )
