"""Which fields decided the accuracy, and which of them stand out from chance.

fANOVA (`analysis.fanova`) splits the variance of the accuracy over the whole space: what matters for a setting taken
at random. PED-ANOVA (`analysis.ped_anova`) asks what sets the best tenth apart from the rest. They can disagree widely,
so neither is shown without the other. Both name something in pure noise: a forest gives the recipe .7 of shuffled
scores. Hence a null for each field, made of tables in which its own column is dealt out anew (`analysis.step_down`).
DataFrame in, DataFrame out; never Ray or torch. Search trials only, without the recipes' own points, which nobody drew;
a diverged one counts as chance, a failed one says nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from study.analysis.scores import KNOWN_POINT, comparable, scored, seeded
from study.analysis.search_table import METHODS, SearchTable, Spaces
from study.analysis.step_down import DEALS, Array, Order, Stand, dealt, step_down
from study.config import SEARCH

COLUMNS = ("scope", "field", "method", "importance", "low", "high", "null", "stands_out", "p_value", "trials")
MIN_TRIALS = 10  # Fewer make neither a forest nor a best tenth.
MAX_ROWS = 256  # Of more trials, about as many are drawn: a forest then takes about 25 ms.
RESAMPLES, INTERVAL = 60, (0.05, 0.95)


def importances(
    trials: pd.DataFrame, spaces: Spaces, *, axes: Sequence[str], generator: np.random.Generator | None = None
) -> pd.DataFrame:
    """Importance of each compared (`axes`) and searched field: the share of variance that it explains alone.

    Columns: scope, field, method; importance, of the variance of the scores over the whole space (fanova) or of who is
    among the best tenth (ped_anova), above 1 where trials crowd; low, high, its 90 % bootstrap interval over trials,
    which need not hold it, for a resample has fewer different trials; null, what it has to exceed: the most that any
    field which does not stand out reaches once these are dealt out anew; stands_out, whether it does; p_value of the
    field, corrected for all fields of all scopes; trials.

    A field that only some cells search is tested in a scope of its own, the trials of those cells: elsewhere it has no
    value to compare. Trials are taken as independent draws. Simulated whole, searches of 40 trials at two depths had a
    field without effect stand out in 13 of 200 where nothing had one, and in 12 of 200 where depth cost 1.5 standard
    deviations and cells met the same draws, which found depth in 158: 6.2 % together (4.1 to 9.1, exact 95 % interval),
    where 5 % is meant.

    Args:
        trials: the table; of one data set.
        spaces: cell -> searched field -> distribution, with low, high and log, or choices.
        axes: the compared names.
        generator: for resamples and forests.
    """
    generator = seeded(generator)
    rows = _drawn(trials, [*axes, *_fields(spaces)])
    rows = rows.assign(**{name: comparable(rows[name]) for name in axes})
    scopes = {scope.name: scope for scope in _scopes(rows, spaces, list(axes), generator)}
    stands = step_down(
        {name: scope.values for name, scope in scopes.items()},
        {name: scope.tested for name, scope in scopes.items()},
    )
    tables = [scope.found({field: stands[name, field] for field in scope.tested}) for name, scope in scopes.items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def _fields(spaces: Spaces) -> list[str]:
    return list(dict.fromkeys(field for space in spaces.values() for field in space))


def _drawn(trials: pd.DataFrame, fields: list[str]) -> pd.DataFrame:
    """Drawn search trials with a score, val_accuracy or chance where they diverged, in the order of their numbers."""
    rows = scored(trials, ["cell", "phase", "trial_id", *fields])
    rows = rows[(rows["phase"] == SEARCH) & rows["status"].isin(["ok", "diverged"]) & rows["score"].notna()]
    names = rows["trial_id"].astype(str)
    numbers = pd.to_numeric(names.str.rsplit(":", n=1).str[-1], errors="coerce").fillna(-1)  # -1: an id not of ours
    rows = rows.assign(number=numbers)[~names.str.endswith(KNOWN_POINT)]
    return rows.sort_values("number", kind="stable")


def _scopes(rows: pd.DataFrame, spaces: Spaces, axes: list[str], generator: np.random.Generator) -> Iterator["_Scope"]:
    """The whole run, and the cells of each field that few search; none where there is too little to say."""
    seen: set[str] = set()
    for name, cells, knobs in _groups(spaces):
        chosen = rows[rows["cell"].isin(cells)]
        varying = [field for field in (*axes, *knobs) if chosen[field].nunique() > 1]
        tested = [field for field in varying if field not in seen]
        if len(chosen) >= MIN_TRIALS and tested and chosen["score"].nunique() > 1:
            some = _some(chosen, generator)
            table = SearchTable.of(some, varying, spaces)
            seen.update(tested)
            yield _Scope(name, some, varying, tested, axes, table, generator, len(chosen))


def _some(rows: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """MAX_ROWS rows or little more: all cells' trials of some numbers."""
    sizes = rows["number"].value_counts().sample(frac=1.0, random_state=generator)
    return rows[rows["number"].isin(sizes.index[sizes.cumsum() - sizes < MAX_ROWS])]


