"""Which seeds train, as a share with an exact interval and as a mean of those that do; what one mean hides."""

import numpy as np
import pytest
from confirmed_tables import confirm, table
from scipy import stats

from study.analysis import depth_curve
from study.analysis.scores import mean_interval
from study.analysis.shares import SHARES, trained_share


def test_the_interval_of_a_share_is_that_of_clopper_and_pearson() -> None:
    for trained, seeds in ((0, 3), (2, 3), (5, 5), (7, 12)):
        found = trained_share(trained, seeds)
        low = stats.beta.ppf(0.025, trained, seeds - trained + 1) if trained else 0.0
        high = stats.beta.ppf(0.975, trained + 1, seeds - trained) if trained < seeds else 1.0
        assert found == pytest.approx((trained / seeds, low, high, seeds), abs=1e-6)


@pytest.mark.parametrize(
    ("n", "divergence", "covered"),
    [(3, 0.02, 0.64), (3, 0.1, 0.27), (3, 0.2, 0.49), (5, 0.02, 0.26), (5, 0.1, 0.41), (5, 0.2, 0.67)],
)
def test_a_mean_cannot_see_failures_that_did_not_happen_and_the_two_statements_can(
    n: int, divergence: float, covered: float
) -> None:
    """Coverage of .95 intervals: of the mean over all .26 to .67, of the share .99, of the conditional mean .95."""
    generator = np.random.default_rng(n)
    diverged = generator.random((1_500, n)) < divergence
    scores = np.where(diverged, 0.1, generator.normal(0.96, 0.01, diverged.shape))
    truth = 0.1 * divergence + 0.96 * (1 - divergence)
    whole = [mean_interval(one) for one in scores]
    assert np.mean([one.low <= truth <= one.high for one in whole]) == pytest.approx(covered, abs=0.04)
    shares = [trained_share(int((~one).sum()), n) for one in diverged]
    assert np.mean([one.low <= 1 - divergence <= one.high for one in shares]) >= 0.98
    trained = [mean_interval(one[~lost]) for one, lost in zip(scores, diverged, strict=True) if (~lost).sum() > 1]
    assert np.mean([one.low <= 0.96 <= one.high for one in trained]) == pytest.approx(0.95, abs=0.02)


def test_a_curve_holds_both_statements_beside_the_mean_that_it_is_ranked_by() -> None:
    rows = table(
        confirm(44, "risky", [0.95, 0.97, 0.5, None]),
        confirm(44, "sure", [0.9, 0.8]),
        confirm(44, "lost", [None, None]),
        confirm(44, "risky", [None], status="failed", seed=200),
    )
    curve = depth_curve(rows).set_index("recipe")
    risky = curve.loc["risky"]
    student = stats.ttest_1samp([0.95, 0.97], 0.0).confidence_interval()
    assert (risky["seeds"], risky["diverged"], risky["trained"]) == (4, 1, 2)
    assert risky["mean"] == pytest.approx((0.95 + 0.97 + 0.5 + 0.1) / 4)
    assert risky[list(SHARES[1:])].tolist() == pytest.approx(
        [*trained_share(2, 4)[1:3], 0.96, student.low, min(student.high, 1.0)]
    )
    assert curve["trained"].to_dict() == {"lost": 0, "risky": 2, "sure": 2}
    assert np.isnan(curve.loc["lost", "trained_mean"])
