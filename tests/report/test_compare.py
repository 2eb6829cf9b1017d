"""Two runs side by side on one page."""

import dataclasses

import pandas as pd
from pages import text_of

from study.report.blocks import DASH
from study.report.compare import compare_section
from study.report.opened_run import OpenedRun
from study.report.page import render_page


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
