"""Properties of study.analysis.importance on searches whose answer is known."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.analysis import importance, search_table
from study.analysis.importance import importances
from study.report.opened_run import open_run

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "joint_search-quick"

BOX = {"name": "FloatDistribution", "low": 0.001, "high": 1.0, "log": True, "step": None}


def search(n: int, seed: int = 0) -> pd.DataFrame:
    """A search where the learning rate decides, the strength is noise and depth matters a little."""
    generator = np.random.default_rng(seed)
    rate, strength = 10 ** generator.uniform(-3, 0, (2, n))
    depth = np.tile([8, 110], n // 2)
    accuracy = 0.8 + 0.05 * np.log10(rate) - 0.0001 * depth
    fixed: dict[str, object] = {
        "phase": "search",
        "status": "ok",
        "num_classes": 10,
        "dataset": "digits",
        "cell": [f"depth={d}" for d in depth],
    }
    fixed["trial_id"] = [f"run:search:{1 + place // 2}" for place in range(n)]
    columns = {"depth": depth, "learning_rate": rate, "strength": strength, "val_accuracy": accuracy}
    return pd.DataFrame(columns).assign(**fixed)


SPACES = {f"depth={depth}": {"learning_rate": BOX, "strength": BOX} for depth in (8, 110)}


@pytest.fixture(autouse=True, scope="module")
def small_forests() -> Iterator[None]:
    """Four trees in place of 16: what is asked here they tell as well, in a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_table, "TREES", 4)
        patch.setattr(importance, "RESAMPLES", 10)
        yield


@pytest.fixture(scope="module")
def found(small_forests: None) -> pd.DataFrame:
    return importances(search(80), SPACES, axes=["depth"], generator=np.random.default_rng(0))


def test_both_methods_name_what_decided_and_nothing_else(found: pd.DataFrame) -> None:
    assert set(found["method"]) == {"fanova", "ped_anova"}
    assert set(found["field"]) == {"depth", "learning_rate", "strength"}
    assert found.loc[found["stands_out"], ["field", "method"]].to_numpy().tolist() == [
        ["learning_rate", "fanova"],
        ["learning_rate", "ped_anova"],
    ]
    assert (found["stands_out"] == (found["importance"] > found["null"])).all()
    assert found.groupby("field")["p_value"].first()["learning_rate"] < 0.05 < found["p_value"].max()


def test_fanova_is_the_share_of_variance(found: pd.DataFrame) -> None:
    # variance of 0.05 u, u uniform on [-3, 0]: 0.05^2 * 9 / 12; of 0.0001 depth on {8, 110}: (0.0102 / 2)^2.
    rate, depth = 0.05**2 * 0.75, 0.0051**2
    shares = found[found["method"] == "fanova"].set_index("field")["importance"]
    assert shares["learning_rate"] == pytest.approx(rate / (rate + depth), abs=0.1)
    assert shares["strength"] < 0.03


def test_an_interval_is_not_stretched_to_its_estimate() -> None:
    """It was clamped to hold it. In this run no resample makes one field as unimportant as the trials do."""
    run = open_run(REFERENCE)
    (part,) = run.parts
    found = importances(part.trials, run.spaces, axes=part.axes)
    assert (found["low"] < found["high"]).any()
    assert ((found["importance"] < found["low"]) | (found["importance"] > found["high"])).any()


def test_shuffled_scores_decide_nothing() -> None:
    for seed in range(2):
        rows = search(60, seed)
        shuffled = np.random.default_rng(seed).permutation(rows["val_accuracy"].to_numpy())
        found = importances(rows.assign(val_accuracy=shuffled), SPACES, axes=["depth"])
        assert not found["stands_out"].any()


