"""What the README files promise is there."""

import re
from pathlib import Path

import pytest

from search_spaces.sweep import Sweep
from study.cluster.__main__ import build_parser as cluster_parser
from study.records import SCHEMAS
from study.run import build_parser
from study.sweeps import load_sweep

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COLUMNS = (ROOT / "results" / "README.md").read_text()


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_column_is_explained(table: str) -> None:
    section = COLUMNS.partition(f"## `{table}`")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section))
    assert set(SCHEMAS[table].names) <= explained


@pytest.mark.parametrize("text", [README, COLUMNS], ids=["README.md", "results/README.md"])
def test_links_within_the_repository_lead_somewhere(text: str) -> None:
    folder = ROOT if text is README else ROOT / "results"
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (folder / target).exists(), target


def test_commands_in_the_readme_are_understood() -> None:
    commands = re.findall(r"^python -m study\.run (.*)$", README, re.MULTILINE)
    assert commands
    for command in commands:
        build_parser().parse_args(command.partition("#")[0].split())


def test_cluster_commands_in_the_readme_are_understood() -> None:
    commands = re.findall(r"^python -m study\.cluster (.*)$", README, re.MULTILINE)
    assert commands
    for command in commands:
        options = cluster_parser().parse_args(command.partition("#")[0].split())
        if options.command == "submit":
            build_parser().parse_args(options.run)


def test_the_readmes_own_sweep_is_one(tmp_path: Path) -> None:
    block = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Sweep(" in block)
    (tmp_path / "my_sweep.py").write_text(block)
    assert isinstance(load_sweep(str(tmp_path / "my_sweep.py")).sweep, Sweep)
