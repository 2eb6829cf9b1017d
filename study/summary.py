"""What a run says when it is over: the table of confirmed cells, the answer in one sentence, how to open the result."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from study.analysis import answer, depth_curve
from study.figures import depth_curve_figure, save_figure
from study.records import read_arrow, read_json
from study.storage import RUN_FILE, Storage

FIGURE = "depth_curve"
HEADING = "\n{title}: confirmed validation accuracy, mean and 95 % interval over seeds\n"
NOTE = """
Linear baseline (logistic regression on the pixels): {validation_accuracy:.3f}.
Slope: of the recipe's activation, 0 for ReLU. A diverged or failed seed counts as chance.
"""
PANDAS = """\
import pandas as pd
trials = pd.read_parquet("{root}/trials")
confirmed = trials[trials.phase == "confirm"]
print(confirmed.groupby({axes})[["val_accuracy", "test_accuracy"]].agg(["mean", "std", "count"]))"""


def print_summary(storage: Storage, console: Console) -> None:
    """Print table, answer and pandas lines of a run; draw its figure beside the tables."""
    run, trials = read_json(storage, RUN_FILE), read_arrow(storage, "trials").to_pandas()
    axes = list(next(iter(run["compared"].values()), {}))
    for dataset, part, part_axes in _by_dataset(trials, axes):
        baseline = run["linear_baseline"][dataset]
        curve = depth_curve(part, by=part_axes)
        title = f"{run['run']} on {dataset}"
        console.print(HEADING.format(title=title), markup=False)
        console.print(_table(curve, part_axes))
        console.print(NOTE.format(**baseline), markup=False)
        console.print(answer(part, baseline, by=part_axes) + "\n", markup=False)
        figure = depth_curve_figure(curve, baseline, title)
        name = FIGURE if part_axes == axes else f"{FIGURE}-{dataset}"
        _store_figure(figure, storage, f"{name}.png")
    console.print(f"Figure: {storage.root}/{FIGURE}*.png. The numbers, in pandas:\n", markup=False)
    console.print(PANDAS.format(root=storage.root, axes=axes or ["cell"]), markup=False, soft_wrap=True)


def _by_dataset(trials: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame, list[str]]]:
    """Each data set by itself: accuracies on different sets are never put in one table."""
    for dataset, part in trials.groupby("dataset", sort=False):
        yield str(dataset), part, [name for name in axes if name != "dataset"]


def _table(curve: pd.DataFrame, axes: list[str]) -> Table:
    """Confirmed means with intervals: the last axis across, the others down."""
    *down, across = axes or ["cell"]
    columns = curve[across].drop_duplicates().tolist()
    table = Table(box=None, pad_edge=False)
    for heading in (" ".join(down), *map(str, columns)):
        table.add_column(heading)
    for values, row in curve.groupby(down or (lambda _: ""), sort=False):
        cells = row.set_index(across)
        name = " ".join(map(str, values)) if isinstance(values, tuple) else str(values)
        table.add_row(name, *(_cell(cells.loc[column]) if column in cells.index else "-" for column in columns))
    return table


def _cell(cell: Any) -> str:
    """`.981 [.970, .992]`, how many of its seeds diverged, and the activation's slope."""
    interval = "" if pd.isna(cell["low"]) else f" [{cell['low']:.3f}, {cell['high']:.3f}]"
    diverged = f"\n{cell['diverged']} of {cell['seeds']} seeds diverged" if cell["diverged"] else ""
    slope = "" if pd.isna(cell["activation_slope"]) else f"\nslope {cell['activation_slope']:g}"
    return f"{cell['mean']:.3f}{interval}{diverged}{slope}"


def _store_figure(figure: Any, storage: Storage, name: str) -> None:
    with TemporaryDirectory() as folder:
        path = save_figure(figure, Path(folder) / name)
        storage.write(name, path.read_bytes())
