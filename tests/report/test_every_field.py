"""Every field of a trial can be searched as a choice, and compared: what reads tables takes values of each type."""

import dataclasses
import io
import types
from typing import Any, Literal, Union, get_args, get_origin

import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

from study.analysis.importance import importances
from study.bench.tables import GeneratedRun
from study.config import TrialConfig
from study.report.opened_run import OpenedRun, open_run
from study.report.page import FAILED, render_page
from study.report.summary import print_text
from study.store.schemas import SCHEMAS
from study.store.storage import Storage, read_json

FIELDS = [name for name in TrialConfig.model_fields if name != "seed"]  # a sweep may not vary it
SEARCHED = [name for name in FIELDS if name not in ("dataset", "depth", "learning_rate_drops")]  # no lists
ONE_OF_EACH_TYPE = ("nesterov", "gradient_clip", "learning_rate_drops", "initializer", "precision", "width", "momentum")
FAST = ("nesterov", "gradient_clip")  # the other fields are slow: pages take a second each
FAILURE = FAILED.partition(" ({kind}")[0]
DEPTHS = (8, 20)


def values_of(annotation: Any) -> list[Any]:
    """Two or three values that a field of this type can have; null among them where it can be."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return list(inner)[:3]
    if origin in (Union, types.UnionType):
        return [None, *(value for part in inner if part is not types.NoneType for value in values_of(part))][:3]
    if origin is tuple:
        return [[0.5], [0.5, 0.75]]
    if inner:  # Annotated
        return values_of(inner[0])
    return {bool: [True, False], int: [8, 16, 32], float: [0.25, 0.5, 0.75], str: ["a", "b", "none"]}[annotation]


def choices_of(field: str) -> list[Any]:
    if field in ("dataset", "depth"):
        return {"dataset": ["digits", "cifar10"], "depth": list(DEPTHS)}[field]
    return values_of(TrialConfig.model_fields[field].rebuild_annotation())


def dealt(values: list[Any], count: int) -> pd.Series:
    return pd.Series([values[k % len(values)] for k in range(count)], dtype=object)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> OpenedRun:
    storage = Storage.at(tmp_path_factory.mktemp("generated"))
    GeneratedRun(depths=DEPTHS).write(storage)
    return open_run(storage)


def searching(run: OpenedRun, fields: list[str]) -> OpenedRun:
    """The run as if every cell had searched these fields as choices."""
    declaration = read_json(run.storage, "run.json")["declaration"]
    for cell in declaration["cells"].values():
        cell["search"] = {
            field: {"name": "CategoricalDistribution", "attributes": {"choices": choices_of(field)}} for field in fields
        }
    trials = run.trials.copy()
    searched = (trials["phase"] == "search").to_numpy()
    for shift, field in enumerate(fields):
        values = choices_of(field)
        drawn = dealt(values[shift % len(values) :] + values[: shift % len(values)], len(trials))
        trials[field] = drawn.where(searched, pd.Series([values[0]] * len(trials), dtype=object))
    return dataclasses.replace(run, facts={**run.facts, "declaration": declaration}, trials=as_read(trials))


def comparing(run: OpenedRun, field: str) -> OpenedRun:
    """The run as if it had compared this field in the place of the recipe."""
    values, declaration = choices_of(field), read_json(run.storage, "run.json")["declaration"]
    for cell in declaration["cells"].values():
        cell["search"].pop(field, None)
    recipes = list(run.trials["recipe"].unique())[: len(values)]
    value = dict(zip(recipes, values, strict=True))
    trials = run.trials[run.trials["recipe"].isin(recipes)].reset_index(drop=True)
    trials = trials.assign(
        **{"architecture": "plain", field: pd.Series([value[recipe] for recipe in trials["recipe"]], dtype=object)},
        recipe=pd.Series([None] * len(trials), dtype=object),
    )
    compared = {
        cell: {"depth": point["depth"], field: value[point["recipe"]]}
        for cell, point in run.facts["compared"].items()
        if point["recipe"] in value
    }
    facts = {**run.facts, "declaration": declaration, "compared": compared}
    return dataclasses.replace(run, facts=facts, trials=as_read(trials))


def as_read(trials: pd.DataFrame) -> pd.DataFrame:
    """With the types that the columns have when they are read from disk."""
    return pa.Table.from_pandas(trials, SCHEMAS["trials"], preserve_index=False).to_pandas()


def assert_readable(run: OpenedRun) -> None:
    assert FAILURE not in render_page(run)
    print_text(run, Console(file=io.StringIO(), width=100))


def test_every_field_can_be_searched_as_a_choice(generated: OpenedRun) -> None:
    run = searching(generated, SEARCHED)
    assert_readable(run)


@pytest.mark.parametrize("field", sorted({*ONE_OF_EACH_TYPE} & {*SEARCHED}))
def test_a_choice_is_tested_like_any_other_field(generated: OpenedRun, field: str) -> None:
    run = searching(generated, [field])
    (part,) = run.parts
    found = importances(part.trials, run.spaces, axes=part.axes)
    assert set(found[found["field"] == field]["trials"]) == {3 * len(run.spaces)}  # without the recipes' own points


@pytest.mark.parametrize(
    "field",
    [pytest.param(field, marks=() if field in FAST else pytest.mark.slow) for field in FIELDS if field != "depth"],
)
def test_every_field_can_be_compared(generated: OpenedRun, field: str) -> None:
    run = comparing(generated, field)
    assert_readable(run)
    if field != "dataset":
        (part,) = run.parts
        assert part.curve[field].nunique() == len(choices_of(field))
