"""Properties of study.analysis.tuning on small searches."""

import pandas as pd
import pytest

from study.analysis.tuning import best_settings, box_edges, isolation_curves, known_point_wins


def search(**columns: list[object]) -> pd.DataFrame:
    """Finished search trials; trial_id counts."""
    n = len(columns["val_accuracy"])
    fixed = {"phase": "search", "status": "ok", "trial_id": [f"t{k}" for k in range(n)]}
    return pd.DataFrame({**fixed, **columns})


BOX = {"name": "FloatDistribution", "low": 0.01, "high": 1.0, "log": True, "step": None}


def test_isolation_takes_the_best_whatever_the_rest_was() -> None:
    rows = search(
        depth=[8, 8, 20, 20], recipe=list("abab"), val_accuracy=[0.7, 0.9, 0.8, 0.6], learning_rate=[0.1, 0.2, 0.3, 0.4]
    )
    curves = isolation_curves(rows, axes=["depth", "recipe"], knobs=["learning_rate"])
    assert curves["axis"].tolist() == ["depth", "depth", "recipe", "recipe"]
    assert curves["value"].tolist() == ["8", "20", "a", "b"]
    assert curves["val_accuracy"].tolist() == [0.9, 0.8, 0.8, 0.9]
    assert curves["trial_id"].tolist() == ["t1", "t2", "t2", "t1"]
    assert curves["learning_rate"].tolist() == [0.2, 0.3, 0.3, 0.2]
    assert curves["trials"].tolist() == [2, 2, 2, 2]
    apart = isolation_curves(rows, axes=["depth"], knobs=[], others=["recipe"])
    assert apart["val_accuracy"].tolist() == [0.7, 0.9, 0.8, 0.6]


def test_unfinished_and_confirmed_trials_do_not_count() -> None:
    rows = search(depth=[8, 8, 8], val_accuracy=[0.7, 0.9, None])
    rows["status"] = ["ok", "pruned", "diverged"]
    assert isolation_curves(rows, axes=["depth"], knobs=[])["val_accuracy"].tolist() == [0.7]
    assert isolation_curves(rows.assign(phase="confirm"), axes=["depth"], knobs=[]).empty


@pytest.mark.parametrize(
    ("value", "side", "following"), [(0.012, "low", (0.001, 0.1)), (0.9, "high", (0.1, 10.0)), (0.05, None, None)]
)
def test_a_best_point_on_the_edge_is_pointed_out_with_the_next_range(
    value: float, side: str | None, following: tuple[float, float] | None
) -> None:
    rows = search(cell=["c", "c"], val_accuracy=[0.9, 0.5], learning_rate=[value, 0.1])
    edges = box_edges(rows, {"c": {"learning_rate": BOX}})
    assert edges["side"].tolist() == ([side] if side else [])
    if following:
        assert (edges["next_low"][0], edges["next_high"][0]) == pytest.approx(following)
        assert edges["trials"][0] == 2


def test_a_linear_box_moves_linearly_and_choices_have_no_edge() -> None:
    rows = search(cell=["c"], val_accuracy=[0.9], band=[1.1], optimizer=["sgd"])
    spaces = {
        "c": {"band": {"low": 1.0, "high": 1.1, "log": False}, "optimizer": {"choices": ["sgd", "lars"]}},
    }
    edges = box_edges(rows, spaces)
    assert edges["field"].tolist() == ["band"]
    assert (edges["next_low"][0], edges["next_high"][0]) == pytest.approx((1.05, 1.15))
    point = {"c": {"band": {"low": 1.1, "high": 1.1, "log": False}}}
    assert box_edges(rows, point).empty


def test_best_settings_show_the_best_and_all_as_good_as_it() -> None:
    rows = search(
        depth=[8, 8, 8, 20, 20],
        val_accuracy=[0.95, 0.945, 0.5, 0.7, 0.9],
        learning_rate=[0.1, 0.3, 0.001, 0.02, 0.01],
    )
    found = best_settings(rows, by=["depth"], knob="learning_rate")
    assert found["best"].tolist() == [0.1, 0.01]
    assert found["least"].tolist() == [0.1, 0.01]
    assert found["most"].tolist() == [0.3, 0.01]
    assert found["near"].tolist() == [2, 1]


def test_the_known_point_wins_where_no_rival_is_better() -> None:
    """Cell a: beaten; b: it ties; c: its only rival diverged; d: it diverged itself; e: it wins."""
    rows = search(
        cell=list("aabbccddde" + "ee"), val_accuracy=[0.7, 0.9, 0.8, 0.8, 0.5, None, None, 0.6, 0.7, 0.9, 0.8, 0.7]
    )
    number = rows.groupby("cell").cumcount().astype(str)
    rows = rows.assign(trial_id="run:" + rows["cell"] + ":search:" + number)
    rows["status"] = rows["status"].mask(rows["val_accuracy"].isna(), "diverged")
    assert known_point_wins(rows) == (2, 4)
    assert known_point_wins(rows.head(0)) == (0, 0)


def test_nothing_lies_beyond_the_fields_own_range() -> None:
    band = {"c": {"modulation_band": {"low": 1.0, "high": 1.1, "log": False}}}
    lowest = search(cell=["c"], val_accuracy=[0.9], modulation_band=[1.0])
    assert box_edges(lowest, band).empty
    inner = {"c": {"modulation_band": {"low": 1.02, "high": 1.1, "log": False}}}
    found = box_edges(search(cell=["c"], val_accuracy=[0.9], modulation_band=[1.021]), inner)
    assert (found["next_low"][0], found["next_high"][0]) == pytest.approx((1.0, 1.06))
