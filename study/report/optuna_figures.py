"""Optuna's own figures of each cell's search, drawn by `optuna.visualization` and made light. Rows in, blocks out.

The studies are built anew from the tables, as a run's own start does: nothing is unpickled.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from optuna.visualization import (
    plot_contour,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_slice,
    plot_timeline,
)
from plotly.graph_objects import Figure

from study.config import OBJECTIVES, SEARCH
from study.report.blocks import Block, Chart, Section
from study.report.charts import layout
from study.report.opened_run import OpenedRun, most_wanted
from study.report.part import Part
from study.search.optuna_trials import FinishedTrial
from study.store.schemas import SCHEMAS, Row

GROUP = "Optuna's own figures, cell by cell"
FIGURE_BYTES = 400_000  # Of all cells of a data set together.
MAX_CELLS = 30  # A cell's figures take about a quarter of a second.
MAX_DRAWN = 60  # trials in a contour, whose grid has a place for each pair of them
DIGITS = 5
NOTE = (
    "Search trials of {drawn} of {cells} cells, the best first; contours are of the first two searched fields. All of "
    "them: python -m study.report {name} --export journal, for optuna-dashboard."
)


def optuna_section(run: OpenedRun, part: Part, anchor: str) -> Section:
    """The searches of a data set's cells."""
    blocks = optuna_blocks(run, part)
    return Section(anchor, "Searches", "" if blocks else "No cell has two finished search trials.", blocks)


def optuna_blocks(run: OpenedRun, part: Part) -> list[Block]:
    """A folded block for each kind of figure, in which the reader chooses the cell; none where nothing was searched."""
    charts: dict[str, dict[str, Chart]] = {title: {} for title in FIGURES}
    spent = drawn = 0
    with _silent():
        for study in islice(_studies(run, part), MAX_CELLS):
            found = {title: _light(draw(study, run.objectives[0])) for title, draw in FIGURES.items()}
            spent += len(json.dumps(found))
            if drawn and spent > FIGURE_BYTES:
                break
            drawn += 1
            for title, chart in found.items():
                if chart["data"]:
                    charts[title][study.study_name] = chart
    note = NOTE.format(drawn=drawn, cells=part.trials["cell"].nunique(), name=run.name)
    shown = {title: found for title, found in charts.items() if found}
    first = next(iter(shown), "")
    return [Block(title, note * (title == first), charts=found, group=GROUP) for title, found in shown.items()]


@contextmanager
def _silent() -> Iterator[None]:
    """Optuna says that it makes a study, and warns of each that is too small for a figure."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _studies(run: OpenedRun, part: Part) -> Iterator[optuna.Study]:
    """The study of each cell that has two finished search trials or more."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in pa.Table.from_pandas(run.trials, SCHEMAS["trials"], preserve_index=False).to_pylist():  # nulls as None
        if row["phase"] == SEARCH and row["started_at"] and row["finished_at"]:
            rows[row["cell"]].append(row)
    for cell in most_wanted(part.trials)["cell"].unique():
        space = _space(run, cell)
        trials = sorted((FinishedTrial(row, {}) for row in rows[cell]), key=lambda trial: trial.number)
        if space and sum(trial.row["status"] == "ok" for trial in trials) > 1:
            directions = [OBJECTIVES[name] for name in run.objectives]
            study = optuna.create_study(study_name=cell, directions=directions)
            study.add_trials([trial.frozen(space, run.objectives) for trial in trials])
            yield study


def _space(run: OpenedRun, cell: str) -> dict[str, BaseDistribution]:
    declared = run.facts.get("declaration", {}).get("cells", {}).get(cell, {}).get("search", {})
    return {field: json_to_distribution(json.dumps(space)) for field, space in declared.items()}


def _contour(study: optuna.Study, name: str) -> Figure:
    """Of two fields, for each pair takes as long as all else; of the best trials where a grid of all is too large."""
    trials = sorted(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]), key=lambda one: -one.values[0])
    fields = list(trials[0].params)[:2]
    few = optuna.create_study(directions=study.directions)
    few.add_trials(trials[:MAX_DRAWN])
    return plot_contour(few, fields, **_target(few, name)) if len(fields) > 1 else Figure()


def _target(study: optuna.Study, name: str) -> dict[str, Any]:
    """What is drawn: among several objectives the first."""
    several = {"target": lambda trial: trial.values[0]} if len(study.directions) > 1 else {}
    return {"target_name": name.replace("_", " "), **several}


FIGURES: dict[str, Callable[[optuna.Study, str], Figure]] = {
    "Optimization history": lambda study, name: plot_optimization_history(study, **_target(study, name)),
    "Slice": lambda study, name: plot_slice(study, **_target(study, name)),
    "Parallel coordinates": lambda study, name: plot_parallel_coordinate(study, **_target(study, name)),
    "Contour": _contour,
    "Timeline": lambda study, name: plot_timeline(study),
}


def _light(figure: Figure) -> Chart:
    """A figure without what the page has already (template, title) and without empty traces."""
    known = _rounded(figure.to_plotly_json())
    own = {name: value for name, value in known["layout"].items() if name not in ("template", "title")}
    shown = layout(own.pop("xaxis", {}), own.pop("yaxis", {}), **own)
    return {"data": [trace for trace in known["data"] if trace.get("x", True)], "layout": shown}


def _rounded(data: Any) -> Any:
    """Plain data in place of numpy's and tuples, floats to DIGITS digits."""
    if isinstance(data, dict):
        return {name: _rounded(value) for name, value in data.items()}
    if isinstance(data, np.ndarray):
        return _rounded(data.tolist())
    if isinstance(data, list | tuple):
        return [_rounded(value) for value in data]
    if isinstance(data, float):
        return float(f"{data:.{DIGITS}g}") if np.isfinite(data) else None
    return data.item() if isinstance(data, np.generic) else data
