"""Properties of study.report.figures: what is drawn and written, not how it looks. Figures are made without pyplot."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.analysis.curves import depth_curve
from study.report.figures import depth_curve_figure, save_figure

BASELINE = {"linear baseline": {"validation_accuracy": 0.85, "test_accuracy": 0.8, "inverse_regularization": 0.1}}


def curve_of(depths: list[int], recipes: list[str], *, seeds: int = 3, diverged: str = "") -> pd.DataFrame:
    """The curve of a small sweep; at the deepest depth every seed of the recipe `diverged` diverges."""
    generator = np.random.default_rng(0)
    rows = [
        {"depth": depth, "recipe": recipe, "seed": seed, "phase": "confirm", "num_classes": 10, "learning_rate": 0.1}
        | {"dataset": "digits"}
        | {"status": "diverged" if recipe == diverged and depth == max(depths) else "ok"}
        | {"architecture": "residual" if recipe == "residual" else "plain"}
        | {"activation_slope": 0.5 if recipe == "isometric" and depth > 8 else 0.0}
        | {"val_accuracy": generator.uniform(0.8, 0.9)}
        for depth in depths
        for recipe in recipes
        for seed in range(seeds)
    ]
    return depth_curve(pd.DataFrame(rows))


def texts(figure: Figure) -> list[str]:
    """Every text drawn in the figure's axes, ticks apart, and the figure's title and note."""
    drawn = [text.get_text() for axes in figure.axes for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]]
    return [*drawn, figure.get_suptitle(), figure.get_supxlabel()]


def lines(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Labelled lines: label -> (x, y)."""
    found = {}
    for line in axes.get_lines():
        found[str(line.get_label())] = (list(line.get_xdata()), list(line.get_ydata()))
    return found


def test_one_line_a_recipe_through_its_means_and_intervals() -> None:
    curve = curve_of([8, 20, 44], ["he_l2", "isometric", "residual"])
    axes = depth_curve_figure(curve, {}, "Question?").axes[0]
    drawn = lines(axes)
    for recipe in ("he_l2", "isometric", "residual"):
        cells = curve[curve["recipe"] == recipe]
        np.testing.assert_allclose(drawn[recipe][1], cells["mean"])
        np.testing.assert_allclose(drawn[recipe][0], np.log2(cells["depth"]), atol=0.1)
    assert len(axes.collections) == 3
    bars = np.concatenate([bar.get_segments()[0][:, 1] for bar in axes.collections])
    np.testing.assert_allclose(sorted(bars[:2]), curve.loc[curve["recipe"] == "residual", ["low", "high"]].iloc[0])
    colors = {line.get_color() for line in axes.get_lines() if line.get_label() in set(curve["recipe"])}
    assert len(colors) == 3


def test_depths_are_the_ticks_and_title_axis_and_note_are_there() -> None:
    figure = depth_curve_figure(curve_of([8, 20, 44, 110], ["he_l2"]), {}, "How deep?")
    axes = figure.axes[0]
    assert sorted(round(2**place) for place in axes.get_xticks()) == [8, 20, 44, 110]
    assert sorted(int(label.get_text()) for label in axes.get_xticklabels()) == [8, 20, 44, 110]
    assert "How deep?" in texts(figure)
    assert "validation accuracy (log of the error)" in texts(figure)
    assert "Mean and 95 % interval over 3 seeds." in texts(figure)


def test_levels_and_lines_are_labelled_with_their_numbers() -> None:
    curve = curve_of([8, 20], ["he_l2", "isometric"])
    figure = depth_curve_figure(curve, BASELINE, "")
    drawn = lines(figure.axes[0])
    assert drawn["chance 0.100"][1] == [0.1, 0.1]
    assert drawn["linear baseline 0.850"][1] == [0.85, 0.85]
    last = curve[curve["depth"] == 20].set_index("recipe")["mean"]
    assert f"he_l2 {last['he_l2']:.3f}" in texts(figure)
    assert f"isometric {last['isometric']:.3f}, slope 0 to 0.5" in texts(figure)
    assert {"chance 0.100", "linear baseline 0.850"} <= set(texts(figure))


def test_labels_keep_their_distance_and_stay_in_the_axes() -> None:
    figure = depth_curve_figure(curve_of([8, 20], [f"recipe_{k}" for k in range(12)]), BASELINE, "")
    heights = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    assert len(heights) == 14
    assert np.diff(heights).min() * figure.get_figheight() > 0.15  # Inches: ten-point text is 0.14 high.
    assert heights[-1] <= 1.0 + 1e-9


