"""A run as its readers see it: run.json and the `trials` table together. Reads only; never Ray or torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from study.analysis.curves import Baselines
from study.analysis.learning import MEASURES, learning_curves
from study.analysis.scores import comparable, select
from study.config import CONFIRM, SEARCH, Proxy
from study.records import locate_run, read_arrow, train_images_of
from study.report.part import LINEAR, NEIGHBOR, Part
from study.search.optuna_trials import all_failed
from study.store.run_file import read_run_file
from study.store.schemas import SCHEMAS
from study.store.storage import Storage

BASELINES = {LINEAR: "linear_baseline", NEIGHBOR: "nearest_neighbor_baseline"}  # words to the key of run.json
UNKNOWN_SAMPLER = "a sampler that run.json does not name"


@dataclass(frozen=True)
class OpenedRun:
    """A run that may be finished or still going.

    Attributes:
        facts: the content of run.json.
        trials: every finished trial.
    """

    storage: Storage
    facts: Mapping[str, Any]
    trials: pd.DataFrame

    @classmethod
    def at(cls, storage: Storage) -> "OpenedRun":
        """Read a run's file and trials, nothing of its larger tables."""
        facts = read_run_file(storage, "run", "compared")
        return cls(storage, facts, read_arrow(storage, "trials").to_pandas())

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.facts["run"])

    @property
    def axes(self) -> list[str]:
        """The compared names, in the order in which the sweep declares them."""
        return list(next(iter(self.facts["compared"].values()), {}))

    @cached_property
    def parts(self) -> list[Part]:
        """Each data set by itself, in order of appearance."""
        return list(self._parts())

    def _parts(self) -> Iterator[Part]:
        """The rows of each data set, ready to be compared.

        Lists are text, and so is an axis that has nulls or no numbers (`comparable`): any field can be an axis.
        """
        axes = [name for name in self.axes if name != "dataset"]
        trials = self._at_their_cells(select(self.trials, list(self.trials.columns)))
        trials = trials.assign(**{name: comparable(trials[name]) for name in axes if name in trials})
        for dataset, rows in trials.groupby("dataset", sort=False):
            seen = {self.proxies[cell] for cell in rows["cell"]}
            baselines = self.baselines_of(*seen) if len(seen) == 1 else {}
            yield Part(str(dataset), rows.reset_index(drop=True), axes, baselines)

    def _at_their_cells(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The trials with each axis as their cell has it: a search trial may have run with another value."""
        for cell, (_, confirmed) in self.search_fixed.items():
            for name in confirmed.keys() & self.facts["compared"].get(cell, {}).keys():
                trials.loc[trials["cell"] == cell, name] = confirmed[name]
        return trials

    @cached_property
    def proxies(self) -> dict[str, str]:
        """Cell -> name of the images that its trials see: the whole data set's where it searches among sizes."""
        cells = {}
        for row in self.trials.drop_duplicates("cell").to_dict("records"):
            varies = any(name in self.spaces.get(row["cell"], self.knobs) for name in Proxy._fields)
            sizes = (row.get("image_size"), row.get("train_images"))
            told = () if varies else (None if pd.isna(size) else int(size) for size in sizes)
            cells[str(row["cell"])] = Proxy(row["dataset"], *told).name
        return cells

    def baselines_of(self, proxy: str) -> Baselines:
        """BASELINES' words -> the baseline on these images, where it is computed."""
        known = {words: self.facts.get(key, {}).get(proxy) for words, key in BASELINES.items()}
        return {words: baseline for words, baseline in known.items() if baseline is not None}

    @cached_property
    def spaces(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Cell -> searched field -> its distribution: `name` and the attributes (low, high, log, choices, ...)."""
        cells = self.facts.get("declaration", {}).get("cells", {})
        return {
            cell: {field: {"name": space["name"], **space["attributes"]} for field, space in declared["search"].items()}
            for cell, declared in cells.items()
        }

    @property
    def knobs(self) -> list[str]:
        """Every field that some cell searches."""
        return list(dict.fromkeys(field for space in self.spaces.values() for field in space))

    @property
    def objectives(self) -> list[str]:
        """What the search improves: columns of `trials`, accuracy alone where run.json names none."""
        return list(self.facts.get("declaration", {}).get("objectives", ["val_accuracy"]))

    @property
    def sampler(self) -> str:
        """What proposed the search trials: `sampler` of run.json."""
        return str(self.facts.get("sampler", UNKNOWN_SAMPLER))

    @property
    def planned(self) -> int:
        """How many trials the run will have: searches (where a cell searches anything) and confirmations."""
        return sum(self._searches_of(cell) + self.confirmations_of(cell) for cell in self.facts["compared"])

    def _searches_of(self, cell: str) -> int:
        return int(self.facts.get("trials_per_cell", 0)) if self.spaces.get(cell) else 0

    def confirmations_of(self, cell: str) -> int:
        """How many a cell will have: run.json holds one number for all, or cell to number."""
        seeds = self.facts.get("confirm_seeds", 0)
        return int(seeds.get(cell, 0) if isinstance(seeds, dict) else seeds)

    @cached_property
    def search_fixed(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Cell -> the fixed fields in which its phases differ: those of the search, those of the confirmations."""
        cells = self.facts.get("declaration", {}).get("cells", {})
        return {
            cell: (declared["search_fixed"], {name: declared["fixed"].get(name) for name in declared["search_fixed"]})
            for cell, declared in cells.items()
            if "search_fixed" in declared
        }

    @property
    def progress(self) -> tuple[int, int]:
        """Finished trials, and planned ones. A stopped run and one still going look alike."""
        return min(len(self._done), self.planned), self.planned

    @property
    def _done(self) -> pd.DataFrame:
        """The trials that are not run again: failed ones are at the next start."""
        return self.trials[self.trials["status"] != "failed"]

    @property
    def finished(self) -> bool:
        """Whether no trial is missing; a cell whose search failed altogether is never confirmed and misses none."""
        done, planned = self.progress
        return done >= planned or self._all_missing_have_failed()

    def _all_missing_have_failed(self) -> bool:
        cells = dict(list(self._done.groupby("cell")))
        return all(cell in cells and self._is_over(cell, cells[cell]) for cell in self.facts["compared"])

    def _is_over(self, cell: str, rows: pd.DataFrame) -> bool:
        """Whether a cell has all its trials, or no point of its search is worth confirming."""
        searched = rows[rows["phase"] == SEARCH]
        if len(searched) < self._searches_of(cell):
            return False
        whole = int((rows["phase"] == CONFIRM).sum()) >= self.confirmations_of(cell)
        return whole or all_failed(searched.to_dict("records"), self.objectives)

    def learning_curves(self, trials: pd.DataFrame) -> pd.DataFrame:
        """`study.analysis.learning.learning_curves` of these trials."""
        epochs = self.epochs(trials["trial_id"].tolist(), ("epoch", *MEASURES))
        return learning_curves(trials, epochs, train_images=train_images_of(self.facts))

    def epochs(self, trial_ids: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
        """Read `epochs` of these trials: trial_id and those of the named columns that the table has."""
        return self._rows("epochs", trial_ids, columns)

    def layers(self, trial_ids: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
        """Read `layers` of these trials: trial_id and those of the named columns that the table has."""
        return self._rows("layers", trial_ids, columns)

    def _rows(self, table: str, trial_ids: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
        wanted = pa.array(list(trial_ids), pa.string())
        known = [name for name in ("trial_id", *columns) if name in SCHEMAS[table].names]
        arrow = read_arrow(self.storage, table, columns=known, trial_ids=wanted)
        rows: pd.DataFrame = arrow.to_pandas(strings_to_categorical=True)
        return rows


def open_run(run: str | Path | Storage) -> OpenedRun:
    """Open a run by name under results/, path or URI; ValueError when there is none."""
    return OpenedRun.at(run if isinstance(run, Storage) else locate_run(run))


def most_wanted(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials in the order in which the page keeps them: confirmed ones first, then the most accurate."""
    ranked = trials.assign(searched=trials["phase"] != CONFIRM)
    order = ["searched", "val_accuracy"]
    return ranked.sort_values(order, ascending=[True, False], kind="stable").drop(columns="searched")
