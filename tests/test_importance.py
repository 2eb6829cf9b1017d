"""Properties of study.analysis.importance on searches whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest

from study.analysis.importance import importances

BOX = {"name": "FloatDistribution", "low": 0.001, "high": 1.0, "log": True, "step": None}


def search(n: int, seed: int = 0) -> pd.DataFrame:
    """A search where the learning rate decides, the strength is noise and depth matters a little."""
    generator = np.random.default_rng(seed)
    rate, strength = 10 ** generator.uniform(-3, 0, (2, n))
    depth = generator.choice([8, 110], n)
    accuracy = 0.8 + 0.05 * np.log10(rate) - 0.0001 * depth
    fixed = {
        "phase": "search",
        "status": "ok",
        "num_classes": 10,
        "dataset": "digits",
        "cell": [f"depth={d}" for d in depth],
    }
    columns = {"depth": depth, "learning_rate": rate, "strength": strength, "val_accuracy": accuracy}
    return pd.DataFrame(columns).assign(**fixed)


SPACES = {f"depth={depth}": {"learning_rate": BOX, "strength": BOX} for depth in (8, 110)}


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return importances(search(80), SPACES, axes=["depth"], generator=np.random.default_rng(0))


def test_both_methods_name_what_decided_and_sum_to_one(found: pd.DataFrame) -> None:
    for _, one in found.groupby("method"):
        assert one["importance"].sum() == pytest.approx(1.0)
        assert one.set_index("field")["importance"].idxmax() == "learning_rate"
    assert set(found["method"]) == {"fanova", "ped_anova"}
    assert set(found["field"]) == {"depth", "learning_rate", "strength"}


def test_fanova_is_the_share_of_variance(found: pd.DataFrame) -> None:
    # variance of 0.05 u, u uniform on [-3, 0]: 0.05^2 * 9 / 12; of 0.0001 depth on {8, 110}: (0.0102 / 2)^2.
    rate, depth = 0.05**2 * 0.75, 0.0051**2
    shares = found[found["method"] == "fanova"].set_index("field")["importance"]
    assert shares["learning_rate"] == pytest.approx(rate / (rate + depth), abs=0.03)
    assert shares["strength"] < 0.03


def test_intervals_hold_the_estimate(found: pd.DataFrame) -> None:
    assert (found["low"] <= found["importance"]).all()
    assert (found["importance"] <= found["high"]).all()
    assert (found["high"] > found["low"]).any()


def test_the_same_generator_gives_the_same_table() -> None:
    one, two = (importances(search(30), SPACES, axes=["depth"], generator=np.random.default_rng(1)) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_a_field_that_few_cells_search_has_a_scope_of_its_own() -> None:
    rows = search(60)
    rows["band"] = np.where(rows["depth"] == 110, rows["strength"], 1.02)
    spaces = {"depth=8": SPACES["depth=8"], "depth=110": {**SPACES["depth=110"], "band": BOX}}
    found = importances(rows, spaces, axes=["depth"])
    assert set(found.loc[found["scope"] == "all trials", "field"]) == {"depth", "learning_rate", "strength"}
    few = found[found["scope"] == "trials that search band"]
    assert set(few["field"]) == {"learning_rate", "strength", "band"}
    assert few["trials"].eq((rows["depth"] == 110).sum()).all()


def test_a_null_is_a_choice_of_a_compared_field() -> None:
    rows = search(60)
    clipped = rows.assign(clip=rows["depth"].map({8: None, 110: 1.0}), val_accuracy=rows["val_accuracy"] - 0.1)
    named = clipped.assign(clip=clipped["clip"].map(lambda clip: "none" if pd.isna(clip) else "1"))
    found, oracle = (
        importances(one, SPACES, axes=["clip"], generator=np.random.default_rng(1)) for one in (clipped, named)
    )
    pd.testing.assert_frame_equal(found, oracle)
    assert "clip" in set(found["field"])


def test_too_little_to_say_is_an_empty_table() -> None:
    assert importances(search(5), SPACES, axes=["depth"]).empty
    assert importances(search(40).assign(val_accuracy=0.9), SPACES, axes=["depth"]).empty
    assert importances(search(40).iloc[:0], SPACES, axes=["depth"]).empty
    failed = search(40).assign(status="failed", val_accuracy=math.nan)
    assert importances(failed, SPACES, axes=["depth"]).empty


def test_a_choice_of_many_values_takes_no_longer_than_one_of_few() -> None:
    """The time of fANOVA is exponential in the number of choices: 21 recipes never came to an end."""
    names = [f"recipe {number:02}" for number in range(21)]
    rows = search(84).assign(recipe=names * 4, cell=[f"recipe={name}" for name in names] * 4)
    rows = rows.assign(val_accuracy=rows["recipe"].str[-2:].astype(float) / 30)
    spaces = {f"recipe={name}": {"learning_rate": BOX} for name in names}
    found = importances(rows, spaces, axes=["recipe"], generator=np.random.default_rng(0))
    assert found.set_index(["method", "field"])["importance"]["fanova", "recipe"] > 0.8
