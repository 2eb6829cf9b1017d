"""Properties of study.analysis.propagation on nets whose layers are written by hand."""

import numpy as np
import pandas as pd
import pytest

from study.analysis.propagation import growth_per_layer, last_epoch, layer_profiles


def net(trial_id: str, growth: float, *, layers: int = 5, epoch: int = 1) -> pd.DataFrame:
    """A trial whose error grows by `growth` a layer on its way down."""
    layer = np.arange(layers)
    columns = {"epoch": epoch, "layer": layer, "error_norm": 3.0 * growth ** (layers - 1.0 - layer)}
    fixed = {"singular_value_min": 0.5, "singular_value_max": 2.0, "singular_value_mean": 1.0, "gram_defect": 0.1}
    return pd.DataFrame(columns).assign(trial_id=trial_id, modulation_factor=0.1, **fixed)


TRIALS = pd.DataFrame({"trial_id": ["t0", "t1", "t2"], "recipe": ["a", "a", "b"], "depth": 8})


def test_profiles_are_geometric_means_against_the_top_layer() -> None:
    profile = layer_profiles(pd.concat([net("t0", 10.0), net("t1", 1000.0), net("t9", 7.0)]), TRIALS, by=["recipe"])
    assert profile["log10_error_ratio"].tolist() == pytest.approx([8, 6, 4, 2, 0])  # 10^((4 + 12) / 2) at the bottom
    assert profile["log10_factor"].tolist() == pytest.approx([-1] * 5)
    assert profile["trials"].tolist() == [2] * 5
    assert profile["singular_value_max"].tolist() == [2.0] * 5


def test_what_has_no_logarithm_is_left_out() -> None:
    rows = net("t0", 10.0)
    rows.loc[:2, "error_norm"] = [0.0, np.inf, np.nan]
    rows.loc[4, "error_norm"] = np.nan
    profile = layer_profiles(rows, TRIALS, by=["recipe"])
    assert profile["log10_error_ratio"].isna().tolist() == [True, True, True, False, True]
    assert profile["log10_error_ratio"][3] == 0.0


def test_growth_is_the_factor_of_a_layer() -> None:
    profile = layer_profiles(pd.concat([net("t0", 1.25), net("t2", 1.0, epoch=3)]), TRIALS, by=["recipe", "depth"])
    growth = growth_per_layer(profile, by=["recipe", "depth"]).set_index("recipe")
    assert growth["growth"].to_dict() == pytest.approx({"a": 1.25, "b": 1.0})
    assert growth.loc["b", ["epoch", "layers", "singular_value_min", "singular_value_max"]].tolist() == [3, 5, 0.5, 2]


def test_the_last_epoch_is_each_groups_own() -> None:
    rows = pd.concat([net("t0", 1.0), net("t0", 1.0, epoch=8), net("t2", 1.0, epoch=4)])
    last = last_epoch(layer_profiles(rows, TRIALS, by=["recipe"]), by=["recipe"])
    assert last.groupby("recipe")["epoch"].unique().map(list).to_dict() == {"a": [8], "b": [4]}


def test_no_layers_are_no_profile() -> None:
    nothing = layer_profiles(net("t9", 1.0), TRIALS, by=["recipe"])
    assert nothing.empty
    assert last_epoch(nothing, by=["recipe"]).empty
    assert growth_per_layer(nothing, by=["recipe"]).empty
