"""One run as one self-contained HTML page: data, figures and plotly in a single file that asks the network for nothing.

Jinja escapes every text of the template's; charts and the trial table go through JSON with `<`, `>` and `&` written as
escapes, and the page's script puts them into the document as text. A content security policy forbids the rest.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from study.analysis.scores import select
from study.report.blocks import Block, Section
from study.report.caveats import caveats_of
from study.report.commands import commands_of
from study.report.compare import compare_section
from study.report.conclusions import headline_of
from study.report.costs import cost_section
from study.report.layers import MAPPED, layer_section, trial_maps
from study.report.learning import kept_curves, learning_section, packed_curves, trial_chart
from study.report.opened_run import OpenedRun, most_wanted
from study.report.optuna_figures import optuna_section
from study.report.part import Part
from study.report.recipes import recipe_blocks
from study.report.sections import comparison_section, curve_section, picture
from study.report.tuning import tuning_section
from study.store.storage import Storage
from study.terminal import plural

REPORT = "report.html"
MAX_TRIALS = 3_000  # Of the table in the page: a row takes about 350 bytes.
ERROR_CHARACTERS = 300  # Of a failed trial's error: its last lines.
MEASURES = ("val_accuracy", "test_accuracy", "train_loss", "val_loss", "epochs_completed", "train_seconds")
DIGITS = 5
FAILED = "This section could not be made ({kind}: {message}). The rest of the page does not depend on it."


def write_report(
    storage: Storage,
    other: OpenedRun | None = None,
    folder: Storage | None = None,
    *,
    reload_seconds: float | None = None,
) -> str:
    """Write the page of a run beside its tables, or in another folder; returns its full name."""
    folder = folder or storage
    folder.write(REPORT, render_page(OpenedRun.at(storage), other, reload_seconds=reload_seconds).encode())
    return folder.sub(REPORT).location


def render_page(run: OpenedRun, other: OpenedRun | None = None, *, reload_seconds: float | None = None) -> str:
    """The page of a run, finished or still going.

    Args:
        run: the run.
        other: is set beside it.
        reload_seconds: after which the browser loads the page again; None: never.
    """
    curves = kept_curves(run)
    parts = [_part(run, part, number, curves) for number, part in enumerate(run.parts)]
    charts: list[Any] = []
    for part in parts:
        part["hero"] = [_with_charts(block, charts) for block in part["hero"]]
        part["sections"] = [_section(section, charts) for section in part["sections"]]
    compared = None if other is None else _section(compare_section(run, other), charts)
    loader = PackageLoader("study.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        run=run,
        reload_seconds=reload_seconds,
        state=state_of(run),
        parts=parts,
        compared=compared,
        provenance=provenance_of(run),
        commands=commands_of(run),
        place=place_of(run),
        plotly=get_plotlyjs(),
        data=embedded(
            {
                **{"charts": charts, "trials": trial_table(run), "maps": trial_maps(run, run.trials), "mapped": MAPPED},
                **{"curves": packed_curves(curves), "trialChart": trial_chart()},
            }
        ),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _part(run: OpenedRun, part: Part, number: int, curves: pd.DataFrame) -> dict[str, Any]:
    """All of one data set: answer, picture, warnings, sections."""
    makers: dict[str, tuple[str, Callable[[str], Section]]] = {
        "accuracy": ("Accuracy", lambda anchor: curve_section(part, anchor)),
        "comparisons": ("Comparisons", lambda anchor: comparison_section(part, anchor)),
        "mattered": ("What mattered", lambda anchor: tuning_section(run, part, anchor)),
        "cost": ("Cost", lambda anchor: cost_section(run, part, anchor)),
        "learning": ("Learning curves", lambda anchor: learning_section(part, curves, anchor)),
        "optuna": ("Searches", lambda anchor: optuna_section(run, part, anchor)),
        "isometry": ("Isometry", lambda anchor: layer_section(run, part, anchor)),
    }
    sections = [_or_failure(title, f"{name}-{number}", make) for name, (title, make) in makers.items()]
    return {
        "dataset": part.dataset,
        "headline": headline_of(run, part),
        "answer": part.answer,
        "hero": [_titled(picture(part), part), *recipe_blocks(run, part)],
        "warnings": caveats_of(run, part),
        "sections": sections,
    }


def _titled(block: Block, part: Part) -> Block:
    return replace(block, title=f"Validation accuracy, confirmed, on {part.dataset}")


def _or_failure(title: str, anchor: str, make: Callable[[str], Section]) -> Section:
    """The section, or one that says why it could not be made: the rest of the page stands without it."""
    try:
        return make(anchor)
    except Exception as error:  # whatever it is: a reader of the other sections has no use for a traceback
        why = FAILED.format(kind=type(error).__name__, message=str(error) or "no message")
        return Section(anchor, title, blocks=[Block("Not shown", why)])


def _section(section: Section, charts: list[Any]) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for group, blocks in groupby(section.blocks, key=lambda block: block.group):
        shown = [_with_charts(block, charts) for block in blocks]
        items += [{"group": group, "blocks": shown}] if group else [{"group": "", "blocks": [one]} for one in shown]
    return {"anchor": section.anchor, "title": section.title, "intro": section.intro, "items": items}


def _with_charts(block: Block, charts: list[Any]) -> dict[str, Any]:
    """A block for the template, its charts moved to `charts` and named by their places there."""
    own = {"": block.chart} if block.chart is not None else block.charts
    places = {name: len(charts) + place for place, name in enumerate(own)}
    charts += own.values()
    height = max((chart["layout"].get("height", 0) for chart in own.values()), default=0)
    kept = ("title", "note", "columns", "rows", "folded")
    curves = any("curve" in trace for chart in own.values() for trace in chart["data"])
    shown = {"charts": places, "height": height, "curves": curves}
    return {name: getattr(block, name) for name in kept} | shown


def state_of(run: OpenedRun) -> str:
    """`finished, 100 trials`, or how far it is."""
    done, planned = run.progress
    if run.finished:
        return f"finished, {plural(len(run.trials), 'trial')}"
    return f"not finished: {done} of {planned} trials"


def trial_table(run: OpenedRun) -> dict[str, Any]:
    """The trials as columns and rows for the page's script: what varies between them, what came of them, its errors."""
    otherwise = [name for fields, _ in run.search_fixed.values() for name in fields]
    settings = [name for name in dict.fromkeys([*run.axes, *run.knobs, *otherwise, "seed"]) if name in run.trials]
    outcome = run.trials["error"].notna().any()
    names = ["trial_id", "phase", "status", *MEASURES[:2], *settings, *MEASURES[2:], *(["error"] if outcome else [])]
    kept = run.trials if len(run.trials) <= MAX_TRIALS else most_wanted(run.trials).head(MAX_TRIALS)
    rows = select(kept.reindex(columns=names), names)
    if outcome:
        rows = rows.assign(error=rows["error"].astype("string").str.strip().str[-ERROR_CHARACTERS:])
    columns = [_plain(rows[name]) for name in names]
    table = list(zip(*columns, strict=True)) if len(rows) else []
    return {"columns": names, "rows": table, "total": len(run.trials), "run": run.name}


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """JSON values, floats to DIGITS digits, null for null."""
    if pd.api.types.is_float_dtype(column):
        return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in column]
    return [None if pd.isna(value) else value for value in column.tolist()]


