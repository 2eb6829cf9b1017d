"""Properties of the report page: self-contained, escaped, small, and there for runs in every state."""

import dataclasses
import html
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from study.analysis.mixing import SETTINGS
from study.bench.tables import GeneratedRun
from study.report.blocks import DASH
from study.report.commands import commands_of
from study.report.compare import compare_section
from study.report.conclusions import conclusions_of
from study.report.costs import cost_section
from study.report.opened_run import OpenedRun, open_run
from study.report.page import embedded, render_page, state_of, trial_table
from study.report.recipes import recipe_blocks
from study.report.sections import comparison_section
from study.report.summary import print_text
from study.store.storage import Storage

HOSTILE = "<img src=x onerror=alert(1)></script><b>&"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    storage = Storage.at(tmp_path_factory.mktemp("generated"))
    GeneratedRun().write(storage)
    return open_run(storage)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    """Too few search trials for importances, which take most of a page's time."""
    storage = Storage.at(tmp_path_factory.mktemp("small"))
    GeneratedRun(depths=(8, 110), searches=1).write(storage)
    return open_run(storage)


@pytest.fixture(scope="module")
def page(run: OpenedRun) -> str:
    return render_page(run)


def data_of(page: str) -> dict[str, object]:
    """The page's data as its script reads them."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def text_of(page: str) -> str:
    """The page without its scripts and style."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


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


def test_a_run_that_compares_and_searches_nothing_has_a_page(small: OpenedRun) -> None:
    trials = small.trials[(small.trials["cell"] == "depth=8,recipe=residual")].assign(cell="all")
    facts = {"run": "bare", "compared": {"all": {}}, "confirm_seeds": 5}
    text = text_of(render_page(OpenedRun(small.storage, facts, trials)))
    assert "The only cell" in text
    assert "The net" in text
    for title, why in (("What mattered", "The run searches nothing."), ("Comparisons", "Nothing to compare")):
        assert f"<b>{title}.</b> {why}" in text  # what has nothing to say takes a line, and no place in the menu
        assert f">{title}</a>" not in text


ODD_RUNS: dict[str, tuple[dict[str, object], list[str]]] = {
    "null on an axis": ({"gradient_clip": [None, 1.0] * 24}, ["depth", "gradient_clip", "recipe"]),
    "null on the only axis": ({"gradient_clip": [None, 1.0] * 24, "recipe": None}, ["gradient_clip"]),
    "a list on an axis": ({}, ["learning_rate_drops", "recipe"]),
    "no depth": ({}, ["recipe"]),
    "depth alone": ({}, ["depth"]),
    "all diverged": ({"status": "diverged", "val_accuracy": None}, ["depth", "recipe"]),
    "all failed": (
        {"status": "failed", "error": "boom", "finished_at": None}
        | dict.fromkeys(("val_accuracy", "train_seconds", "device", "host")),
        ["depth", "recipe"],
    ),
    "search only": ({"phase": "search", "num_classes": None}, ["depth", "recipe"]),
    "all pruned": ({"status": "pruned"}, ["depth", "recipe"]),
}