def _groups(spaces: Spaces) -> Iterator[tuple[str, list[str], list[str]]]:
    """(scope, cells, fields searched in all of them)."""
    fields = _fields(spaces)
    searching = {field: [cell for cell, space in spaces.items() if field in space] for field in fields}
    everywhere = [field for field in fields if len(searching[field]) == len(spaces)]
    yield "all trials", list(spaces), everywhere
    rare = {tuple(searching[field]): field for field in reversed(fields) if field not in everywhere}
    for cells, first in reversed(rare.items()):
        yield f"trials that search {first}", list(cells), [field for field in fields if {*cells} <= {*searching[field]}]


@dataclass(frozen=True)
class _Scope:
    """Some trials, the fields that vary between them, and those of these that are tested here."""

    name: str
    rows: pd.DataFrame
    fields: list[str]
    tested: list[str]
    axes: list[str]
    table: SearchTable
    generator: np.random.Generator
    trials: int

    def values(self, left: list[str]) -> Array:
        """Effects of the fields that are left: of the table, then with them dealt out, (1 + DEALS, methods, fields)."""
        tables = [self.table, *(self.table.dealt(self._orders(left)) for _ in range(DEALS))]
        effects = np.array([table.effects(self._seed) for table in tables])
        return effects[:, :, [self.fields.index(field) for field in left]]

    def _orders(self, left: list[str]) -> dict[int, Order]:
        """Draw the order of each column that is dealt out.

        The axes exchange trials of one number, which may share their draws, between cells that are alike in all other
        axes; a searched field exchanges values within each cell.
        """
        compared = [field for field in left if field in self.axes]
        alike = _numbers(self.rows, ["number", *(axis for axis in self.axes if axis not in compared)])
        between = dealt(alike, np.arange(len(self.rows)), self.generator)
        within = {field: dealt(self._cells, draws, self.generator) for field, draws in self._draws.items()}
        return {self.fields.index(field): within.get(field, between) for field in left}

    @cached_property
    def _seed(self) -> int:
        """Seed of every forest, so that what is shown is what was tested."""
        return int(self.generator.integers(2**31))

    @cached_property
    def _cells(self) -> Order:
        return _numbers(self.rows, ["cell"])

    @cached_property
    def _draws(self) -> dict[str, Order]:
        """Searched field -> a number for each trial, equal where one draw made its value for several cells.

        Draws are shared by the cells that search a field over the same range: they met the same values in turn.
        """
        return {field: _draws_of(self.rows, field) for field in self.fields if field not in self.axes}

    def found(self, stands: Mapping[str, Stand]) -> pd.DataFrame:
        """Rows of `importances`: the fields tested here."""
        n = len(self.rows)
        again = (self.table.take(self.generator.integers(n, size=n)) for _ in range(RESAMPLES))
        resampled = np.array([table.effects(self._seed) for table in again if np.ptp(table.scores) > 0])
        effects, (lows, highs) = self.table.effects(self._seed), np.quantile(resampled, INTERVAL, axis=0)
        rows = []
        for field, stand in stands.items():
            column = self.fields.index(field)
            for place, (method, null) in enumerate(zip(METHODS, stand.nulls, strict=True)):
                effect, low, high = (float(each[place, column]) for each in (effects, lows, highs))
                judged = (float(null), effect > null, stand.p_value, self.trials)
                rows.append((self.name, field, method, effect, low, high, *judged))
        return pd.DataFrame(rows, columns=list(COLUMNS))


def _numbers(rows: pd.DataFrame, names: list[str]) -> Order:
    """A number for each row, equal where rows agree in these columns."""
    return np.asarray(rows.groupby(names, dropna=False).ngroup(), dtype=np.intp)


def _draws_of(rows: pd.DataFrame, field: str) -> Order:
    met = rows.groupby("cell")[field]
    series = rows["cell"].map(met.agg(tuple))
    places = pd.Series(list(zip(series, met.cumcount(), strict=True)))
    return np.asarray(pd.factorize(places)[0], dtype=np.intp)
