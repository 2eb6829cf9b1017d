"""The command `python -m study.report`."""

import html
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from study.bench.tables import GeneratedRun
from study.report.__main__ import build_parser, main
from study.report.page import write_report
from study.store import tool_logs
from study.store.storage import Storage

SMALL = GeneratedRun(depths=(8, 44), searches=1, confirms=4)


@pytest.fixture
def run(elsewhere: Path) -> Path:
    """A small run under results/."""
    folder = elsewhere / "results" / "mine"
    SMALL.write(Storage.at(folder))
    return folder


def test_a_name_writes_the_page_beside_the_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine"]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    page = (run / "report.html").read_text()
    assert "How deep" in page
    assert 'pd.read_parquet("results/mine/trials")' in html.unescape(page)
    assert str(run) not in page


def test_write_report_returns_where_it_is(run: Path) -> None:
    assert write_report(Storage.at(run)) == str(run / "report.html")


def test_open_hands_the_page_to_the_browser(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main([str(run), "--open", "--text"]) == 0
    assert opened == [(run / "report.html").as_uri()]


@pytest.mark.parametrize("options", [["--open"], ["--open", "--compare", "mine"]])
def test_looking_at_a_committed_run_changes_nothing_of_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    committed = run.parent / "reference" / "theirs"
    SMALL.write(Storage.at(committed))
    (committed / "report.html").write_text("committed")
    before = {path: path.read_bytes() for path in committed.rglob("*") if path.is_file()}
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["theirs", *options]) == 0
    assert {path: path.read_bytes() for path in committed.rglob("*") if path.is_file()} == before
    page = Path(capsys.readouterr().out.strip())
    assert opened == [page.as_uri()]
    assert "results/reference/theirs/trials" in html.unescape(page.read_text())
    assert main(["theirs"]) == 0  # what is asked to be written is
    assert "How deep" in (committed / "report.html").read_text()


def test_text_gives_table_plot_answer_and_distrust(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", "--text"]) == 0
    said = capsys.readouterr().out
    assert "mine" not in said
    for part in ("confirmed validation accuracy", "█", "plain recipes at depth 44", "What to distrust:"):
        assert part in said
    assert not (run / "report.html").exists()


def test_compare_adds_a_section(run: Path) -> None:
    SMALL.write(Storage.at(run.parent / "other"))
    assert main(["mine", "--compare", "other"]) == 0
    assert "Cell by cell" in (run / "report.html").read_text()


def test_figures_are_written_as_png_and_svg(run: Path) -> None:
    assert main(["mine", "--figures", "figures"]) == 0
    names = sorted(path.name for path in Path("figures").iterdir())
    stems = ("depth_curve-digits", "error_by_layer-digits", "singular_values-digits")
    assert names == [f"{stem}{suffix}" for stem in stems for suffix in (".png", ".svg")]


def test_csv_holds_the_tables(run: Path) -> None:
    assert main(["mine", "--export", "csv"]) == 0
    trials = pd.read_csv(run / "export" / "csv" / "trials.csv")
    assert len(trials) == 40
    assert trials["learning_rate_drops"][0] == "[0.5, 0.75]"
    assert sorted(path.name for path in (run / "export" / "csv").iterdir()) == [
        "epochs.csv",
        "layers.csv",
        "trials.csv",
    ]


def test_the_journal_is_the_runs_own_copy(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", "--export", "journal"]) == 2
    assert "has no optuna.journal" in capsys.readouterr().err
    Storage.at(run).write("optuna.journal", b"rubbish")
    assert main(["mine", "--export", "journal"]) == 2
    assert "is damaged: the run's own command writes it anew" in capsys.readouterr().err
    Storage.at(run).write("optuna.journal", b'{"op_code": 0}\n')
    assert main(["mine", "--export", "journal"]) == 0
    assert (run / "export" / "journal" / "optuna.journal").read_bytes() == b'{"op_code": 0}\n'


def test_tensorboard_gets_a_folder_a_trial(run: Path) -> None:
    assert main(["mine", "--export", "tensorboard"]) == 0
    folders = list((run / "export" / "tensorboard").iterdir())
    assert len(folders) == 40
    assert all(len(list(folder.iterdir())) == 1 for folder in folders)


def test_a_tool_that_refuses_or_is_not_installed_is_told_in_one_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    assert main(["mine", "--export", "mlflow"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: mlflow cannot log this run: ")
    assert said.count("\n") == 1
    monkeypatch.setitem(tool_logs.INSTALLED_BY, "mlflow", "no-such-package")
    assert main(["mine", "--export", "mlflow"]) == 2
    assert capsys.readouterr().err == "error: mlflow is not installed: pip install no-such-package\n"
    assert not (run / "export").exists()


def test_alone_it_lists_the_runs(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main([]) == 0
    said = capsys.readouterr().out
    assert "finished" in said
    assert "40 of 40" in said
    run.rename(run.parent.parent / "away")
    main([])
    assert "No run under results/ yet" in capsys.readouterr().out


def test_names_of_runs_are_never_cut(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-long-name-" * 5
    SMALL.write(Storage.at(run.parent / name))
    for width in ("40", "80"):
        monkeypatch.setenv("COLUMNS", width)
        assert main([]) == 0
        said = capsys.readouterr().out
        assert "…" not in said
        column = said.splitlines()[0].index("state")
        assert name in "".join(line[:column].strip() for line in said.splitlines())


@pytest.mark.parametrize("arguments", [["--text"], ["--figures", "here"], ["--compare", "mine"]])
def test_what_is_asked_of_a_run_needs_one(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"error: which run? {arguments[0]} needs one: python -m study.report RUN {arguments[0]}\n"
    )


@pytest.mark.parametrize("module", ["study.report", "study.run", "study.datasets"])
def test_a_reader_that_leaves_early_sees_no_traceback(module: str) -> None:
    command = f"{sys.executable} -u -m {module} | true"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["nowhere"], ["mine", "--compare", "nowhere"]])
def test_an_unknown_run_is_one_line(run: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: no run nowhere")


def test_it_needs_neither_ray_nor_torch() -> None:
    code = "import sys, study.report.__main__; sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_commands_in_the_readme_are_understood() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    commands = [line for line in readme.splitlines() if line.startswith("python -m study.report ")]
    assert len(commands) >= 5
    for command in commands:
        build_parser().parse_args(command.partition("#")[0].split()[3:])
