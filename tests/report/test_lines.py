"""One style for a line: the same in every chart and picture of a run, and no two alike."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.figure import Figure

import study.report
from study.report import __main__ as command
from study.report.charts import MAX_LINES, curve_chart, drawn_lines
from study.report.costs import cost_section
from study.report.figures import depth_curve_figure
from study.report.layers import layer_section
from study.report.lines import COLORS, MARKERS, MIN_ERROR, REFERENCE_COLORS, LineStyles, line_names
from study.report.opened_run import OpenedRun, open_run
from study.report.sections import curve_section
from study.report.tuning import tuning_section

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference"
CSS = Path(study.report.__file__).parent / "templates" / "report.css"
LEAST_CONTRAST = 3.0  # of graphics: Web Content Accessibility Guidelines 2.1, 1.4.11
LEAST_DISTANCE = 11.0  # in CIE Lab; what is just noticeable is about 2
SIGHTS = {  # Machado, Oliveira and Fernandes 2009, on linear RGB, at full severity
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750])
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], LUMINANCE, [0.0193339, 0.1191920, 0.9503041]])

Looks = dict[str, set[tuple[str, str]]]
"""Label of a line -> its colours and matplotlib markers: more than one of them is a fault."""


def cells_of(plain: int, residual: int) -> pd.DataFrame:
    """A depth curve of so many recipes; names tell nothing of the architecture."""
    recipes = [f"recipe_{place:02}" for place in range(plain + residual)]
    architectures = ["residual" if place % 2 < 1 else "plain" for place in range(2 * min(plain, residual))]
    architectures += ["plain"] * (plain - residual) + ["residual"] * (residual - plain)
    lines = pd.DataFrame({"recipe": recipes, "architecture": architectures})
    return pd.DataFrame({"depth": [8, 44]}).merge(lines, how="cross")


def curve_of(cells: pd.DataFrame) -> pd.DataFrame:
    """Make them look measured; everything is perfect."""
    measured = {"mean": 1.0, "low": 0.9, "high": 1.0, "seeds": 3, "diverged": 0, "chance": 0.1}
    context = {"activation_slope": 0.0, "metric": "val_accuracy"}
    return cells[["depth", "recipe"]].assign(**measured, architecture=cells["architecture"], **context)


def page_looks(run: OpenedRun) -> Looks:
    """What the charts of a run's page draw."""
    (part,) = run.parts
    sections = [curve_section(part, "")] + [make(run, part, "") for make in (cost_section, layer_section)]
    sections += [tuning_section(run, part, "")]
    markers, found = dict(MARKERS), defaultdict(set)
    for block in itertools.chain.from_iterable(section.blocks for section in sections):
        for name, color, symbol in _points(block.chart or {"data": []}):
            label = re.sub(r"depth=\d+ ", "", name)  # a cell stands for its line
            if label in part.styles.by_label and symbol != "x-thin-open":  # a trial that diverged
                found[label].add((color, markers[symbol.removesuffix("-open")]))
    return found


def _points(chart: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, colour, symbol) of whatever has all three: traces, points of a map, dots by their tick labels."""
    for trace in chart["data"]:
        marker, name = trace.get("marker", {}), trace.get("legendgroup", trace.get("name", ""))
        if isinstance(marker.get("color"), list):
            yield from zip(chart["layout"]["yaxis"]["ticktext"], marker["color"], marker["symbol"], strict=True)
        elif {"color", "symbol"} <= marker.keys():
            yield from ((name, marker["color"], symbol) for symbol in np.atleast_1d(marker["symbol"]).tolist())


def picture_looks(run: OpenedRun, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Looks]:
    """What each of a run's figures draws."""
    figures: list[Figure] = []
    monkeypatch.setattr(command, "save_figure", lambda figure, path: figures.append(figure) or path)
    command.write_figures(run, folder)
    (part,) = run.parts
    found: dict[int, Looks] = {}
    for figure in figures:
        looks = found.setdefault(id(figure), defaultdict(set))
        for artist in itertools.chain.from_iterable(axes.get_lines() for axes in figure.axes):
            if artist.get_label() in part.styles.by_label:
                looks[artist.get_label()].add((artist.get_color(), artist.get_marker()))
    return found


