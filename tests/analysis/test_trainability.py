"""Trainability: limits and fits against hand-computed cases, scikit-learn and SciPy; coverage."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from study.analysis.trainability import (
    _fit,
    _window,
    fit_loss,
    loss_bands,
    loss_fits,
    trainability_limit,
    trainability_limits,
)


def outcomes(**trained_by_depth: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """`d8=[3, 0]`: three seeds trained at depth 8, none did not."""
    depths, trained = [], []
    for name, (yes, no) in trained_by_depth.items():
        depths += [float(name[1:])] * (yes + no)
        trained += [True] * yes + [False] * no
    return np.array(depths), np.array(trained)


def table(**accuracies: list[float]) -> pd.DataFrame:
    """Confirmed seeds of one recipe: `d8=[0.9, 0.8]`."""
    rows = [
        {"recipe": "r", "depth": int(name[1:]), "seed": seed, "val_accuracy": accuracy}
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    fixed = {"phase": "confirm", "status": "ok", "num_classes": 10, "dataset": "digits", "architecture": "plain"}
    return pd.DataFrame(rows).assign(**fixed, activation_slope=0.0, learning_rate=0.1)


def test_a_symmetric_fall_has_its_limit_in_the_middle() -> None:
    found = trainability_limit(*outcomes(d8=[4, 0], d16=[3, 1], d32=[2, 2], d64=[1, 3], d128=[0, 4]))
    assert found.method == "logistic"
    assert found.limit == pytest.approx(32.0, rel=1e-3)
    assert found.low * found.high == pytest.approx(32.0**2, rel=1e-2)
    assert 16 < found.low < 32 < found.high < 64


def test_the_limit_is_that_of_scikit_learns_logistic_regression() -> None:
    depths, trained = outcomes(d8=[9, 1], d20=[8, 2], d44=[4, 6], d110=[1, 9])
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(np.log2(depths)[:, None], trained)
    expected = 2 ** (-oracle.intercept_[0] / oracle.coef_[0, 0])
    assert trainability_limit(depths, trained).limit == pytest.approx(expected, rel=1e-3)


def test_the_interval_is_where_the_likelihood_ratio_test_does_not_reject() -> None:
    depths, trained = outcomes(d8=[9, 1], d20=[8, 2], d44=[4, 6], d110=[1, 9])
    found = trainability_limit(depths, trained)

    def likelihood(middle: float) -> float:
        logits = np.geomspace(0.01, 100, 4_000)[:, None] * (math.log2(middle) - np.log2(depths))
        return -float(np.logaddexp(0, np.where(trained, -logits, logits)).sum(axis=1).min())

    for end in (found.low, found.high):
        assert 2 * (likelihood(found.limit) - likelihood(end)) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.01)


def test_depths_that_separate_the_outcomes_give_a_bracket() -> None:
    clean = trainability_limit(*outcomes(d8=[3, 0], d20=[3, 0], d44=[0, 3], d110=[0, 3]))
    assert (clean.method, clean.low, clean.high) == ("bracket", pytest.approx(20), pytest.approx(44))
    mixed = trainability_limit(*outcomes(d8=[3, 0], d20=[2, 1], d44=[0, 3]))
    assert (mixed.method, mixed.low, mixed.high) == ("bracket", pytest.approx(8), pytest.approx(44))
    open_ended = trainability_limit(*outcomes(d8=[9, 0], d20=[2, 2]))
    assert (open_ended.low, math.isnan(open_ended.high)) == (pytest.approx(8), True)
    assert trainability_limit(*outcomes(d8=[3, 0], d20=[2, 1])).method == "flat"  # one failure tells no depth


def test_no_failure_no_success_and_a_rise_are_no_limit() -> None:
    assert trainability_limit(*outcomes(d8=[3, 0], d110=[3, 0]))[:3] == pytest.approx(
        ("beyond", math.nan, 110), nan_ok=True
    )
    below = trainability_limit(*outcomes(d8=[0, 3], d110=[0, 3]))
    assert (below.method, below.high) == ("below", 8)
    assert trainability_limit(*outcomes(d8=[0, 3], d110=[3, 0])).method == "rising"
    assert trainability_limit(*outcomes(d8=[2, 8], d20=[5, 5], d110=[8, 2])).method == "rising"
    assert trainability_limit(*outcomes(d8=[1, 3], d20=[2, 2], d110=[3, 1])).method == "flat"


def test_training_at_20_alone_is_said_as_what_it_is() -> None:
    """Failing at 8 layers, training at 20, failing at 110 was once "no clear change over depth"."""
    for counts in (
        {"d8": [0, 3], "d20": [3, 0], "d110": [0, 3]},
        {"d8": [0, 3], "d14": [1, 2], "d20": [3, 0], "d44": [2, 1], "d110": [0, 3], "d200": [0, 3]},
    ):
        found = trainability_limit(*outcomes(**counts))
        assert (found.method, found.low, math.isnan(found.limit)) == ("between", 20, True)
        assert found.high == (20 if len(counts) == 3 else 44)
    for counts in (
        {"d8": [0, 2], "d20": [2, 0], "d110": [0, 2]},  # P = 1/6 on either side
        {"d8": [1, 2], "d20": [3, 0], "d110": [1, 2]},
        {"d8": [3, 0], "d20": [0, 3], "d110": [3, 0]},  # the other way round
    ):
        assert trainability_limit(*outcomes(**counts)).method == "flat"


@pytest.mark.parametrize(
    ("chances", "found"),
    [((0.5,) * 4, 0.02), ((0.2,) * 4, 0.02), ((0.9, 0.7, 0.4, 0.1), 0.01), ((0.6, 0.5, 0.4, 0.3), 0.02)],
)
def test_a_window_is_rarely_found_where_there_is_none(chances: tuple[float, ...], found: float) -> None:
    """.01 of simulations or less at 3, 5 and 10 seeds; where P is .2, .9, .9, .2 it is found in .24, .66 and .97."""
    generator = np.random.default_rng(0)
    depths, share = np.repeat([8.0, 20, 44, 110], 5), np.repeat(chances, 5)
    limits = [_window(depths, generator.random(20) < share) for _ in range(300)]
    assert np.mean([one is not None for one in limits]) <= found
    there = [_window(depths, generator.random(20) < np.repeat([0.2, 0.9, 0.9, 0.2], 5)) for _ in range(200)]
    assert np.mean([one is not None for one in there]) == pytest.approx(0.66, abs=0.1)


def test_the_null_deviance_is_scipys_likelihood_ratio_test() -> None:
    """With two depths the logistic model has a share for each: the test is that of a table of counts."""
    for counts in ([[9, 3], [2, 8]], [[5, 5], [5, 5]], [[4, 6], [7, 3]]):
        oracle = stats.chi2_contingency(counts, correction=False, lambda_="log-likelihood")
        depths, trained = outcomes(d8=counts[0], d44=counts[1])
        assert _fit(np.log2(depths), trained).null_deviance == pytest.approx(oracle.statistic, abs=1e-6)


def test_shares_that_do_not_change_with_depth_are_flat_and_never_a_far_limit() -> None:
    shares = ([4, 4, 4, 4], [4, 4, 5, 4], [3, 4, 3, 4], [4, 5, 5, 4], [5, 4, 4, 5], [1, 1, 1, 1], [4, 2, 4])
    for trained in shares:
        counts = {f"d{depth}": [k, 5 - k] for depth, k in zip((8, 20, 44, 110), trained, strict=False)}
        assert trainability_limit(*outcomes(**counts)).method == "flat"
    assert trainability_limit(*outcomes(d8=[2, 1])).method == "flat"  # one depth tells nothing of depth


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_where_depth_does_not_matter_a_limit_or_a_rise_is_called_one_time_in_20(share: float) -> None:
    generator = np.random.default_rng(0)
    depths = np.repeat([8.0, 20, 44, 110], 5)
    found = [trainability_limit(depths, generator.random(20) < share).method for _ in range(400)]
    called = sum(method in ("logistic", "bracket", "rising") for method in found)
    assert called / 400 <= 0.09  # the test is one of large samples: 5 to 7 % at 20 seeds


def test_a_limit_near_the_end_of_the_depths_is_open_there() -> None:
    found = trainability_limit(*outcomes(d8=[4, 1], d20=[4, 1], d44=[1, 4]))
    assert (found.method, math.isnan(found.high)) == ("logistic", True)
    assert found.low < found.limit < 44


def test_the_interval_of_the_limit_covers_19_times_in_20() -> None:
    generator = np.random.default_rng(0)
    depths = np.repeat([8.0, 14, 20, 32, 44, 74, 110], 8)
    chance = 1 / (1 + np.exp(-1.5 * (math.log2(30) - np.log2(depths))))
    found = [trainability_limit(depths, generator.random(len(depths)) < chance) for _ in range(200)]
    covered = [not (one.low > 30 or one.high < 30) for one in found if one.method == "logistic"]
    assert len(covered) > 190
    assert 0.90 <= np.mean(covered) <= 0.99  # Three standard deviations of 200 draws at 0.95.


def test_limits_are_by_group_and_count_failed_seeds_as_not_trained() -> None:
    rows = pd.concat([table(d8=[0.9] * 3, d44=[0.1, 0.1, 0.9]), table(d8=[0.9], d44=[0.9]).assign(recipe="s")])
    rows.loc[(rows["depth"] == 44) & (rows["seed"] == 2) & (rows["recipe"] == "r"), "status"] = "diverged"
    found = trainability_limits(rows).set_index("recipe")
    assert found.loc["r", ["method", "depths", "seeds", "trained"]].tolist() == ["bracket", 2, 6, 3]
    assert found.loc["s", "method"] == "beyond"
    assert trainability_limits(rows.iloc[:0]).empty


def test_a_power_law_fit_is_scipys_regression_of_the_logarithms() -> None:
    generator = np.random.default_rng(1)
    depths = np.repeat([8.0, 20, 44, 110], 5)
    accuracies = 1 - 0.02 * depths**0.4 * np.exp(generator.normal(0, 0.1, len(depths)))
    fit, oracle = (
        fit_loss(depths, accuracies, "power"),
        stats.linregress(np.log2(depths), np.log2(1 - accuracies)),
    )
    assert fit is not None
    assert fit.coefficients == pytest.approx((oracle.intercept, oracle.slope))
    assert math.sqrt(fit.covariance[1, 1]) == pytest.approx(oracle.stderr)
    error, low, high = fit.band(np.array([1.0]))  # at depth 1 the band is that of the intercept
    half = stats.t.ppf(0.975, 18) * oracle.intercept_stderr
    assert (error[0], low[0]) == pytest.approx((2**oracle.intercept, 2 ** (oracle.intercept - half)))
    assert high[0] == pytest.approx(min(2 ** (oracle.intercept + half), 1.0))


def test_aicc_and_lack_of_fit_by_hand() -> None:
    # y = 0, 1, 1, 2, 2, 3 (log2 of the error + 4) at two depths and a third: constant model, mean 1.5, SSR 5.5.
    errors = 2.0 ** (np.array([0.0, 1, 1, 2, 2, 3]) - 4)
    fit = fit_loss(np.array([8.0, 8, 16, 16, 32, 32]), 1 - errors, "constant")
    assert fit is not None
    assert fit.aicc == pytest.approx(6 * math.log(5.5 / 6) + 4 + 2 * 2 * 3 / 3)
    assert fit.lack_of_fit == pytest.approx(stats.f.sf((5.5 - 1.5) / 2 / (1.5 / 3), 2, 3))


def test_the_model_that_made_the_data_is_chosen() -> None:
    generator = np.random.default_rng(2)
    made = {"constant": lambda d: 0.05, "power": lambda d: 0.01 * d**0.6, "exponential": lambda d: 0.02 * 2 ** (d / 30)}
    for model, error in made.items():
        noise = {f"d{d}": list(1 - error(d) * np.exp(generator.normal(0, 0.05, 6))) for d in (8, 20, 44, 74, 110)}
        fits = loss_fits(table(**noise))
        assert fits.loc[fits["chosen"], "model"].tolist() == [model]
        assert fits["weight"].sum() == pytest.approx(1)
        assert (fits["lack_of_fit"] > 0.001)[fits["chosen"]].all()


def test_bands_cover_the_true_error_19_times_in_20() -> None:
    generator = np.random.default_rng(3)
    depths, at = np.repeat([8.0, 20, 44, 110], 3), np.array([30.0])
    covered = []
    for _ in range(400):
        errors = 0.02 * depths**0.4 * np.exp(generator.normal(0, 0.2, len(depths)))
        fit = fit_loss(depths, 1 - errors, "power")
        assert fit is not None
        _, low, high = fit.band(at)
        covered.append(low[0] <= 0.02 * 30**0.4 <= high[0])
    assert 0.915 <= np.mean(covered) <= 0.985


def test_too_few_depths_make_no_fit_and_perfect_accuracy_is_finite() -> None:
    assert loss_fits(table(d8=[0.9, 0.8])).empty
    assert loss_fits(table(d8=[0.9, 0.8, 0.9], d20=[0.2, 0.3, 0.2])).empty  # a level line would be the only model
    assert loss_bands(table(d8=[0.9, 0.8])).empty
    bands = loss_bands(table(d8=[1.0, 1.0, 0.99], d20=[0.9, 0.95, 0.9], d44=[0.1, 0.2, 0.2]))
    assert np.isfinite(bands[["error", "low", "high"]]).all(axis=None)
    assert (bands["high"] <= 1).all()
