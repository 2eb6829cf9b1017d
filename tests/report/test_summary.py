"""What a run says when it is over."""

import math
import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from study.config import TrialConfig
from study.records import TableWriter
from study.report.opened_run import OpenedRun, open_run
from study.report.sections import curve_section
from study.report.summary import limit_words, print_answer, print_summary, print_text
from study.store.storage import Storage, read_json, write_json


def finished_run(storage: Storage, datasets: list[str], seeds: int = 3, phase: str = "confirm") -> None:
    """A run of two depths and two recipes, confirmed."""
    writer = TableWriter(storage, "trials", {})
    compared = {}
    for dataset in datasets:
        for depth in (8, 20):
            for recipe, accuracy in (("he_l2", 0.9), ("isometric", 0.95)):
                cell = f"dataset={dataset},depth={depth},recipe={recipe}"
                point = {"dataset": dataset, "depth": depth, "recipe": recipe}
                compared[cell] = point if len(datasets) > 1 else {"depth": depth, "recipe": recipe}
                for seed in range(seeds):
                    writer.append([row(cell, seed, accuracy + 0.001 * seed, **point) | {"phase": phase}])
    baselines = {name: {"validation_accuracy": 0.8, "test_accuracy": 0.79} for name in datasets}
    neighbor = {name: {"validation_accuracy": 0.85, "test_accuracy": 0.84, "train_images": 1_257} for name in datasets}
    told = {"linear_baseline": baselines, "nearest_neighbor_baseline": neighbor}
    write_json(storage, "run.json", {"run": "r", "compared": compared, **told})


def row(cell: str, seed: int, accuracy: float, **point: object) -> dict[str, object]:
    fields = TrialConfig(epochs=1, seed=seed).model_dump() | point
    known = {"cell": cell, "phase": "confirm", "trial_id": f"{cell}:{seed}", "status": "ok", "num_classes": 10}
    return fields | known | {"val_accuracy": accuracy, "test_accuracy": accuracy}


def summary(storage: Storage, width: int = 100) -> str:
    out = StringIO()
    print_summary(OpenedRun.at(storage), Console(file=out, width=width))
    return out.getvalue()


def test_a_run_ends_with_table_answer_baseline_figure_and_pandas(tmp_path) -> None:
    storage = Storage.at(tmp_path)
    finished_run(storage, ["digits"])
    said = summary(storage)
    assert "0.951" in said
    assert "[0.949, 0.953]" in said
    assert "Linear baseline (logistic regression on the pixels, │ in the bars): 0.800" in said
    assert "Nearest neighbour (among 1,257 training images, by their pixels): 0.850" in said
    assert f"Figure: {tmp_path}/depth_curve.png\n" in said
    assert "at depth 20, isometric has the highest mean" in said
    assert storage.names("") == ["depth_curve.png", "run.json"]
    code = said[said.index("import pandas") :]
    assert len(code.strip().splitlines()) == 5
    exec(code, {})


