"""A run in a terminal: table, small plot, answer, limits, what to distrust. `print_summary` also ends every run."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from rich.console import Console

from study.analysis.comparison import MARGIN
from study.analysis.cost import non_dominated
from study.analysis.curves import depth_curve
from study.analysis.scores import cell_name
from study.analysis.words import is_clear, is_level
from study.report.caveats import caveats_of
from study.report.cell_table import MARK, cell_table
from study.report.conclusions import headline_of
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
    "\nMean over all seeds, a diverged one as chance. Trained: the seeds that reach half of the way from chance to 1. "
    "Test: mean test accuracy. Slope: of the activation for negative inputs, 0 for ReLU. The page has the rest. "
    + SEEDS_ONLY
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

MAX_FRONT = 40
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


def print_summary(run: OpenedRun, console: Console) -> None:
    """Print the numbers, draw the depth curve of each data set beside the tables, and say where it is."""
    _print_numbers(run, console)
    for part in run.parts:
        figure = depth_curve_figure(part.curve, part.baselines, _title(run, part), part.styles)
        name = f"{FIGURE}.png" if "dataset" not in run.axes else safe_name(f"{FIGURE}-{part.dataset}.png")
        _store_figure(figure, run.storage, name)
        console.print(f"Figure: {run.storage.sub(name).location}", markup=False, soft_wrap=True)
    console.print("The numbers, in pandas:\n")
    axes = run.axes or ["cell"]
    console.print(PANDAS.format(trials=run.storage.sub("trials").location, axes=axes), markup=False, soft_wrap=True)


def print_text(run: OpenedRun, console: Console) -> None:
    """Print a run, finished or still going: the numbers, and last the answer."""
    _print_numbers(run, console)
    print_answer(run, console)


def print_answer(run: OpenedRun, console: Console) -> None:
    """Print the answer to the sweep's question, a plain line for each data set."""
    for part in run.parts:
        words = f"{part.dataset}: {headline_of(run, part)}" if len(run.parts) > 1 else headline_of(run, part)
        console.print(f"\n{words}", markup=False, highlight=False, style="bold")
    if run.trials.empty:
        console.print(f"{run.name}: nothing is finished yet.", markup=False)


def _print_numbers(run: OpenedRun, console: Console) -> None:
    """Print the statistics of one data set after the other."""
    for part in run.parts:
        table = cell_table(part, console.width) if len(part.curve) else ""
        if table:
            console.print(HEADING.format(title=_title(run, part)), markup=False)
            console.print(table, markup=False, soft_wrap=True)
            console.print(NOTE, markup=False)
        else:
            console.print(f"\n{_title(run, part)}\n", markup=False)
        for line in _baselines(part, marked=MARK in table):
            console.print(line, markup=False)
        console.print(f"{part.answer}\n", markup=False)
        measured = (_limits(part), _verdicts(part), twin_lines(run, part), _published(run, part), _front(run, part))
        for line in chain(*measured, _distrust(run, part)):
            console.print(line, markup=False)


def _baselines(part: Part, *, marked: bool) -> Iterator[str]:
    mark = f", {MARK} in the bars" if marked else ""
    for words, baseline in part.baselines.items():
        yield BASELINE_LINES[words].format(mark=mark, **baseline)
    if part.baselines:
        yield ""


def _title(run: OpenedRun, part: Part) -> str:
    return f"{run.name} on {part.dataset}"


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
    for _, trial in front.head(MAX_FRONT).iterrows():
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
