"""Settings: what the words of `--set` and `--compare` mean, and values as such words."""

from typing import Any

import numpy as np
import pytest

from study.planning.plan import Overrides, make_plan
from study.planning.settings import parse_value, written
from study.sweeps import NamedSweep


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((".1", 0.1), ("1.", 1.0), ("1e-3", 0.001), ("True", True), ("False", False), ("true", True), ("null", None)),
        *(("8,14", [8, 14]), (".1,.2", [0.1, 0.2]), ("[0.5]", [0.5]), ("0.5,a", [0.5, "a"]), ("[1, 2]", [1, 2])),
        *(("8", 8), ("relu", "relu"), ("inf", "inf")),
    ],
)
def test_values_of_the_command_line_are_read_as_json_or_python_writes_them(text: str, value: object) -> None:
    assert (parse_value(text), type(parse_value(text))) == (value, type(value))


def test_a_setting_may_be_written_as_in_python_and_a_list_of_one_without_brackets(tiny_sweep: NamedSweep) -> None:
    plan = make_plan(tiny_sweep, overrides=Overrides(fields={"gradient_clip": "None", "learning_rate_drops": "0.5"}))
    assert (plan.cells[0].fixed["gradient_clip"], plan.cells[0].fixed["learning_rate_drops"]) == (None, [0.5])


@pytest.mark.parametrize(
    "value",
    [
        *(1, 0.1, -2e-5, True, None, "digits", "true", "None", "1e3", "a,b", "[", "", 'a "b"'),
        *([8, 14], ["he_l2", "isometric"], [[0.5], [0.5, 0.75]], [None, 0.5], [True, False], [0.5], ["a,b", "c"], []),
    ],
)
def test_values_are_written_as_they_are_read(value: Any) -> None:
    assert parse_value(written("field", value)) == value


def test_numpy_and_tuples_are_written_as_lists() -> None:
    assert written("depth", np.arange(8, 21, 6)) == "8,14,20"
    assert written("learning_rate_drops", (0.5, 0.75)) == "0.5,0.75"
    assert written("recipe", ("he_l2", "isometric")) == "he_l2,isometric"


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_what_no_setting_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^width = "):
        written("width", value)