def test_diverged_seeds_are_crossed_and_counted() -> None:
    figure = depth_curve_figure(curve_of([8, 110], ["he_l2", "orthonormal"], diverged="orthonormal"), {}, "")
    curve_axes, table = figure.axes
    crosses = [y for line in curve_axes.get_lines() if line.get_label() == "_diverged" for y in line.get_ydata()]
    assert crosses == pytest.approx([0.1])
    assert [text.get_text() for text in table.texts] == ["0", "3/3", "orthonormal"]
    assert any("diverged" in text and "counts as chance" in text for text in texts(figure))


def test_without_failures_there_is_no_table() -> None:
    assert len(depth_curve_figure(curve_of([8, 110], ["he_l2"]), {}, "").axes) == 1


def test_a_perfect_mean_stays_in_view() -> None:
    curve = curve_of([8, 20], ["he_l2"]).assign(mean=1.0, low=1.0, high=1.0)
    figure = depth_curve_figure(curve, {}, "")
    axes = figure.axes[0]
    assert axes.get_ylim()[0] <= max(lines(axes)["he_l2"][1]) < axes.get_ylim()[1]
    assert "he_l2 1.000" in texts(figure)


def test_one_seed_says_that_there_is_no_interval() -> None:
    figure = depth_curve_figure(curve_of([8, 20], ["he_l2"], seeds=1), {}, "")
    assert "One seed each, so no intervals." in texts(figure)


def test_many_close_depths_print_without_overlap() -> None:
    axes = depth_curve_figure(curve_of(list(range(8, 400, 6)), ["he_l2"]), {}, "").axes[0]
    places = np.sort(axes.get_xticks())
    assert np.diff(places).min() > 0.04 * np.ptp(places)
    assert len(axes.get_xticks(minor=True)) >= 66 - len(places)


def test_the_nearest_neighbour_is_drawn_beside_the_linear_baseline() -> None:
    both = {**BASELINE, "nearest neighbour": {"validation_accuracy": 0.9, "test_accuracy": 0.9}}
    line = depth_curve_figure(curve_of([8, 20], ["he_l2"]), both, "")
    assert {"linear baseline 0.850", "nearest neighbour 0.900"} <= set(texts(line))
    note = depth_curve_figure(curve_of([8], ["he_l2", "isometric"]), both, "").get_supxlabel().replace("\n", " ")
    assert "Dashed: linear baseline 0.850, nearest neighbour 0.900." in note


def test_other_axes_give_a_dot_a_cell_highest_on_top() -> None:
    curve = curve_of([8], ["he_l2", "isometric", "orthonormal"], diverged="orthonormal")
    figure = depth_curve_figure(curve, BASELINE, "")
    (axes,) = figure.axes
    drawn = lines(axes)
    assert {recipe: drawn[recipe][0] for recipe in curve["recipe"]} == {
        recipe: [mean] for recipe, mean in zip(curve["recipe"], curve["mean"], strict=True)
    }
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == list(curve.sort_values("mean")["recipe"])
    assert drawn["linear baseline 0.850"][0] == [0.85, 0.85]
    assert "0.100, 3/3 diverged" in texts(figure)
    note = figure.get_supxlabel().replace("\n", " ")
    assert "All cells: depth=8." in note
    assert "Dashed: linear baseline 0.850." in note


def test_an_empty_curve_is_an_empty_figure_that_says_so(tmp_path: Path) -> None:
    figure = depth_curve_figure(depth_curve(pd.DataFrame()), BASELINE, "How deep?")
    assert "Nothing is confirmed yet." in texts(figure)
    assert save_figure(figure, tmp_path / "empty.png").stat().st_size > 0


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_written_files_are_of_their_kind_and_repeat(tmp_path: Path, suffix: str, magic: bytes) -> None:
    curve = curve_of([8, 20], ["he_l2", "residual"], diverged="he_l2")
    for folder in ("one", "two"):
        save_figure(depth_curve_figure(curve, BASELINE, "How deep?"), tmp_path / folder / f"curve{suffix}")
    written = [(tmp_path / folder / f"curve{suffix}").read_bytes() for folder in ("one", "two")]
    assert written[0].startswith(magic)
    assert written[0] == written[1]


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix must be one of \.png, \.svg"):
        save_figure(Figure(), tmp_path / "curve.bmp")


def test_analysis_and_figures_load_neither_ray_nor_torch_nor_pyplot() -> None:
    look = "import sys, study.analysis.curves; a = set(sys.modules); import study.report.figures; b = set(sys.modules)"
    judge = "assert not a & {'ray', 'torch', 'matplotlib'}; assert not b & {'ray', 'torch', 'matplotlib.pyplot'}"
    subprocess.run([sys.executable, "-c", f"{look}; {judge}"], check=True)
