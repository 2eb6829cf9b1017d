"""Learning curves on the page: one copy of the numbers, every chart and trial drawn from it, and what is left out."""

import dataclasses

import pandas as pd
import pytest

from study.bench.tables import GeneratedRun
from study.report import learning
from study.report.charts import MAX_LINES, curve_chart
from study.report.learning import kept_curves, learning_section, packed_curves
from study.report.lines import LineStyles
from study.report.opened_run import OpenedRun
from study.store.storage import Storage


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    storage = Storage.at(tmp_path_factory.mktemp("learning"))
    GeneratedRun(depths=(8, 44), searches=1, confirms=2, epochs=80).write(storage)
    return OpenedRun.at(storage)


def test_every_trace_names_a_curve_of_the_page(run: OpenedRun) -> None:
    curves = kept_curves(run)
    packed = packed_curves(curves)
    means, cells = learning_section(run.parts[0], curves, "x").blocks
    assert list(means.charts) == ["depth 44", "depth 8"]
    assert {*cells.charts} == {*run.trials["cell"]}
    for name, chart in cells.charts.items():
        thin = {trace["curve"] for trace in chart["data"] if trace["line"]["width"] == 1}
        thick = {trace["curve"] for trace in chart["data"] if trace["line"]["width"] == 3}
        assert thick == {name}
        assert thin == {*run.trials.loc[(run.trials["cell"] == name) & (run.trials["phase"] == "confirm"), "trial_id"]}
    drawn = [trace for block in (means, cells) for chart in block.charts.values() for trace in chart["data"]]
    assert all(len(packed[trace["curve"]][trace["measure"]]) == learning.MAX_POINTS for trace in drawn)
    assert {*run.trials["trial_id"]} <= {*packed}


def test_thick_is_the_mean_of_the_thin(run: OpenedRun) -> None:
    curves = kept_curves(run)
    packed, cell = packed_curves(curves), run.trials["cell"].iloc[0]
    seeds = run.trials[(run.trials["cell"] == cell) & (run.trials["phase"] == "confirm")]["trial_id"]
    last = [packed[seed]["val_accuracy"][-1] for seed in seeds]
    assert packed[cell]["val_accuracy"][-1] == pytest.approx(sum(last) / 2, abs=2e-4)
    assert packed[cell]["epoch"][-1] == 80


def test_search_trials_stand_alone_while_nothing_is_confirmed(run: OpenedRun) -> None:
    going = dataclasses.replace(run, trials=run.trials.assign(phase="search"))
    (cells,) = learning_section(going.parts[0], kept_curves(going), "x").blocks
    widths = {trace["line"]["width"] for chart in cells.charts.values() for trace in chart["data"]}
    assert widths == {1}


def test_what_a_large_run_leaves_out_is_said(run: OpenedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MAX_TRIALS", 10)
    monkeypatch.setattr(learning, "MAX_TRACES", 1)
    curves = kept_curves(run)
    assert curves["trial_id"].nunique() == 10
    _, cells = learning_section(run.parts[0], curves, "x").blocks
    assert f"{len(run.trials) - 10} trials left out" in cells.note
    assert "The first 1 of 2 trials are drawn." in {chart["note"] for chart in cells.charts.values()}


def test_a_run_without_epochs_says_so(run: OpenedRun) -> None:
    section = learning_section(run.parts[0], kept_curves(run).head(0), "x")
    assert section.blocks == []
    assert "No epoch" in section.intro


@pytest.mark.parametrize("lines", [MAX_LINES, MAX_LINES + 2])
def test_a_chart_names_the_lines_that_it_has_no_room_for(lines: int) -> None:
    names = [f"r{number:02}" for number in range(lines)]
    known = {"architecture": "plain", "mean": 0.9, "low": 0.8, "high": 1.0, "seeds": 3, "diverged": 0, "chance": 0.1}
    curve = pd.DataFrame([{"depth": depth, "recipe": name} | known for name in names for depth in (8, 20)])
    chart = curve_chart(curve, LineStyles.of(curve, ["recipe"]), "accuracy", {})
    told = "16 of 18 lines are drawn; left out: r16, r17." if lines > MAX_LINES else ""
    assert chart["note"] == told
