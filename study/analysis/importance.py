"""Which fields decided the accuracy: fANOVA and PED-ANOVA side by side, because they answer different questions.

fANOVA (Hutter et al. 2014) splits the variance of the accuracy over the whole space: what matters for a setting taken
at random. PED-ANOVA (Watanabe et al. 2023) asks what sets the best tenth apart from the rest. They can disagree widely,
so neither is shown without the other and its interval. Both are Optuna's. DataFrame in, DataFrame out; never Ray or
torch. Search trials only; a diverged one counts as chance, a failed one says nothing.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import create_trial

from study.analysis.scores import comparable, scored, seeded

Spaces = Mapping[str, Mapping[str, Mapping[str, Any]]]

METHODS = ("fanova", "ped_anova")
LEAST_TRIALS = 10  # Fewer make neither a forest nor a best tenth.
# fANOVA's cost grows with the square of the trials: of more than these many, as many are drawn. A bootstrap of fewer
# trials and smaller forests errs towards wider intervals. Together about 3 s a scope at most.
ROWS_AT_MOST, TREES = 128, 32
RESAMPLES, RESAMPLED_ROWS, RESAMPLED_TREES = 20, 60, 8
# A compared field with more values than this is taken as a number, else as a choice: fANOVA takes 2^n steps for one
# of n values. Names are numbered in the order of their mean score, in which a tree would sort them too.
FEW_VALUES = 12


def importances(
    trials: pd.DataFrame, spaces: Spaces, *, axes: Sequence[str], generator: np.random.Generator | None = None
) -> pd.DataFrame:
    """Importance of each compared (`axes`) and searched field; the fields of one scope and method sum to 1.

    Columns: scope, field, method, importance, low, high (90 % bootstrap interval over trials), trials. A field that
    only some cells search has a scope of its own, the trials of those cells: elsewhere it has no value to compare.

    Args:
        trials: the table; of one data set.
        spaces: cell -> searched field -> distribution, with low, high and log, or choices.
        axes: the compared names.
        generator: for resamples and forests.
    """
    generator = seeded(generator)
    rows = _scored(trials, [*axes, *_fields(spaces)])
    rows = rows.assign(**{name: comparable(rows[name]) for name in axes})
    tables = []
    for scope, cells, knobs in _scopes(spaces):
        chosen = rows[rows["cell"].isin(cells)]
        varying = [name for name in (*axes, *knobs) if chosen[name].nunique() > 1]
        if len(chosen) >= LEAST_TRIALS and len(varying) > 1 and chosen["score"].nunique() > 1:
            tables.append(_of_scope(scope, chosen, varying, spaces, generator))
    columns = ["scope", "field", "method", "importance", "low", "high", "trials"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _fields(spaces: Spaces) -> list[str]:
    return list(dict.fromkeys(field for space in spaces.values() for field in space))


def _scored(trials: pd.DataFrame, fields: list[str]) -> pd.DataFrame:
    """Search trials with a score: val_accuracy, or chance where they diverged. Those that ended otherwise have none."""
    rows = scored(trials, ["cell", "phase", *fields])
    rows = rows[(rows["phase"] == "search") & rows["status"].isin(["ok", "diverged"])]
    return rows[rows["score"].notna()]


def _scopes(spaces: Spaces) -> list[tuple[str, list[str], list[str]]]:
    """(name, cells, fields searched in all of them): the whole run, and the cells of each field that few search."""
    everywhere = [field for field in _fields(spaces) if all(field in space for space in spaces.values())]
    scopes = [("all trials", list(spaces), everywhere)]
    seen: set[tuple[str, ...]] = set()
    for field in _fields(spaces):
        cells = [cell for cell, space in spaces.items() if field in space]
        if field not in everywhere and tuple(cells) not in seen:
            seen.add(tuple(cells))
            shared = [name for name in _fields(spaces) if all(name in spaces[cell] for cell in cells)]
            scopes.append((f"trials that search {field}", cells, shared))
    return scopes


def _of_scope(
    scope: str, rows: pd.DataFrame, fields: list[str], spaces: Spaces, generator: np.random.Generator
) -> pd.DataFrame:
    rows = rows.assign(**{field: _numbered(rows, field) for field in fields if _is_long_choice(rows[field])})
    distributions = {field: _distribution(field, rows, spaces) for field in fields}
    seed = int(generator.integers(2**31))
    whole = rows if len(rows) <= ROWS_AT_MOST else rows.iloc[generator.permutation(len(rows))[:ROWS_AT_MOST]]
    found = _evaluate(whole, distributions, TREES, seed)
    size = min(len(rows), RESAMPLED_ROWS)
    drawn = [rows.iloc[generator.integers(len(rows), size=size)] for _ in range(RESAMPLES)]
    resampled = [_evaluate(draw, distributions, RESAMPLED_TREES, seed) for draw in drawn if draw["score"].nunique() > 1]
    table = []
    for (method, field), importance in found.items():
        low, high = np.quantile([one.get((method, field), 0.0) for one in resampled], (0.05, 0.95))
        ends = {"importance": importance, "low": min(low, importance), "high": max(high, importance)}
        table.append({"scope": scope, "field": field, "method": method, **ends, "trials": len(rows)})
    return pd.DataFrame(table)


def _is_long_choice(column: "pd.Series[Any]") -> bool:
    return not pd.api.types.is_numeric_dtype(column) and column.nunique() > FEW_VALUES


def _numbered(rows: pd.DataFrame, field: str) -> "pd.Series[float]":
    """The place of each name among all, by mean score."""
    means = rows.groupby(field)["score"].mean()
    return rows[field].map(means.rank(method="first")).astype(np.float64)


def _distribution(field: str, rows: pd.DataFrame, spaces: Spaces) -> BaseDistribution:
    """The box that holds every cell's box of a searched field; the values met of a compared one."""
    boxes = [space[field] for space in spaces.values() if field in space]
    values = rows[field].dropna().unique().tolist()
    if boxes and all("low" in box for box in boxes):
        low, high = min(*(box["low"] for box in boxes), *values), max(*(box["high"] for box in boxes), *values)
        return FloatDistribution(low, high, log=all(box["log"] for box in boxes))
    if len(values) > FEW_VALUES and all(isinstance(value, int | float) for value in values):
        return FloatDistribution(min(values), max(values), log=min(values) > 0)
    return CategoricalDistribution(sorted(values, key=str))


def _evaluate(
    rows: pd.DataFrame, distributions: dict[str, BaseDistribution], trees: int, seed: int
) -> dict[tuple[str, str], float]:
    """(method, field) -> importance of one table."""
    with _quiet_optuna():
        study = _study(rows, distributions)
        forest, tenth = FanovaImportanceEvaluator(n_trees=trees, seed=seed), PedAnovaImportanceEvaluator()
        evaluators: list[tuple[str, BaseImportanceEvaluator]] = list(zip(METHODS, (forest, tenth), strict=True))
        names = list(distributions)
        return {
            (method, field): float(share)
            for method, evaluator in evaluators
            for field, share in get_param_importances(study, evaluator=evaluator, params=names).items()
        }


def _study(rows: pd.DataFrame, distributions: dict[str, BaseDistribution]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    table = rows[[*distributions, "score"]].to_dict("records")
    study.add_trials(
        [
            create_trial(
                value=row["score"],
                params={name: row[name] for name in distributions},
                distributions=distributions,
            )
            for row in table
        ]
    )
    return study


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna without its log lines, and without its warning that PED-ANOVA is experimental."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
