"""results/walkthrough.py, as a reader would run it, on the committed run."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "results" / "walkthrough.py"


def test_it_goes_from_parquet_to_a_figure_in_under_40_lines_of_code(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = ROOT / "results" / "reference" / "depth_sweep-quick"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(reference)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert (elsewhere / "walkthrough.png").stat().st_size > 10_000
    assert "plain recipes at depth 110" in capsys.readouterr().out
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) < 40


def test_a_run_has_a_name_and_an_unknown_one_is_one_line(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "results").symlink_to(ROOT / "results")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "depth_sweep-quick"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert (elsewhere / "walkthrough.png").exists()
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "nowhere"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert capsys.readouterr().err.startswith("error: no run nowhere")
