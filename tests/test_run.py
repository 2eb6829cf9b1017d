"""The command line: teaching, listing, and refusing bad input with one message, exit code 2 and nothing started."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bad_input import check_refused

from study.forecast import Forecast
from study.planning.plan import make_plan
from study.run import build_parser, main
from study.store.storage import Storage, write_json
from study.sweeps import load_sweep

BAD_INPUT = [
    (["depth_swep"], "or give a file such as my_sweep.py; did you mean depth_sweep?"),
    (["depth_sweep", "--dry-rn"], "unrecognized arguments: --dry-rn; did you mean --dry-run? (see --help)"),
    (["depth_sweep", "--set", "depht=8"], "; did you mean depth?"),
    (["deep_sweep"], "unknown sweep 'deep_sweep': known are depth_frontier, depth_sweep"),
    (["nowhere.py"], "no such file"),
    (["depth_sweep", "--scale", "huge"], "unknown scale 'huge': known are quick, standard, paper"),
    (["depth_sweep", "--dataset", "mnist"], "dataset = 'mnist': no such data set; known are digits"),
    (["depth_sweep", "--set", "depht=8"], "unknown field 'depht'"),
    (["depth_sweep", "--set", "depth"], "'depth' is not FIELD=VALUE"),
    (["depth_sweep", "--set", "depth=45"], "the nearest are 44 and 50"),
    (["depth_sweep", "--set", "depth=deep"], "depth = 'deep'"),
    (["depth_sweep", "--set", "momentum=2"], "momentum = 2"),
    (["depth_sweep", "--set", "initializer=magic"], "unknown initializer 'magic'"),
    (["depth_sweep", "--trials", "-3"], "'-3' is not a whole number of at least 1"),
    (["depth_sweep", "--workers", "0"], "'0' is not a whole number of at least 1"),
    (["depth_sweep", "--cpus-per-trial", "nan"], "'nan' is not a number above 0"),
    (["depth_sweep", "--gpus-per-trial", "-1"], "'-1' is not a number of at least 0"),
    (["depth_sweep", "--run", "../elsewhere"], "run name '../elsewhere'"),
    (["depth_sweep", "--storage", "nowhere://x"], "storage nowhere://x"),
    (["depth_sweep", "--dataset", "cifar10", "--data-dir", "empty"], "python -m study.datasets fetch cifar10"),
    (["depth_sweep", "--dry-run", "--set", "initializer=magic"], "unknown initializer 'magic'"),
    (["depth_sweep", "--set", "depth=8", "--set", "depth=14"], "a field twice"),
    (["depth_sweep", "--run", "reference"], "run name 'reference'"),
    (["depth_sweep", "--run", ""], "run name ''"),
    (["depth_sweep", "--dry-run", "--run", "../elsewhere"], "run name '../elsewhere'"),
    (["depth_sweep", "--dry-run", "--dataset", "cifar10", "--data-dir", "empty"], "study.datasets fetch cifar10"),
    (["joint_search", "--dry-run", "--sampler", "cmaes"], "sampler cmaes"),
    (["depth_sweep", "--set", "learning_rate=0.05,0.1"], "learning_rate = 0.05,0.1: only compared fields take several"),
    (["depth_sweep", "--set", "width=8,16"], "take several values, here depth, recipe"),
    (["depth_sweep", "--cpus-per-trial", "0.00001"], "cpus_per_trial = 1e-05: Ray divides a CPU or GPU in steps of"),
    (["depth_sweep", "--gpus-per-trial", "0.33333"], "gpus_per_trial = 0.33333: Ray divides a CPU or GPU in steps of"),
    (["--frobnicate"], "unrecognized arguments: --frobnicate"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT, ids=lambda value: str(value)[:60])
def test_bad_input_gives_one_message_and_exit_code_2(
    elsewhere: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    check_refused(main, arguments, message, capfd)
    assert not list(elsewhere.rglob("*.json"))


def test_storage_that_cannot_be_written_is_refused(elsewhere: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "results").write_text("a file in the way")
    assert main(["depth_sweep"]) == 2
    assert "is not writable" in capfd.readouterr().err


def test_a_changed_declaration_is_refused_with_the_difference_and_the_ways_on(
    elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(load_sweep("depth_sweep"))
    content = {"declaration": plan.declaration(), "linear_baseline": {}}
    write_json(Storage.at(elsewhere / "results" / plan.run), "run.json", content)
    before = (elsewhere / "results" / plan.run / "run.json").read_bytes()
    assert main(["depth_sweep", "--set", "batch_size=48"]) == 2
    error = capfd.readouterr().err
    assert "fixed.batch_size: 64 -> 48 (" in error
    assert "--run NAME" in error
    assert "--fresh" in error
    assert (elsewhere / "results" / plan.run / "run.json").read_bytes() == before


def test_the_list_names_question_cells_and_trials(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("depth_sweep"))
    assert "?" in line
    assert "[24 cells, 120 trials]" in line


def test_a_dry_run_shows_spaces_and_starts_nothing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert main(["depth_sweep", "--dry-run", "--set", "depth=8"]) == 0
    shown = capsys.readouterr().out
    assert "depth=8,recipe=isometric" in shown
    assert "Searched: modulation_band 1 .. 1.1" in shown
    assert re.search(r"Forecast: about \d+(\.\d)? (seconds|minutes|hours) on", shown)
    assert {path.name for path in elsewhere.iterdir()} <= {"cache"}  # readings of a busy machine are not kept


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        build_parser().parse_args(["--help"])
    assert leaving.value.code == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"]], ids=str)
def test_help_and_list_import_neither_ray_nor_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from study.run import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'ray', 'torch', 'torchvision', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


QUICK_REFUSALS = [
    ["depth_sweep", "--set", "recipe=x"],
    ["depth_sweep", "--run", "../x"],
    ["depth_sweep", "--set", "learning_rate=-1"],
    ["depth_sweep", "--dataset", "cifar10", "--data-dir", "empty"],
    ["joint_search", "--scheduler", "asha"],
    ["depth_sweep", "--set", "batch_size=48"],  # a changed declaration
]


@pytest.mark.parametrize("arguments", QUICK_REFUSALS, ids=" ".join)
def test_cheap_mistakes_are_refused_before_ray_and_torch_are_imported(elsewhere: Path, arguments: list[str]) -> None:
    plan = make_plan(load_sweep("depth_sweep"))
    content = {"declaration": plan.declaration(), "linear_baseline": {}}
    write_json(Storage.at(elsewhere / "results" / plan.run), "run.json", content)
    code = (
        "import sys\n"
        "from study.run import main\n"
        "assert main(sys.argv[1:]) == 2\n"
        "heavy = {'ray', 'torch', 'torchvision', 'matplotlib', 'plotly'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.fixture
def long_run(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user at a terminal, before a run that is forecast to take days; where one begins, it is interrupted."""
    monkeypatch.setattr("study.run.at_terminal", lambda: True)
    monkeypatch.setattr("study.forecast.forecast", lambda *_: Forecast({}, {}, wall_seconds=2.3 * 86400, workers=2))
    monkeypatch.setattr("study.run._elsewhere", lambda _: False)

    def execute(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("study.launch.execute", execute)
    return elsewhere / "results" / "depth_sweep-quick"


def test_a_long_run_that_the_user_declines_leaves_no_trace(
    long_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert main(["depth_sweep"]) == 1
    said = capsys.readouterr().out
    assert "Forecast: about 2.3 days on 2 workers." in said
    assert "Stopped: nothing was begun; --dry-run shows" in said
    assert not long_run.exists()


def test_an_old_run_stays_where_the_user_declines_its_successor(
    long_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert main(["depth_sweep"]) == 130
    (long_run / "precious").write_text("kept?")
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert main(["depth_sweep"]) == 1
    assert main(["depth_sweep", "--fresh"]) == 1
    assert (long_run / "precious").read_text() == "kept?"


def test_nobody_is_asked_who_said_yes_or_sits_at_no_terminal(long_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    assert main(["depth_sweep", "--yes"]) == 130
    monkeypatch.setattr("study.run.at_terminal", lambda: False)
    assert main(["depth_sweep", "--run", "other"]) == 130
