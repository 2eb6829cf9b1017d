"""A run in a terminal: table, small plot, answer, limits, what to distrust. `print_summary` also ends every run."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from study.analysis.comparison import MARGIN
from study.analysis.cost import non_dominated
from study.analysis.curves import depth_curve
from study.analysis.scores import cell_name
from study.analysis.words import is_clear, is_level, share_words
from study.report.caveats import caveats_of
from study.report.conclusions import conclusions_of
from study.report.figures import depth_curve_figure, save_figure
from study.report.opened_run import OpenedRun
from study.report.part import LINEAR, NEIGHBOR, Part
from study.report.sections import SEEDS_ONLY
from study.report.targets import twin_lines
from study.store.locations import safe_name
from study.store.storage import Storage
from study.terminal import plural

FIGURE = "depth_curve"
HEADING = "\n{title}: confirmed validation accuracy, mean and 95 % interval over seeds\n"
NOTE = (
    "\nMean over all seeds, a diverged one as chance. Trained: the seeds that reach half of the way from chance to "
    "1, the exact interval of their share, and their mean. Test: mean test accuracy of all seeds. Slope: of the "
    "recipe's activation, 0 for ReLU. " + SEEDS_ONLY
)
BASELINE_LINES = {
    LINEAR: "Linear baseline (logistic regression on the pixels{mark}): {validation_accuracy:.3f}.",
    NEIGHBOR: "Nearest neighbour (among {train_images:,} training images, by their pixels): {validation_accuracy:.3f}.",
}
PANDAS = """\
import pandas as pd
from study.analysis import depth_curve
trials = pd.read_parquet("{trials}")
for metric in ("val_accuracy", "test_accuracy"):
    print(depth_curve(trials, by={axes}, metric=metric).to_string())"""

BAR_CELLS, MAX_BARS = 30, 40
FILLED, EMPTY, MARK = "█", "·", "│"  # the mark is the linear baseline, as the note under the bars says
TRAINED = "reaches half of the way from chance to 1"
LIMITS = {
    "logistic": f"{TRAINED} in half of the seeds at depth {{limit:.0f}} [{{low}}, {{high}}]",
    "bracket": f"{TRAINED} in every seed up to depth {{low}}, in none from {{high}} on",
    "bracket from below": f"{TRAINED} in every seed up to depth {{low}}, deeper in some",
    "bracket from above": f"{TRAINED} in some seeds, and from depth {{high}} on in none",
    "beyond": f"{TRAINED} in every seed at every depth tried, the deepest {{low}}",
    "below": f"{TRAINED} in no seed at any depth tried, the shallowest {{high}}",
    "flat": f"{TRAINED} in {{trained}} of {{seeds}} seeds, with no clear trend over depth",
    "between": f"{TRAINED} in most seeds at depths {{low}} to {{high}}, in fewer when shallower and when deeper",
    "rising": f"{TRAINED} more often when deeper",
}


def print_summary(storage: Storage, console: Console) -> None:
    """Print what `print_text` does, draw the depth curve of each data set beside the tables, and say where it is."""
    run = OpenedRun.at(storage)
    print_text(run, console)
    for part in run.parts:
        figure = depth_curve_figure(part.curve, part.baselines, _title(run, part), part.styles)
        name = f"{FIGURE}.png" if "dataset" not in run.axes else safe_name(f"{FIGURE}-{part.dataset}.png")
        _store_figure(figure, storage, name)
        console.print(f"Figure: {storage.sub(name).location}", markup=False, soft_wrap=True)
    console.print("The numbers, in pandas:\n")
    axes = run.axes or ["cell"]
    console.print(PANDAS.format(trials=storage.sub("trials").location, axes=axes), markup=False, soft_wrap=True)


def print_text(run: OpenedRun, console: Console) -> None:
    """Print a run, finished or still going, one data set after the other."""
    for part in run.parts:
        if len(part.curve):
            console.print(HEADING.format(title=_title(run, part)), markup=False)
            console.print(_table(part.tested_curve, part.names))
            console.print()
            console.print(_plot(part))
            console.print(NOTE, markup=False)
        else:
            console.print(f"\n{_title(run, part)}\n", markup=False)
        for line in _baselines(part, marked=len(part.curve) > 0):
            console.print(line, markup=False)
        for sentence in conclusions_of(run, part):
            console.print(sentence, markup=False)
        console.print(f"{part.answer}\n", markup=False)
        measured = (_limits(part), _verdicts(part), twin_lines(run, part), _published(run, part), _front(run, part))
        for line in chain(*measured, _distrust(run, part)):
            console.print(line, markup=False)
    if run.trials.empty:
        console.print(f"{run.name}: nothing is finished yet.", markup=False)


def _baselines(part: Part, *, marked: bool) -> Iterator[str]:
    mark = f", {MARK} in the bars" if marked else ""
    for words, baseline in part.baselines.items():
        yield BASELINE_LINES[words].format(mark=mark, **baseline)
    if part.baselines:
        yield ""


def _title(run: OpenedRun, part: Part) -> str:
    return f"{run.name} on {part.dataset}"


def _table(curve: pd.DataFrame, names: list[str]) -> Table:
    """Confirmed means with intervals: the last name across, the others down."""
    *down, across = names
    columns = curve[across].drop_duplicates().tolist()
    table = Table(box=None, pad_edge=False)
    for heading in (" ".join(down), *(cell_name(pd.Series({across: value}), [across]) for value in columns)):
        table.add_column(heading, overflow="fold")
    for values, row in curve.groupby(down or (lambda _: ""), sort=False):
        cells = row.set_index(across, drop=False)
        name = " ".join(map(str, values)) if isinstance(values, tuple) else str(values)
        table.add_row(name, *(_cell(cells.loc[column]) if column in cells.index else "-" for column in columns))
    return table


def _cell(cell: Any) -> str:
    """Mean, interval, seeds that trained, mean on the test images, seeds that diverged, slope: a line each."""
    interval = "" if pd.isna(cell["low"]) else f"\n[{cell['low']:.3f}, {cell['high']:.3f}]"
    alone = f": {cell['trained_mean']:.3f}" if 0 < cell["trained"] < cell["seeds"] else ""
    diverged = f"\n{cell['diverged']} of {cell['seeds']} diverged" if cell["diverged"] else ""
    slope = "" if pd.isna(cell["activation_slope"]) else f"\nslope {cell['activation_slope']:g}"
    test = "" if pd.isna(cell["mean_test"]) else f"\ntest {cell['mean_test']:.3f}"
    return f"{cell['mean']:.3f}{interval}\ntrained {share_words(cell)}{alone}{test}{diverged}{slope}"


def _plot(part: Part) -> Table:
    """A bar from 0 to 1 for each cell, depths of one line together, with a mark at the linear baseline."""
    names = [*part.lines, *(["depth"] if "depth" in part.axes else [])] or ["cell"]
    table = Table(box=None, pad_edge=False, show_header=False)
    shown = part.curve.sort_values(names).head(MAX_BARS)
    for _, cell in shown.iterrows():
        table.add_row(cell_name(cell, names), _bar(cell["mean"], part.levels.get(LINEAR)), f"{cell['mean']:.3f}")
    if len(part.curve) > MAX_BARS:
        table.add_row(f"and {len(part.curve) - MAX_BARS} more cells", "", "")
    return table


def _bar(mean: float, baseline: float | None) -> str:
    filled = round(mean * BAR_CELLS)
    bar = list(FILLED * filled + EMPTY * (BAR_CELLS - filled))
    if baseline is not None:
        bar[min(int(baseline * BAR_CELLS), BAR_CELLS - 1)] = MARK
    return "".join(bar)


def _limits(part: Part) -> Iterator[str]:
    """How deep each line reaches half of the way from chance to 1, where there are depths to tell."""
    if "depth" not in part.axes or part.trials["depth"].nunique() < 2:
        return
    for _, limit in part.limits.iterrows():
        yield f"{cell_name(limit, part.lines) or 'The net'} {limit_words(limit)}."


def limit_words(limit: "pd.Series[Any]") -> str:
    """A row of `trainability_limits` as a predicate; an end that the data leave open is an ellipsis, or goes unsaid."""
    low, high = ("…" if pd.isna(limit[name]) else f"{limit[name]:.0f}" for name in ("low", "high"))
    method = limit["method"]
    if method == "bracket" and "…" in (low, high):
        method = "bracket from above" if low == "…" else "bracket from below"
    return LIMITS[method].format_map({**limit, "low": low, "high": high})


def _verdicts(part: Part) -> Iterator[str]:
    """What the paired comparisons allow to be said, corrected over all of them."""
    pairs = part.pairs
    if len(pairs):
        clear, level = (int(pairs["verdict"].map(says).sum()) for says in (is_clear, is_level))
        yield (
            f"\nOf {plural(len(pairs), 'paired comparison')}, {clear} tell which side is better (corrected by Holm), "
            f"{level} that both are level (within {MARGIN:g})."
        )


def _published(run: OpenedRun, part: Part) -> Iterator[str]:
    """Test errors that others report for the same cells, beside ours."""
    published, remarks = run.facts.get("published_test_error", {}), run.facts.get("published_remarks", {})
    if not published:
        return
    ours = depth_curve(part.trials, by=("cell",), metric="test_accuracy").set_index("cell")
    yield "\nTest error, published and ours (mean and 95 % interval over seeds):"
    for cell, error in published.items():
        if cell in ours.index:
            mean, low, high = (1.0 - ours.loc[cell, name] for name in ("mean", "low", "high"))
            remark = f" ({remarks[cell]})" if cell in remarks else ""
            yield f"- {cell}: published {error:.1%}{remark}, ours {mean:.1%} [{high:.1%}, {low:.1%}]"


def _front(run: OpenedRun, part: Part) -> Iterator[str]:
    """The Pareto front of a search with several objectives."""
    objectives = run.objectives
    if len(objectives) < 2:
        return
    front = non_dominated(part.trials, objectives)
    yield f"\nPareto front of {', '.join(objectives)} (search trials, one seed each):"
    for _, trial in front.head(MAX_BARS).iterrows():
        reached = ", ".join(f"{name} {trial[name]:.4g}" for name in objectives)
        yield f"- {reached}: {cell_name(trial, run.knobs)}"


def _distrust(run: OpenedRun, part: Part) -> Iterator[str]:
    sentences = caveats_of(run, part)
    if sentences:
        yield "\nWhat to distrust:"
        yield from (f"- {sentence}" for sentence in sentences)
        yield ""


def _store_figure(figure: Any, storage: Storage, name: str) -> None:
    with TemporaryDirectory() as folder:
        path = save_figure(figure, Path(folder) / name)
        storage.write(name, path.read_bytes())
