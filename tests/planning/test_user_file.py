"""A user's own sweep with modules beside it: found, never mixed up, carried elsewhere, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_files import MY_SWEEP

from study.planning.plan import make_plan
from study.planning.user_file import PACKAGES, load_file
from study.store.run_file import open_run_file, save_run_file
from study.store.storage import Storage
from study.sweeps import NamedSweep, load_sweep

WITH_HELPERS = MY_SWEEP.replace(
    "from search_spaces.recipes import he_l2", "from my_recipes import he_l2\nfrom my_fields.sizes import steps"
).replace('"steps": 3', '"steps": steps')
HELPERS = {
    "my_recipes.py": "from search_spaces.recipes import he_l2",
    "my_fields/__init__.py": "",
    "my_fields/sizes.py": "from .units import one\n\nsteps = 3 * one",
    "my_fields/units.py": "one = 1",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def load(file: Path) -> NamedSweep:
    """The sweep, with nothing of the user's left in the session."""
    modules, path = set(sys.modules), list(sys.path)
    named = load_sweep(str(file))
    assert {name for name in set(sys.modules) - modules if name.partition(".")[0] not in PACKAGES} == set()
    assert sys.path == path
    return named


def steps(named: NamedSweep) -> int:
    return make_plan(named).cells[0].fixed["steps"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A sweep file in a folder that also holds what it does not import."""
    folder = tmp_path / "mine"
    write(folder, HELPERS | {"mine.py": WITH_HELPERS, "other.py": "1 / 0", "my_fields/other.py": "", "data.bin": ""})
    return folder / "mine.py"


def test_what_a_sweep_imports_from_its_folder_is_found_and_noted_and_no_more(mine: Path) -> None:
    named = load(mine)
    assert steps(named) == 3
    assert named.files == {Path(name): mine.parent / name for name in ("mine.py", *HELPERS)}


def test_its_files_are_all_it_takes_elsewhere(mine: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    write(there, {str(place): file.read_text() for place, file in load(mine).files.items()})
    assert make_plan(load(there / "mine.py")).declaration() == make_plan(load(mine)).declaration()


def test_folders_with_modules_of_the_same_names_are_never_mixed_up(mine: Path, tmp_path: Path) -> None:
    write(tmp_path / "theirs", HELPERS | {"mine.py": WITH_HELPERS, "my_fields/units.py": "one = 2"})
    assert [steps(load(file)) for file in (mine, tmp_path / "theirs" / "mine.py", mine)] == [3, 6, 3]


def test_a_module_that_has_changed_is_read_again_and_refused_for_a_run_that_exists(mine: Path, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "run")
    save_run_file(storage, open_run_file(storage, make_plan(load(mine))))
    write(mine.parent, {"my_fields/units.py": "one = 10"})
    with pytest.raises(ValueError, match=r"fixed\.steps: 3 -> 30"):
        open_run_file(storage, make_plan(load(mine)))


def test_what_lies_in_the_working_directory_travels_too(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `python -m` has it on its path; here the package that holds the sweep file itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write(mine.parent, {"__init__.py": "", "mine.py": WITH_HELPERS.replace("from my_", "from mine.my_")})
    (mine.parent / "my_fields" / "__init__.py").unlink()  # which Python does not ask for
    imported = {"__init__.py", *HELPERS} - {"my_fields/__init__.py"}
    assert load(Path("mine/mine.py")).files.keys() == {Path("mine.py"), *(Path("mine", name) for name in imported)}


def test_packages_of_ours_are_ours_whatever_lies_beside_the_file(tmp_path: Path) -> None:
    write(tmp_path, {f"{name}.py": "1 / 0" for name in PACKAGES} | {"my.py": MY_SWEEP})
    assert load(tmp_path / "my.py").files.keys() == {Path("my.py")}
    write(tmp_path, {"my.py": f"from models.schedules import SCHEDULES\nimport study.config\n{MY_SWEEP}"})
    assert load(tmp_path / "my.py").files.keys() == {Path("my.py")}


def test_what_is_installed_stays_though_the_environment_lies_in_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"env/site-packages/installed/__init__.py": "", "my.py": f"import installed\n{MY_SWEEP}"})
    monkeypatch.syspath_prepend(tmp_path / "env" / "site-packages")
    assert load_sweep(str(tmp_path / "my.py")).files.keys() == {Path("my.py")}
    assert sys.modules.pop("installed").__file__ == str(tmp_path / "env/site-packages/installed/__init__.py")


def test_a_link_is_a_sweep_of_its_own_name_with_the_folder_of_what_it_leads_to(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(mine)
    named = load(tmp_path / "link.py")
    assert (named.name, steps(named)) == ("link", 3)
    assert named.files[Path("link.py")] == mine


def test_a_sweep_file_may_hold_dataclasses(tmp_path: Path) -> None:
    write(tmp_path, {"my.py": "from __future__ import annotations\nfrom dataclasses import dataclass\n"})
    with (tmp_path / "my.py").open("a") as file:
        file.write("@dataclass\nclass Size:\n    steps: int = 3\n")
    module, _ = load_file(tmp_path / "my.py")
    assert module.Size().steps == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my_recipes.py", "\n1 / 0", r"ZeroDivisionError: division by zero \(my_recipes.py, line 2\)"),
        ("my_recipes.py", "he_l3 = 1", r"ImportError: cannot import name 'he_l2' .*\(mine.py, line 2\)"),
        ("my_recipes.py", "def", r"SyntaxError: invalid syntax \(my_recipes.py, line 1\)"),
        ("my_recipes.py", "raise SystemExit", r"SystemExit \(my_recipes.py, line 1\)"),
        ("my_fields/units.py", "raise OSError('two\\nlines')", r"OSError: two lines \(mine.py, line 3\)"),
        ("mine.py", "import nowhere", r"ModuleNotFoundError: No module named 'nowhere' \(mine.py, line 1\)"),
        ("mine.py", "\0", r"(SyntaxError|ValueError): source code .*null bytes.*"),
    ],
)
def test_what_does_not_run_is_told_in_a_line_with_its_place(mine: Path, name: str, content: str, message: str) -> None:
    write(mine.parent, {name: content})
    with pytest.raises(ValueError, match=rf"^sweep file {mine} does not run: {message}$"):
        load(mine)
    write(mine.parent, HELPERS | {"mine.py": WITH_HELPERS})
    assert steps(load(mine)) == 3


def test_the_command_line_finds_them_from_elsewhere(mine: Path, elsewhere: Path) -> None:
    command = [sys.executable, "-m", "study.run", str(mine), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "depth=8,recipe=he_l2" in done.stdout


def test_a_file_that_raises_what_is_no_exception_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("class Odd(BaseException): pass\nraise Odd('out')")
    with pytest.raises(ValueError, match=r"^sweep file \S+ does not run: Odd: out \(odd.py, line 2\)$"):
        load_sweep(str(tmp_path / "odd.py"))


def test_a_docstring_of_blanks_is_no_question(mine: Path) -> None:
    mine.write_text('"""  \n  """\n' + WITH_HELPERS.partition('"""\n')[2])
    assert load(mine).question == "mine"