def alike(trials: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """The trials with every setting but the axes as the first one has it, as in a run that compares only these."""
    settings = [name for name in SETTINGS if name in trials and name not in axes]
    return trials.assign(**{name: [trials[name].iloc[0]] * len(trials) for name in settings})


@pytest.mark.parametrize("name", ODD_RUNS)
def test_odd_runs_have_a_page_and_a_text(small: OpenedRun, name: str) -> None:
    columns, axes = ODD_RUNS[name]
    trials = small.trials.assign(**columns)
    trials = alike(trials, axes)
    facts = {**small.facts, "compared": {"cell": dict.fromkeys(axes)}}
    odd = dataclasses.replace(small, trials=trials, facts=facts)
    assert "What to distrust" in text_of(render_page(odd))
    print_text(odd, Console(file=io.StringIO()))


def test_a_null_of_an_axis_is_in_every_table(small: OpenedRun) -> None:
    trials = small.trials.assign(
        gradient_clip=[None, 0.1, 1.0] * 16, recipe=None, depth=8, phase=["search", "confirm"] * 24
    )
    facts = {**small.facts, "compared": {"cell": {"gradient_clip": None}}}
    odd = dataclasses.replace(small, trials=alike(trials, ["gradient_clip"]), facts=facts)
    (part,) = odd.parts
    assert part.contrast == "gradient_clip"
    pairs = next(block for block in comparison_section(part, "pairs").blocks if block.title == "Every pair")
    assert {frozenset(row[:2]) for row in pairs.rows} == {
        *(frozenset(pair) for pair in (("none", "0.1"), ("none", "1"), ("0.1", "1")))
    }
    out = io.StringIO()
    print_text(odd, Console(file=out))
    assert "gradient_clip=none" in out.getvalue()
    assert "Of 3 paired comparisons, 0 tell" in out.getvalue()
    assert "gradient_clip=none" in str(data_of(render_page(odd))["charts"])


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


def test_a_searched_choice_has_its_best_values_in_a_table(small: OpenedRun) -> None:
    choice = {"name": "CategoricalDistribution", "attributes": {"choices": ["constant", "linear"]}}
    cells = {cell: {"search": {"modulation_schedule": choice}} for cell in small.facts["compared"]}
    trials = small.trials.assign(modulation_schedule=["constant", "linear"] * 24)
    trials["modulation_schedule"] = trials["modulation_schedule"].mask(trials["phase"] == "confirm", "constant")
    page = render_page(
        dataclasses.replace(small, trials=trials, facts={**small.facts, "declaration": {"cells": cells}})
    )
    assert "Best modulation schedule by depth" in text_of(page)


def titles(page: str) -> list[str]:
    """The headings of its blocks, folded ones too."""
    return re.findall(r"<(?:h3|summary)>(.*?)</", text_of(page))


def test_every_numeric_axis_has_its_curve_and_its_best_settings_the_sweeps_first_one_first(small: OpenedRun) -> None:
    wide = [small.trials.assign(width=width, cell=small.trials["cell"] + f",width={width}") for width in (8, 32)]
    trials = pd.concat(wide, ignore_index=True)
    trials["trial_id"] = trials["trial_id"] + trials["width"].astype(str)
    compared = {cell: {"width": 8, "depth": 8, "recipe": "he_l2"} for cell in trials["cell"].unique()}
    spaces = small.facts["declaration"]["cells"]
    declared = {cell: spaces[cell.rpartition(",")[0]] for cell in compared}
    facts = {**small.facts, "compared": compared, "declaration": {"cells": declared}}
    odd = dataclasses.replace(small, trials=trials, facts=facts)
    page = render_page(odd)
    known = titles(page)
    for title in ("Accuracy against depth", "Best learning rate by width", "Best learning rate by depth"):
        assert title in known
    hero = data_of(page)["charts"][0]
    assert hero["layout"]["xaxis"]["title"]["text"] == "width (log scale)"
    assert {trace["name"] for trace in hero["data"]} >= {"depth=8 he_l2", "depth=110 isometric"}
    assert hero["layout"]["yaxis"]["title"]["text"] == "validation accuracy (log of the error)"


def test_an_axis_with_one_value_makes_no_chart() -> None:
    fashion = open_run(REFERENCE / "depth_sweep-fashion")
    page = render_page(fashion)
    assert not any("by depth" in title or "diverges" in title for title in titles(page))
    axes = [chart["layout"].get(axis, {}) for chart in data_of(page)["charts"] for axis in ("xaxis", "yaxis")]
    assert not any("depth" in axis.get("title", {}).get("text", "") for axis in axes)


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


def test_two_runs_stand_side_by_side(small: OpenedRun) -> None:
    better = small.trials.assign(val_accuracy=small.trials["val_accuracy"] + 0.001 * (small.trials["seed"] + 1))
    other = dataclasses.replace(small, facts={**small.facts, "run": "other", "confirm_seeds": 7}, trials=better)
    text = text_of(render_page(small, other))
    assert "Beside other" in text
    assert "generated less other" in text
    assert "confirm_seeds" in text


def differences(run: OpenedRun, other: OpenedRun) -> list[tuple[str, ...]]:
    """Cells and differences of the section that compares two runs; the note alone where it shows none."""
    blocks = {block.title: block for block in compare_section(run, other).blocks}
    numbers = blocks.get("Cell by cell, numbers")
    return [tuple(row) for row in numbers.rows] if numbers else [(blocks["Cell by cell"].note,)]


def test_only_equal_cells_of_two_runs_are_compared(small: OpenedRun) -> None:
    """Not the mean over what only the other run compares, be it a number, a null, or what this one has fixed."""
    mine = dataclasses.replace(small, trials=small.trials.assign(gradient_clip=1.0))
    worse = small.trials["val_accuracy"] - 0.2
    clips = [small.trials.assign(gradient_clip=1.0), small.trials.assign(gradient_clip=None, val_accuracy=worse)]
    facts = {"run": "other", "compared": {"cell": dict.fromkeys(["depth", "recipe", "gradient_clip"])}}
    theirs = dataclasses.replace(small, trials=pd.concat(clips, ignore_index=True), facts={**small.facts, **facts})
    for pair in ((mine, theirs), (theirs, mine)):
        found = differences(*pair)
        assert {(row[0], row[1], row[2]) for row in found} == {
            *((str(depth), recipe, "1") for depth in (8, 110) for recipe in small.trials["recipe"].unique())
        }
        assert all(row[3].startswith("0.000") for row in found)
    never = dataclasses.replace(mine, trials=mine.trials.assign(gradient_clip=0.5))
    assert differences(never, theirs) == [
        ("No cell is confirmed in both runs with equal depth, recipe, gradient clip.",)
    ]
    otherwise = {block.title: block.rows for block in compare_section(mine, theirs).blocks}
    assert otherwise["What else differs between the compared cells"] == []
    tuned = dataclasses.replace(mine, trials=mine.trials.assign(learning_rate=0.5, momentum=None))
    otherwise = {block.title: block.rows for block in compare_section(tuned, theirs).blocks}
    settings = {row[0]: row[1:3] for row in otherwise["What else differs between the compared cells"]}
    assert settings == {"learning rate": ["8 of 8", "0.500"], "momentum": ["8 of 8", "none"]}
    apart = dataclasses.replace(mine, trials=mine.trials.assign(seed=mine.trials["seed"] + 100))
    assert differences(apart, theirs) == [("No cell is confirmed on equal seeds in both runs.",)]


def test_what_many_cells_declare_differently_is_one_line(small: OpenedRun) -> None:
    declaration = small.facts["declaration"]
    cells = {name: {**cell, "fixed": {"epochs": 7}} for name, cell in declaration["cells"].items()}
    cells["depth=302,recipe=he_l2"] = cells.pop("depth=8,recipe=he_l2")
    other = dataclasses.replace(small, facts={**small.facts, "declaration": {**declaration, "cells": cells}})
    rows = compare_section(small, other).blocks[0].rows
    assert ["cells that the other lacks", "1", "1"] in rows
    assert [row for row in rows if row[0].startswith("fixed.epochs")] == [["fixed.epochs, in 7 cells", DASH, "7"]]


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
