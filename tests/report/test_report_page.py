"""Properties of the report page: self-contained, escaped, small, and there for runs in every state."""

import dataclasses
import html
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from pages import data_of, text_of
from rich.console import Console

from study.bench.tables import GeneratedRun
from study.report.commands import commands_of
from study.report.conclusions import conclusions_of
from study.report.costs import cost_section
from study.report.opened_run import OpenedRun, open_run
from study.report.page import embedded, render_page, state_of, trial_table
from study.report.recipes import recipe_blocks
from study.report.summary import print_text
from study.store.storage import Storage

HOSTILE = "<img src=x onerror=alert(1)></script><b>&"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    storage = Storage.at(tmp_path_factory.mktemp("generated"))
    GeneratedRun().write(storage)
    return open_run(storage)


@pytest.fixture(scope="module")
def page(run: OpenedRun) -> str:
    return render_page(run)


def test_the_page_opens_with_question_answer_picture_and_what_to_distrust(page: str) -> None:
    text = text_of(page)
    headline, statistics = "at 110 layers", "recipes at depth 110"
    parts = ("How deep can a plain CNN be trained", headline, statistics, 'data-chart="0"', "What to distrust")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "title",
    [
        *("Trainability limit", "Error against depth, fitted", "Every pair", "Interquartile means"),
        *("Every field and what noise reaches", "Isolation curves", "Edges of boxes", "Best learning rate by depth"),
        *(
            "Cost by cell",
            "Time to the accuracy of the linear baseline",
            "Accuracy against cost",
            "Where training diverges",
        ),
        *("Expected best accuracy", "Growth of the error", "Depth 110: error by layer", "Depth 110: singular values"),
        *("Depth 110: modulation factors", "Depth 110: Gram defect", "Provenance"),
        *("The recipes, and what a slope is", "A cell and its seeds", "Optuna's own figures, cell by cell"),
    ],
)
def test_every_part_of_the_analysis_has_its_place(page: str, title: str) -> None:
    assert title in html.unescape(text_of(page))


def test_the_page_is_small_and_asks_the_network_for_nothing(page: str) -> None:
    assert len(page.encode()) < 8e6
    text = text_of(page)
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text) == []
    assert "url(" not in page[page.index("<style>") : page.index("</style>")]
    assert "default-src 'none'" in text


def test_every_text_from_data_is_escaped(small: OpenedRun) -> None:
    trials = small.trials.assign(error=HOSTILE, host=HOSTILE)
    trials["recipe"] = trials["recipe"].where(trials["recipe"] != "he_l2", HOSTILE)
    facts = {**small.facts, "question": HOSTILE, "run": HOSTILE, "machine": {HOSTILE: HOSTILE}}
    page = render_page(dataclasses.replace(small, trials=trials, facts=facts))
    assert "<img" not in page[: page.index('<script type="application/json"')]
    data = page[page.index('id="data">') : page.index("</script>", page.index('id="data">'))]
    assert "<" not in data[len('id="data">') :]
    assert any(HOSTILE in map(str, row) for row in data_of(page)["trials"]["rows"])
    names = [trace.get("name", "") for chart in data_of(page)["charts"] for trace in chart["data"]]
    assert not any("<" in name for name in names)


def test_the_trial_table_holds_every_trial(run: OpenedRun, page: str) -> None:
    table = data_of(page)["trials"]
    assert table["columns"][:3] == ["trial_id", "phase", "status"]
    assert [row[0] for row in table["rows"]] == run.trials["trial_id"].tolist()
    assert len(data_of(page)["maps"]) > 50


@pytest.mark.parametrize("kept", [0, 3, 40])
def test_a_run_still_going_has_a_page(small: OpenedRun, kept: int) -> None:
    going = dataclasses.replace(small, trials=small.trials.head(kept))
    page = text_of(render_page(going))
    assert f"not finished: {kept} of {small.planned} trials" in page
    assert ("Nothing is finished yet" in page) == (kept == 0)


def test_the_map_calls_at_chance_what_every_table_does(small: OpenedRun) -> None:
    """Also with two classes, where 0.7 is well above chance; a pruned trial has no accuracy to judge by."""
    searched = small.trials.assign(phase="search", num_classes=2, status="ok").head(4)
    searched["val_accuracy"], searched["recipe"] = [0.51, 0.7, None, 0.9], "he_l2"
    searched["depth"] = [8, 20, 44, 110]
    searched["status"] = ["ok", "ok", "pruned", "ok"]
    odd = dataclasses.replace(small, trials=searched)
    blocks = cost_section(odd, odd.parts[0], "cost").blocks
    (drawn,) = (block.chart for block in blocks if block.title == "Where training diverges")
    assert [symbol for trace in drawn["data"] for symbol in trace["marker"]["symbol"]] == [
        *("circle-open", "circle", "circle", "circle")
    ]