def test_the_pandas_lines_give_the_numbers_above_them(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a seed has diverged, an axis has a null, and another one is a list."""
    storage = Storage.at(tmp_path)
    writer = TableWriter(storage, "trials", {})
    points = [{"gradient_clip": clip, "learning_rate_drops": drops} for clip in (None, 1.0) for drops in ([0.5], [0.3])]
    for number, point in enumerate(points):
        for seed, accuracy in enumerate((0.613, 0.7 + 0.05 * number, None)):
            status = {"status": "ok" if accuracy else "diverged"}
            writer.append([row(f"c{number}", seed, accuracy, dataset="digits", depth=8, **point) | status])
    facts = {"run": "r", "compared": {f"c{number}": point for number, point in enumerate(points)}}
    write_json(storage, "run.json", facts | {"linear_baseline": {}})
    table, _, code = summary(storage).partition("import pandas")
    exec("import pandas" + code, {})
    given = re.findall(r"\b0\.\d{6}\b", capsys.readouterr().out)
    printed = [f"{float(text):.3f}" for text in given]
    means = [f"{(0.613 + 0.7 + 0.05 * number + 0.1) / 3:.3f}" for number in range(4)]
    assert set(means) <= set(printed)
    assert all(mean in table for mean in means)


def test_data_sets_are_never_mixed(tmp_path) -> None:
    storage = Storage.at(tmp_path)
    finished_run(storage, ["digits", "fashion_mnist"])
    said = summary(storage)
    assert "r on digits" in said
    assert "r on fashion_mnist" in said
    assert storage.names("") == ["depth_curve-digits.png", "depth_curve-fashion_mnist.png", "run.json"]


def test_test_accuracy_stands_in_the_table_and_on_the_page(tmp_path) -> None:
    storage = Storage.at(tmp_path)
    writer = TableWriter(storage, "trials", {})
    cells = {"lost": (None, None), "whole": (0.71, 0.72)}
    for cell, tests in cells.items():
        for seed, test in enumerate(tests):
            trial = row(cell, seed, 0.9, dataset="digits", depth=8, recipe=cell) | {"test_accuracy": test}
            writer.append([trial | {"status": "ok" if test else "diverged"}])
    write_json(storage, "run.json", {"run": "r", "compared": {cell: {"recipe": cell} for cell in cells}})
    said = " ".join(summary(storage).split())
    assert "recipe mean [95 %] trained test diverged" in said
    assert "whole 0.900 [0.900, 0.900] 2/2 0.715" in said
    assert "lost 0.100 [0.100, 0.100] 0/2 0.100 2" in said  # both seeds diverged: chance
    assert said.count("Intervals are over seeds") == 1
    (part,) = OpenedRun.at(storage).parts
    numbers = next(block for block in curve_section(part, "x").blocks if block.title == "The numbers")
    column = list(numbers.columns).index("test accuracy, all seeds")
    assert sorted(cells[column].split()[0] for cells in numbers.rows) == ["0.100", "0.715"]
    assert not numbers.folded


def test_published_errors_stand_beside_ours(tmp_path) -> None:
    storage = Storage.at(tmp_path)
    finished_run(storage, ["digits"])
    cell = "dataset=digits,depth=20,recipe=he_l2"
    facts = read_json(storage, "run.json") | {"published_test_error": {cell: 0.12}}
    write_json(storage, "run.json", facts)
    assert f"- {cell}: published 12.0%, ours 9.9% [9.7%, 10.1%]" in summary(storage)
    write_json(storage, "run.json", facts | {"published_remarks": {cell: "read off a figure"}})
    assert f"- {cell}: published 12.0% (read off a figure), ours 9.9%" in summary(storage)


@pytest.mark.parametrize("width", [60, 120])
def test_it_fits_narrow_terminals(tmp_path, width: int) -> None:
    storage = Storage.at(tmp_path)
    finished_run(storage, ["digits"], seeds=1)
    table = summary(storage, width).partition("import pandas")[0]
    lines = [line for line in table.splitlines() if not line.startswith("Figure:")]
    assert max(map(len, lines)) <= width


REFERENCE = Path(__file__).parents[2] / "results" / "reference"


def text_of(run: str, width: int) -> list[str]:
    """The lines of a committed run's text; spaces at their ends are of no account."""
    out = StringIO()
    print_text(open_run(REFERENCE / run), Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("run", ["ingredients-44", "depth_sweep-quick"])
def test_at_60_columns_no_word_is_broken_and_the_table_has_a_line_a_cell(run: str) -> None:
    narrow, endless = text_of(run, 60), text_of(run, 10_000)
    assert max(map(len, narrow)) <= 60
    words = {word for line in endless for word in line.split()}
    assert {word for line in narrow for word in line.split()} <= words
    heading = next(number for number, line in enumerate(narrow) if "mean [95 %]" in line)
    assert narrow.index("", heading) - heading - 1 == len(open_run(REFERENCE / run).facts["compared"])


def test_the_answer_is_the_last_thing_said() -> None:
    assert text_of("depth_sweep-quick", 10_000)[-1] == (
        "isometric trains at 110 layers: 0.973, above residual 0.970, with too few seeds for a verdict; open_relu "
        "trains too; orthonormal_modulated, he_l2 and orthonormal do not."
    )
    assert text_of("depth_frontier-quick", 10_000)[-1].startswith("he_l2 is undecided at 20 layers")


def test_a_terminal_too_narrow_for_names_and_means_gets_two_lines_a_cell() -> None:
    lines = text_of("ingredients-44", 30)
    assert lines[lines.index("isometric_without_modulation") + 1] == "  0.970 [0.954, 0.986]"


def test_each_data_set_has_its_answer(tmp_path) -> None:
    storage = Storage.at(tmp_path)
    finished_run(storage, ["digits", "fashion_mnist"])
    out = StringIO()
    print_answer(OpenedRun.at(storage), Console(file=out, width=200))
    words = "isometric trains at 20 layers: 0.951, above he_l2 0.901, with too few seeds for a verdict."
    assert out.getvalue().split("\n\n")[0].strip() == f"digits: {words}"
    assert out.getvalue().rstrip().endswith(f"fashion_mnist: {words}")


def limits(method: str, low: float, high: float) -> str:
    return limit_words(pd.Series({"method": method, "limit": 60.0, "low": low, "high": high, "trained": 5, "seeds": 6}))


def test_limits_in_words_leave_open_what_the_data_do() -> None:
    half = "reaches half of the way from chance to 1"
    assert limits("bracket", 44, 110) == f"{half} in every seed up to depth 44, in none from 110 on"
    assert limits("bracket", 44, math.nan) == f"{half} in every seed up to depth 44, deeper in some"
    assert limits("bracket", math.nan, 110) == f"{half} in some seeds, and from depth 110 on in none"
    assert limits("flat", math.nan, math.nan) == f"{half} in 5 of 6 seeds, with no clear trend over depth"
    assert (
        limits("between", 20, 44) == f"{half} in most seeds at depths 20 to 44, in fewer when shallower and when deeper"
    )
    assert limits("logistic", math.nan, 110) == f"{half} in half of the seeds at depth 60 […, 110]"
    assert limits("beyond", 110, math.nan) == f"{half} in every seed at every depth tried, the deepest 110"


def test_before_anything_is_confirmed_there_is_no_heading_of_a_table(tmp_path) -> None:
    storage = Storage.at(tmp_path)
    finished_run(storage, ["digits"], phase="search")
    said = summary(storage)
    assert "confirmed validation accuracy" not in said
    assert "r on digits" in said
    assert "Nothing is confirmed yet" in said
    assert "in the bars" not in said