def provenance_of(run: OpenedRun) -> list[tuple[str, str]]:
    """Name and value of what was run where, by what."""
    facts, trials = run.facts, run.trials
    stated = {
        "sweep": facts.get("declaration", {}).get("sweep"),
        "scale": facts.get("declaration", {}).get("scale"),
        "seed": facts.get("declaration", {}).get("seed"),
        "begun": facts.get("created_at"),
        "last trial": trials["finished_at"].max().isoformat(timespec="seconds")
        if trials["finished_at"].notna().any()
        else None,
        "trials a cell": facts.get("trials_per_cell"),
        "confirmed seeds a cell": _seeds_in_words(run),
        "commits": ", ".join(map(str, trials["commit"].dropna().unique())),
        "devices": ", ".join(map(str, trials["device"].dropna().unique())),
        "hosts": ", ".join(map(str, trials["host"].dropna().unique())),
        **facts.get("versions", {}),
        **facts.get("machine", {}),
    }
    return [(name, str(value)) for name, value in stated.items() if value not in (None, "")]


def _seeds_in_words(run: OpenedRun) -> str:
    """`5`, or where cells have numbers of their own `3 in 16 cells, 5 in 4 cells`; empty where nothing is said."""
    counts = Counter(run.confirmations_of(cell) for cell in run.facts["compared"])
    if len(counts) == 1:
        return str(next(iter(counts)) or "")
    return ", ".join(f"{seeds} in {plural(cells, 'cell')}" for seeds, cells in sorted(counts.items()))


def place_of(run: OpenedRun) -> str:
    """Where the run lies, below the working directory where it does: a page may be read on another machine."""
    here = Path.cwd().as_posix() + "/"
    return run.storage.location.removeprefix(here)


def embedded(data: Any) -> str:
    """JSON that can stand inside a script element: no character of it can end the element."""
    text = json.dumps(_finite(data), separators=(",", ":"), allow_nan=False, default=_number)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return _finite(value.item())
    raise TypeError(f"{type(value).__name__} has no place in the page")


def _finite(data: Any) -> Any:
    """The same data with null for numbers that JSON does not know."""
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data
