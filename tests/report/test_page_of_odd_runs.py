"""Pages of runs that compare little, or much, or that went wrong."""

import dataclasses
import io
from pathlib import Path

import pandas as pd
import pytest
from pages import data_of, text_of, titles
from rich.console import Console

from study.analysis.mixing import SETTINGS
from study.report.opened_run import OpenedRun, open_run
from study.report.page import render_page
from study.report.sections import comparison_section
from study.report.summary import print_text

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


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


def test_a_searched_choice_has_its_best_values_in_a_table(small: OpenedRun) -> None:
    choice = {"name": "CategoricalDistribution", "attributes": {"choices": ["constant", "linear"]}}
    cells = {cell: {"search": {"modulation_schedule": choice}} for cell in small.facts["compared"]}
    trials = small.trials.assign(modulation_schedule=["constant", "linear"] * 24)
    trials["modulation_schedule"] = trials["modulation_schedule"].mask(trials["phase"] == "confirm", "constant")
    page = render_page(
        dataclasses.replace(small, trials=trials, facts={**small.facts, "declaration": {"cells": cells}})
    )
    assert "Best modulation schedule by depth" in text_of(page)


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
