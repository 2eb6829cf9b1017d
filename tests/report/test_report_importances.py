"""What the page says of importances, and of the time to a twin's accuracy."""

from pathlib import Path

import pandas as pd

from study.report.importances import importance_blocks
from study.report.opened_run import open_run
from study.report.targets import target_blocks, twin_lines

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "length_sweep-quick"


def found(**stands_out: bool) -> pd.DataFrame:
    """A table of `importances`, by one method: strong or weak fields."""
    rows = [
        {"scope": "all trials", "field": field, "method": "fanova", "importance": 0.9 if clear else 0.1}
        | {"low": 0.2, "high": 0.8, "null": 0.3, "stands_out": clear, "p_value": 0.02 if clear else 0.4, "trials": 80}
        for field, clear in stands_out.items()
    ]
    return pd.DataFrame(rows)


def test_only_what_stands_out_is_drawn_and_the_rest_is_named() -> None:
    chart, whole = importance_blocks(found(depth=True, learning_rate=False), "random")
    assert chart.chart is not None
    assert [trace["y"] for trace in chart.chart["data"]] == [["depth"]]
    assert "Over 80 drawn trials" in chart.note
    assert "Not told from noise: learning rate." in chart.note
    assert [row[1] for row in whole.rows] == ["depth", "learning_rate"]
    assert whole.folded


def test_a_bar_keeps_an_interval_that_does_not_hold_it() -> None:
    chart, _ = importance_blocks(found(depth=True), "random")
    (trace,) = (chart.chart or {})["data"]
    assert trace["x"] == [0.9]
    assert trace["x"][0] + trace["error_x"]["array"][0] == 0.8


def test_where_nothing_stands_out_nothing_is_drawn() -> None:
    said, whole = importance_blocks(found(depth=False, recipe=False), "random")
    assert said.chart is None
    assert said.title == "Importance: nothing stands out from chance"
    assert "Not told from noise: depth, recipe." in said.note
    assert whole.chart is None
    (few,) = importance_blocks(pd.DataFrame(), "random")
    assert few.note.startswith("Too few drawn search trials")


def test_a_sampler_whose_trials_are_no_independent_draws_is_named() -> None:
    remark = "Trials of {} are taken as independent draws."
    for sampler in ("tpe", "sobol"):
        assert remark.format(sampler) in next(importance_blocks(found(depth=True), sampler)).note
    assert "independent" not in next(importance_blocks(found(depth=True), "random")).note


def test_a_committed_run_says_when_nets_reach_what_their_twins_end_with() -> None:
    run = open_run(REFERENCE)
    (part,) = run.parts
    titles = [block.title for block in target_blocks(run, part)]
    assert titles == ["Time to the accuracy of the linear baseline", "Time to the twin's accuracy"]
    twins = list(target_blocks(run, part))[1]
    assert {row[list(twins.columns).index("twin")].rpartition("=")[2] for row in twins.rows} == {
        "residual",
        "residual_open",
    }
    heading, *lines = twin_lines(run, part)
    assert "residual twin of the same seed" in heading
    get_there = [int(row[list(twins.columns).index("seeds that get there")]) > 0 for row in twins.rows]
    assert len(twins.rows) == 6
    assert sum(" of 3 seeds reach 0." in line for line in lines) == sum(get_there) < 6
    assert lines[-1].startswith("- in no seed: ")
    assert lines[-1].count("steps=") == 6 - sum(get_there)