def noisy(n: int, generator: np.random.Generator) -> pd.DataFrame:
    """A search in which depth alone matters; both cells meet the same draws, as in a run."""
    rate, strength = np.repeat(10 ** generator.uniform(-3, 0, (2, n // 2)), 2, axis=1)
    accuracy = 0.8 + 0.02 * generator.normal(size=n)
    rows = search(n).assign(learning_rate=rate, strength=strength)
    return rows.assign(val_accuracy=accuracy - 0.03 * (rows["depth"] == 110))


@pytest.mark.slow
def test_few_whole_searches_find_a_field_without_effect() -> None:
    """Of 40, where one in twenty may: more than 6 would have a chance of .3 %. The docstring has rates over more."""
    wrong = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        found = importances(noisy(40, generator), SPACES, axes=["depth"], generator=generator)
        wrong += bool({*found.loc[found["stands_out"], "field"]} - {"depth"})
    assert wrong <= 6


def test_draws_that_cells_share_count_once() -> None:
    """Twenty cells that meet the same three learning rates are three draws: too few to tell anything of them."""
    rate = np.tile([0.001, 0.03, 1.0], 20)
    rows = search(60).assign(learning_rate=rate, strength=0.1, depth=8, cell=np.repeat([f"c{k}" for k in range(20)], 3))
    rows = rows.assign(val_accuracy=0.8 + 0.05 * np.log10(rate), trial_id=[f"r:search:{1 + k % 3}" for k in range(60)])
    spaces = {f"c{k}": {"learning_rate": BOX} for k in range(20)}
    found = importances(rows, spaces, axes=[])
    assert not found["stands_out"].any()
    assert found["p_value"].min() > 0.1
    apart = rows.assign(learning_rate=rate * np.random.default_rng(0).uniform(0.9, 1.0, 60))
    assert importances(apart, spaces, axes=[])["stands_out"].any()


def test_the_recipes_own_points_are_no_draws() -> None:
    rows = search(30)
    known = rows.head(10).assign(trial_id="r:search:0", val_accuracy=0.999)
    one, two = (
        importances(table, SPACES, axes=["depth"], generator=np.random.default_rng(1))
        for table in (rows, pd.concat([known, rows], ignore_index=True))
    )
    pd.testing.assert_frame_equal(one, two)


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
    assert set(few["field"]) == {"band"}  # the others are tested where all trials have them
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
    assert importances(search(6), SPACES, axes=["depth"]).empty
    assert importances(search(40).assign(val_accuracy=0.9), SPACES, axes=["depth"]).empty
    assert importances(search(40).iloc[:0], SPACES, axes=["depth"]).empty
    failed = search(40).assign(status="failed", val_accuracy=math.nan)
    assert importances(failed, SPACES, axes=["depth"]).empty


def test_a_choice_of_many_values_takes_no_longer_than_one_of_few() -> None:
    """The time of fANOVA is exponential in the number of choices: 21 recipes never came to an end."""
    names = [f"recipe {number:02}" for number in range(21)]
    rows = search(84).assign(recipe=names * 4, cell=[f"recipe={name}" for name in names] * 4)
    numbers = [f"run:search:{1 + place // 21}" for place in range(84)]
    rows = rows.assign(trial_id=numbers, val_accuracy=rows["recipe"].str[-2:].astype(float) / 30)
    spaces = {f"recipe={name}": {"learning_rate": BOX} for name in names}
    found = importances(rows, spaces, axes=["recipe"], generator=np.random.default_rng(0))
    recipe = found.set_index(["method", "field"]).loc[("fanova", "recipe")]
    assert recipe["importance"] > 0.8
    assert recipe["stands_out"]


def test_ten_thousand_trials_take_no_longer_than_three_hundred() -> None:
    """Seconds of one processor, both about 3 on 2.5 GHz: the budget is one of forests, and of rows."""
    seconds = []
    for n in (300, 10_000):
        began = time.process_time()
        importances(search(n), SPACES, axes=["depth"])
        seconds.append(time.process_time() - began)
    assert seconds[1] < 2 * seconds[0] + 1
