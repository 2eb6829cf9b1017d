"""What tuning found: isolation curves, best points on the edge of their box, and how the best values move with depth.

Words of the deep-learning tuning playbook: for each scientific value the best nuisance setting that the search has met.
DataFrame in, DataFrame out, search trials only; never Ray or torch. These are single seeds, picked as the best of many:
they show where to look, and only confirmed means say how good it is.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.analysis.scores import KNOWN_POINT, comparable, select
from study.config import SEARCH, TrialConfig

Spaces = Mapping[str, Mapping[str, Mapping[str, Any]]]

EDGE_SHARE = 0.05  # A best point in the outer twentieth of its box, on the search's own scale, may lie beyond it.
NEAR_BEST = (
    0.01  # Settings within this of a cell's best accuracy are as good as it, for one seed cannot tell them apart.
)


def isolation_curves(
    trials: pd.DataFrame, *, axes: Sequence[str], knobs: Sequence[str], others: Sequence[str] = ()
) -> pd.DataFrame:
    """The best search trial for each value of each of `axes`, whatever the rest was.

    Columns: axis, value (text), the `others` (kept apart), val_accuracy, trial_id, trials, and the knobs' values there.
    """
    rows = _finished(trials, [*axes, *others, *knobs])
    tables = []
    for axis in axes:
        names = list(dict.fromkeys([axis, *others]))
        best = _best(rows, names)
        best = best.assign(axis=axis, value=best[axis].astype(str))
        kept = [name for name in others if name != axis]
        tables.append(best[["axis", "value", *kept, "val_accuracy", "trial_id", "trials", *knobs]])
    columns = ["axis", "value", *others, "val_accuracy", "trial_id", "trials", *knobs]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def box_edges(trials: pd.DataFrame, spaces: Spaces) -> pd.DataFrame:
    """Cells whose best search trial lies on the edge of a searched range: one row a cell and field.

    Columns: cell, field, value, low, high (the box), side (`low` or `high`), next_low, next_high, trials. The range to
    try next is as wide as the box and centred, on its scale, on the edge, as far as the field's own range goes; where
    the box ends with that range, nothing lies beyond and the cell is not named.
    """
    rows = _finished(trials, ["cell", *dict.fromkeys(field for space in spaces.values() for field in space)])
    found = []
    for best in _best(rows, ["cell"]).to_dict("records"):
        for field, box in spaces.get(best["cell"], {}).items():
            edge = _edge(field, best[field], box) if "low" in box else None
            if edge is not None:
                kept = {"cell": best["cell"], "field": field, "value": best[field], "trials": best["trials"]}
                found.append(kept | {"low": box["low"], "high": box["high"]} | edge)
    columns = ["cell", "field", "value", "low", "high", "side", "next_low", "next_high", "trials"]
    return pd.DataFrame(found, columns=columns)


def _edge(field: str, value: float, box: Mapping[str, Any]) -> dict[str, Any] | None:
    """The side on which a value lies and the next range, or None inside."""
    inward, outward = (math.log, math.exp) if box.get("log") else (float, float)
    low, high, place = inward(box["low"]), inward(box["high"]), inward(value)
    if low == high:
        return None
    share = (place - low) / (high - low)
    if EDGE_SHARE < share < 1 - EDGE_SHARE:
        return None
    side, edge = ("low", low) if share <= EDGE_SHARE else ("high", high)
    least, most = _allowed(field)
    if (box["low"] <= least) if side == "low" else (box["high"] >= most):
        return None
    half = (high - low) / 2
    return {
        "side": side,
        "next_low": max(outward(edge - half), least),
        "next_high": min(outward(edge + half), most),
    }


def _allowed(field: str) -> tuple[float, float]:
    """The ends of a field's range as `study.config` has it; infinite where it has none."""
    info = TrialConfig.model_fields.get(field)
    limits = {
        name: getattr(limit, name)
        for limit in (info.metadata if info else ())
        for name in ("ge", "gt", "le", "lt")
        if hasattr(limit, name)
    }
    return limits.get("ge", limits.get("gt", -math.inf)), limits.get("le", limits.get("lt", math.inf))


def best_settings(trials: pd.DataFrame, *, by: Sequence[str], knob: str) -> pd.DataFrame:
    """How the best value of a searched field moves, such as with `by=("depth", "recipe")`.

    Columns: the `by` names; best, the value of the best trial, null as the choice `none`; least and most, over the
    trials within `NEAR_BEST` of its accuracy; near, how many those are; val_accuracy; trials. A wide range: the field
    hardly matters there.
    """
    axes = list(by)
    rows = _finished(trials, [*axes, knob])
    rows = rows.assign(**{knob: comparable(rows[knob])})
    top = rows.groupby(axes, dropna=False)["val_accuracy"].transform("max")
    near = rows[rows["val_accuracy"] >= top - NEAR_BEST].groupby(axes, dropna=False)[knob]
    best = _best(rows, axes).set_index(axes).rename(columns={knob: "best"})
    spread = near.agg(least="min", most="max", near="size")
    return best.join(spread)[["best", "least", "most", "near", "val_accuracy", "trials"]].reset_index()


def known_point_wins(trials: pd.DataFrame) -> tuple[int, int]:
    """Count the cells where no search trial beat the recipe's own point, and the cells that had a rival to it.

    Trials that did not end with an accuracy beat nothing and are no rivals.
    """
    rows = _finished(trials, ["cell"])
    rows = rows[rows.groupby("cell")["trial_id"].transform("size") > 1]
    top = rows[rows["val_accuracy"] == rows.groupby("cell")["val_accuracy"].transform("max")]
    return int(top["trial_id"].str.endswith(KNOWN_POINT).sum()), rows["cell"].nunique()


def _finished(trials: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Search trials that ended with an accuracy."""
    rows = select(trials, list(dict.fromkeys([*columns, "phase", "status", "trial_id", "val_accuracy"])))
    rows = rows[(rows["phase"] == SEARCH) & (rows["status"] == "ok") & rows["val_accuracy"].notna()]
    return rows.assign(val_accuracy=rows["val_accuracy"].astype(np.float64))


def _best(rows: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """The best row of each group, with `trials`, how many it is the best of; sorted by the axes."""
    counted = rows.assign(trials=rows.groupby(axes, dropna=False)["trial_id"].transform("size"))
    ranked = counted.sort_values("val_accuracy", ascending=False, kind="stable")
    return ranked.drop_duplicates(axes).sort_values(axes).reset_index(drop=True)