def test_the_recipes_are_told_by_the_settings_in_which_they_differ() -> None:
    run = open_run(REFERENCE / "depth_sweep-fashion")
    (block,) = recipe_blocks(run, run.parts[0])
    rows = {row[0]: dict(zip(block.columns, row, strict=True)) for row in block.rows}
    assert rows["isometric"]["activation slope"] == "0.300"
    assert rows["he_l2"]["activation slope"] == "0.000"
    assert rows["he_l2"]["initializer"] == "he"
    assert rows["residual"]["architecture"] == "residual"
    assert rows["he_l2"]["in words"] == "What everybody does: He's initialisation and weight decay."
    assert "learning rate" not in block.columns  # searched
    assert "batch size" not in block.columns  # equal in all
    theirs = dataclasses.replace(run, facts={**run.facts, "sweep_file": "my_sweep.py"})
    assert "in words" not in recipe_blocks(theirs, run.parts[0])[0].columns


def test_data_sets_are_never_mixed(small: OpenedRun) -> None:
    trials = pd.concat([small.trials, small.trials.assign(dataset="fashion_mnist")], ignore_index=True)
    compared = {cell: {"dataset": "digits", **point} for cell, point in small.facts["compared"].items()}
    both = dataclasses.replace(small, trials=trials, facts={**small.facts, "compared": compared})
    text = text_of(render_page(both))
    assert "confirmed, on digits" in text
    assert "confirmed, on fashion_mnist" in text
    assert text.count("What to distrust") == 2


def test_state_commands_and_provenance(run: OpenedRun) -> None:
    assert state_of(run) == f"finished, {len(run.trials)} trials"
    assert commands_of(run)[1] == "python -m study.run depth_sweep --trials 4 --confirm-seeds 5 --run generated"
    assert trial_table(run)["total"] == len(run.trials)


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!--", "b": float("nan"), 3: [1.5, None]})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": None, "3": [1.5, None]}


def test_the_templates_are_part_of_the_package() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"study.report" = ["templates/*"]' in project


REFERENCE = Path(__file__).parents[2] / "results" / "reference"


def test_an_adaptive_sweeps_report_begins_with_its_own_frontier() -> None:
    frontier = open_run(REFERENCE / "depth_frontier-quick")
    (part,) = frontier.parts
    said = conclusions_of(frontier, part)
    assert [sentence.split()[0] for sentence in said] == ["he_l2", "isometric_nonlinear", "By"]
    page, out = text_of(render_page(frontier)), io.StringIO()
    print_text(frontier, Console(file=out, width=1_000))
    page, statistics = page.replace("&#39;", "'"), "The only plain recipe at depth 200"
    assert all(page.index(sentence) < page.index(statistics) for sentence in said)
    assert out.getvalue().endswith(" ".join(said) + "\n")
    assert statistics in out.getvalue()
    elsewhere = dataclasses.replace(frontier, facts={**frontier.facts, "question": "A user's own?"})
    assert conclusions_of(elsewhere, part) == []
    going = dataclasses.replace(part, trials=part.trials.head(2))
    assert conclusions_of(frontier, going) == []


def test_a_sweeps_own_rule_is_not_told_of_seeds_that_failed_for_the_environments_reasons() -> None:
    frontier = open_run(REFERENCE / "depth_frontier-quick")
    (part,) = frontier.parts
    deep = part.trials["trial_id"].str.endswith("depth=200,recipe=isometric_nonlinear:confirm:0")
    assert deep.sum() == 1
    said = {}
    for status in ("ok", "diverged", "failed"):
        trials = part.trials.assign(status=part.trials["status"].mask(deep, status))
        said[status] = " ".join(conclusions_of(frontier, dataclasses.replace(part, trials=trials)))
    whole, lost, kept = (float(re.search(r"200 layers \((0\.\d+), ", said[one])[1]) for one in said)
    assert lost == pytest.approx(whole - (0.780 - 0.1) / 3, abs=0.03)
    assert abs(kept - whole) < 0.05
