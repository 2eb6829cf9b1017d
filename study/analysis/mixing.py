"""Rows that no statistic may put together, because they are of other settings. Tables in; never Ray or torch.

A mean over confirmed rows is of one net, trained in one way, over seeds. Rows of two data sets or of three widths have
no such mean, whatever their seeds are, and a table of several runs may hold both.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from study.config import HOUSEKEEPING, TrialConfig

SETTINGS = ("recipe", *(name for name in TrialConfig.model_fields if name not in {"seed", *HOUSEKEEPING}))
DATA_SET = "dataset"  # The setting that the sides of a comparison share too, unless it is what they are named by.
MAX_NAMED = 4  # Fields in a message: cells that differ in one compared field also differ in what was tuned for each.
MAX_VALUES = 4


def refuse_mixed(rows: pd.DataFrame, axes: Sequence[str], settings: Sequence[str] = SETTINGS) -> None:
    """Check that rows with equal `axes` have equal `settings`, as far as the table has these columns.

    Raises:
        ValueError: they differ; the message names the fields and their values.
    """
    axes = list(dict.fromkeys(axes))
    names = [name for name in settings if name in rows.columns and name not in axes]
    points = rows[[*axes, *names]].drop_duplicates()
    mixed = points[points.duplicated(axes, keep=False)] if axes else points
    if len(mixed) < 2:
        return
    keys = mixed[axes].map(str)  # so that null equals null
    first = mixed[(keys == keys.iloc[0]).all(axis=1)]
    place = ", ".join(f"{name}={key}" for name, key in keys.iloc[0].items())
    apart = [f"{name} ({_values(first[name])})" for name in names if first[name].nunique(dropna=False) > 1]
    raise ValueError(
        f"confirmed rows{' of ' if place else ''}{place} differ in {_listed(apart, MAX_NAMED)}: their mean would be "
        "of no net that was trained. Name what differs among the columns to keep apart, or choose rows"
    )


def _values(column: "pd.Series[Any]") -> str:
    return _listed(["none" if pd.isna(value) else str(value) for value in column.drop_duplicates()], MAX_VALUES)


def _listed(parts: list[str], most: int) -> str:
    return ", ".join([*parts[:most], *(["..."] if len(parts) > most else [])])
