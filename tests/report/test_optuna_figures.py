"""Optuna's own figures on the page: one of each kind a cell, drawn from the tables, and light."""

import json
from pathlib import Path

import optuna
import pytest

from study.bench.tables import GeneratedRun
from study.report import optuna_figures
from study.report.blocks import Chart
from study.report.opened_run import OpenedRun, open_run
from study.report.optuna_figures import optuna_blocks
from study.report.page import embedded
from study.store.storage import Storage

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
KINDS = ["Optimization history", "Slice", "Parallel coordinates", "Contour", "Timeline"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    storage = Storage.at(tmp_path_factory.mktemp("searched"))
    GeneratedRun(depths=(8, 20), searches=5, confirms=1).write(storage)
    return open_run(storage)


def charts_of(run: OpenedRun) -> dict[str, dict[str, Chart]]:
    return {block.title: dict(block.charts) for block in optuna_blocks(run, run.parts[0])}


def test_each_kind_of_figure_is_there_for_each_cell_with_its_own_trials(run: OpenedRun) -> None:
    charts, trials = charts_of(run), run.trials
    assert list(charts) == KINDS
    told = trials.assign(value=trials["val_accuracy"].mask(trials["status"] == "diverged", 0.0))
    searched = told[(told["phase"] == "search") & told["status"].isin(["ok", "diverged"])].sort_values("trial_id")
    for cell, chart in charts["Optimization history"].items():
        own = searched.loc[searched["cell"] == cell, "value"].tolist()
        assert chart["data"][0]["y"] == pytest.approx(own, rel=1e-4)
    assert {*charts["Timeline"]} == {*charts["Slice"]} == {*trials["cell"]}


def test_the_timeline_has_the_times_of_the_trainings(run: OpenedRun) -> None:
    cell, chart = next(iter(charts_of(run)["Timeline"].items()))
    own = run.trials[(run.trials["cell"] == cell) & (run.trials["phase"] == "search")]
    began = {time.replace(tzinfo=None).isoformat() for time in own["started_at"]}
    assert {base for trace in chart["data"] for base in trace["base"]} == began


def test_they_are_plain_light_data_without_templates(run: OpenedRun) -> None:
    charts = charts_of(run)
    assert '"template"' not in embedded(charts)
    size = len(json.dumps(charts))
    assert size < 15_000 * len(charts["Slice"])


def test_a_run_with_many_cells_says_how_many_are_drawn(run: OpenedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_figures, "MAX_CELLS", 3)
    blocks = optuna_blocks(run, run.parts[0])
    assert "Search trials of 3 of 8 cells" in blocks[0].note
    assert all(len(block.charts) == 3 for block in blocks)
    monkeypatch.setattr(optuna_figures, "FIGURE_BYTES", 1)
    assert "Search trials of 1 of 8 cells" in optuna_blocks(run, run.parts[0])[0].note


def test_several_objectives_are_drawn_by_the_first() -> None:
    joint = open_run(REFERENCE / "joint_search-quick")
    charts = charts_of(joint)
    assert list(charts) == KINDS
    (history,) = charts["Optimization history"].values()
    assert history["layout"]["yaxis"]["title"]["text"] == "val accuracy"
    assert max(history["data"][0]["y"]) <= 1


def test_optunas_messages_stay_as_loud_as_they_were(run: OpenedRun, capsys: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    optuna_blocks(run, run.parts[0])
    assert optuna.logging.get_verbosity() == before
    assert capsys.readouterr().err == ""
