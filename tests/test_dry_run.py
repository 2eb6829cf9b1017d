"""What --dry-run prints of a plan and a forecast."""

from io import StringIO

import pytest
from rich.console import Console

from search_spaces.sweep import Choice, Float, Int
from study.dry_run import common, in_words, print_forecast, print_plan
from study.forecast import Forecast
from study.planning.plan import Plan, make_plan
from study.sweeps import list_sweeps, load_sweep


def printed(show, *arguments: object, width: int = 120, **options: object) -> str:
    out = StringIO()
    show(*arguments, console=Console(file=out, width=width), **options)
    return out.getvalue()


def test_what_cells_share_is_said_once(tiny_plan: Plan) -> None:
    said = printed(print_plan, tiny_plan)
    for once in ("dataset=digits", "batch_size=256", "initializer=delta_orthogonal", "modulation_band 1 .. 1.2"):
        assert said.count(once) == 1
    assert "Searched: learning_rate 0.001 .. 0.3 (log)" in said
    assert "learning_rate=0.1, modulation_band=1.0625" in said
    assert "2 cells, 8 trials. Nothing was started." in said


def test_a_cell_that_fixes_what_another_searches_is_a_row_of_its_own() -> None:
    said = printed(print_plan, make_plan(load_sweep("regularizer_sweep")), width=200)
    assert "learning_rate=0.0227; fixed regularizer_strength=0.0001" in said
    assert "learning_rate=0.0227, regularizer_strength=0.0001" in said


@pytest.mark.parametrize("named", list_sweeps(), ids=lambda named: named.name)
def test_every_sweep_fits_a_narrow_terminal_and_names_every_cell(named) -> None:
    plan = make_plan(named)
    said = printed(print_plan, plan, width=80)
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert all(cell.name[:30] in said for cell in plan.cells)
    assert ("more cells follow" in said) == (named.name == "depth_frontier")


def test_spaces_in_words() -> None:
    assert in_words(Float(3e-3, 0.3, log=True)) == "0.003 .. 0.3 (log)"
    assert in_words(Float(0.0, 1.0, step=0.25)) == "0 .. 1 in steps of 0.25"
    assert in_words(Int(8, 64)) == "8 .. 64"
    assert in_words(Choice(("a", "b"))) == "a | b"


def test_common_fields() -> None:
    assert common([{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1}]) == {"a": 1}


def test_a_forecast_tells_of_gpus_only_where_there_may_be_some(tiny_plan: Plan) -> None:
    names = [cell.name for cell in tiny_plan.cells]
    taken = Forecast(dict.fromkeys(names, 0.5), dict.fromkeys(names, 400e6), wall_seconds=90.0, workers=1)
    here, elsewhere = (printed(print_forecast, tiny_plan, taken, elsewhere=where) for where in (False, True))
    assert "Forecast: about 2 minutes on 1 worker, from" in here
    assert here.splitlines()[1].split() == ["8", "0.50", "400"]
    assert elsewhere.splitlines()[1].split() == ["8", "0.50", "400", "16"]
