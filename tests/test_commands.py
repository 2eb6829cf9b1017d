"""The commands that a report shows: typed again, they mean the same run."""

import shlex
from pathlib import Path

import pandas as pd
import pytest
from sweep_files import MY_SWEEP

from study.planning.plan import Plan
from study.report.commands import commands_of
from study.report.opened_run import OpenedRun
from study.run import build_parser, planned
from study.store.run_file import open_run_file
from study.store.storage import Storage
from study.sweeps import load_sweep


def asked(arguments: list[str]) -> Plan:
    options = build_parser().parse_args(arguments)
    return planned(load_sweep(options.sweep), options)


@pytest.mark.parametrize(
    "line",
    [
        "depth_sweep",
        "depth_sweep --scale paper --seed 3 --trials 7 --confirm-seeds 5",
        "depth_sweep --set depth=8,14 --set 'recipe=he_l2,isometric' --dataset fashion_mnist --run shallow",
        "joint_search --set 'learning_rate_drops=[0.5, 0.9]' --set modulation=off",
    ],
)
def test_the_command_of_a_run_is_the_run(line: str, tmp_path: Path) -> None:
    plan = asked(shlex.split(line))
    storage = Storage.at(tmp_path / plan.run)
    run = OpenedRun(storage, open_run_file(storage, plan), pd.DataFrame())
    *_, command, opens = commands_of(run)
    assert opens == f"python -m study.report {plan.run} --open"
    again = asked(shlex.split(command)[3:])
    for name in ("run", "trials_per_cell", "confirm_seeds", "settings"):
        assert getattr(again, name) == getattr(plan, name)
    assert again.declaration() == plan.declaration()


def test_a_users_sweep_is_named_by_its_file(tiny_plan: Plan, tmp_path: Path) -> None:
    run = OpenedRun(
        Storage.at(tmp_path / tiny_plan.run), open_run_file(Storage.at(tmp_path), tiny_plan), pd.DataFrame()
    )
    assert commands_of(run)[-2] == "python -m study.run tiny.py --seed 7 --trials 2 --confirm-seeds 2"


@pytest.mark.parametrize("name", ["my.v2.py", "depth_sweep.py", "in/search_spaces.py"])
def test_a_users_file_is_known_by_its_path(name: str, tmp_path: Path, elsewhere: Path) -> None:
    """Whatever it is called: with dots, or as one of ours."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(MY_SWEEP)
    plan = asked([name])
    storage = Storage.at(tmp_path / plan.run)
    run = OpenedRun(storage, open_run_file(storage, plan), pd.DataFrame())
    assert run.facts["sweep_file"] == name
    assert commands_of(run)[-2].startswith(f"python -m study.run {name} ")


@pytest.mark.parametrize("option", ["--sampler", "--scheduler"])
def test_how_it_was_searched_is_said_where_it_is_not_the_default(option: str, tmp_path: Path) -> None:
    facts = {"run": "searched", option.strip("-"): "nsga2"}
    run = OpenedRun(Storage.at(tmp_path / "searched"), facts, pd.DataFrame())
    assert f"{option} nsga2" in commands_of(run)[-2]
