"""When a run begins no further trial."""

import pytest

from study.tuner.stop_conditions import StopConditions


def failed(error: str) -> dict[str, str]:
    return {"status": "failed", "error": f"Traceback\n  somewhere\n{error}"}


def test_first_trials_that_all_fail_alike_end_the_run() -> None:
    ending = StopConditions(None, trial_count=100)
    for _ in range(3):
        assert not ending.is_due()
        ending.trial_finished(failed("ValueError: broken"))
    assert ending.is_due()
    assert ending.common_failure == "ValueError: broken"


@pytest.mark.parametrize("other", [failed("ValueError: else"), {"status": "ok", "error": None}])
def test_a_run_with_another_outcome_among_the_first_goes_on(other: dict) -> None:
    ending = StopConditions(None, trial_count=100)
    for row in (failed("ValueError: broken"), other, *[failed("ValueError: broken")] * 5):
        ending.trial_finished(row)
    assert not ending.is_due()


def test_time_is_up_after_the_budget() -> None:
    assert StopConditions(0.0, trial_count=1).is_due()
    assert not StopConditions(60.0, trial_count=1).is_due()