@pytest.mark.parametrize("name", ["paper_table-quick", "ingredients-44", "length_sweep-quick"])
def test_a_line_looks_the_same_in_page_and_pictures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(REFERENCE / name)
    (part,) = run.parts
    decided = {label: {(style.color, style.marker.matplotlib)} for label, style in part.styles.by_label.items()}
    page = page_looks(run)
    assert page == {label: decided[label] for label in page}
    assert len(page) >= min(len(decided), MAX_LINES)
    pictures = picture_looks(run, tmp_path, monkeypatch)
    assert len(pictures) == 3
    assert all(looks == decided for looks in pictures.values())
    assert len(set().union(*decided.values())) == len(decided)


def test_no_two_lines_look_alike() -> None:
    counts = [(count, residual) for count in range(1, MAX_LINES + 1) for residual in range(count + 1)]
    for count, residual in counts:
        styles = LineStyles.of(cells_of(count - residual, residual), ["recipe"]).by_label.values()
        assert len({(style.color, style.marker) for style in styles}) == count
        assert sum(style.reference for style in styles) == residual


def test_a_chart_that_lacks_lines_draws_the_others_as_the_rest_does() -> None:
    cells = cells_of(4, 2)
    styles = LineStyles.of(cells, ["recipe"])
    few = cells[cells["recipe"].isin(["recipe_01", "recipe_02"])]
    assert {style for style, _ in styles.lines(few)} < {style for style, _ in styles.lines(cells)}
    assert [set(rows["recipe"]) for _, rows in styles.lines(few)] == [{"recipe_02"}, {"recipe_01"}]
    with pytest.raises(AssertionError, match="a line is missing"):
        LineStyles.of(few, ["recipe"]).lines(cells)


def test_the_architecture_makes_a_reference_and_no_name_does() -> None:
    cells = pd.DataFrame({"recipe": ["no_residual", "twin"], "architecture": ["plain", "residual"], "depth": 8})
    styles = LineStyles.of(cells, ["recipe"]).by_label
    assert {label: style.reference for label, style in styles.items()} == {"twin": True, "no_residual": False}
    assert styles["twin"].color in REFERENCE_COLORS
    assert styles["no_residual"].color in COLORS


def test_a_chart_without_room_for_all_lines_keeps_the_references() -> None:
    cells = cells_of(20, 3)
    drawn = drawn_lines(cells, LineStyles.of(cells, ["recipe"]))
    assert len(drawn) == MAX_LINES
    assert sum(style.reference for style, _ in drawn) == 3


def test_lines_stand_in_the_order_of_their_values() -> None:
    cells = pd.DataFrame({"steps": [800, 50, 200], "architecture": "plain"})
    assert list(LineStyles.of(cells, ["steps"]).by_label) == ["steps=50", "steps=200", "steps=800"]
    assert list(LineStyles.of(cells, []).by_label) == ["mean"]
    frame = pd.DataFrame({"x": [1.0, None, 1.0]}, index=[5, 5, 7])
    assert line_names(frame, ["x"]).tolist() == ["x=1", "x=none", "x=1"]
    assert line_names(frame, []).tolist() == ["mean"] * 3


def test_page_and_picture_end_at_the_same_error() -> None:
    curve = curve_of(cells_of(1, 0))
    (trace, *_) = curve_chart(curve, LineStyles.of(curve, ["recipe"]), "", {})["data"]
    (line, *_) = depth_curve_figure(curve, {}, "").axes[0].get_lines()
    assert trace["y"] == pytest.approx([MIN_ERROR] * 2)
    assert 1 - np.asarray(line.get_ydata()) == pytest.approx([MIN_ERROR] * 2)


def linear(color: str) -> npt.NDArray[np.float64]:
    """Linear red, green and blue of a hex colour of six digits or three."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    values = np.array([int(digits[place : place + 2], 16) for place in (0, 2, 4)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """CIE Lab of a linear colour."""
    ratios = XYZ @ rgb.clip(0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_read_on_every_paper_of_the_page_and_on_white() -> None:
    papers = {"#ffffff", *re.findall(r"--(?:paper|card): (#\w+);", CSS.read_text())}
    assert len(papers) >= 4
    for color, paper in itertools.product((*COLORS, *REFERENCE_COLORS), papers):
        dark, light = sorted(float(LUMINANCE @ linear(one)) for one in (color, paper))
        assert (light + 0.05) / (dark + 0.05) >= LEAST_CONTRAST


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_told_apart_by_every_sight(sight: str) -> None:
    seen = [lab(np.asarray(SIGHTS[sight]) @ linear(color)) for color in (*COLORS, *REFERENCE_COLORS)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= LEAST_DISTANCE
