"""Optuna's samplers and pruners by name. A cell has one of each, so nothing is ever ranked across cells.

A sampler here is what proposes points; what is drawn at random is drawn alike in all cells, see `study.search.draws`.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from study.config import OBJECTIVES
from study.search.draws import PairedSampler, random_draws, sobol_draws
from study.terminal import option

STARTUP_TRIALS = 4  # of a cell before a model or a median takes over from random draws; spaces have two or three fields
POPULATION = 8  # of NSGA-II: a cell's trials are tens, Optuna's default of 50 would leave them all random

Sampler = Callable[[int], BaseSampler]

SAMPLERS: dict[str, Sampler] = {
    "tpe": lambda seed: TPESampler(multivariate=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS, seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),  # proposes nothing, so that every trial is a draw
    "sobol": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(n_startup_trials=STARTUP_TRIALS, seed=seed, warn_independent_sampling=False),
    "cmaes": lambda seed: CmaEsSampler(n_startup_trials=STARTUP_TRIALS, seed=seed, warn_independent_sampling=False),
    "nsga2": lambda seed: NSGAIISampler(population_size=POPULATION, seed=seed),
}

ONE_OBJECTIVE = ("cmaes",)
REMEMBERING = ("cmaes", "nsga2")  # keep generations in their trials' attributes; the others know of results alone

PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "asha": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "median": lambda: MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1),
}


@dataclass(frozen=True)
class SearchMethod:
    """How cells are searched: names in SAMPLERS and PRUNERS, and whether not at all any more."""

    sampler: str = option("tpe", choices=SAMPLERS, help=f"{', '.join(SAMPLERS)} (tpe)")
    scheduler: str = option("none", choices=PRUNERS, help="stop hopeless search trials early (none)")
    confirm_only: bool = option(False, help="search no further; confirm what was found")

    @property
    def remembers(self) -> bool:
        """Whether the model goes on from what it was asked before, not from the trials' results alone."""
        return self.sampler in REMEMBERING

    @property
    def prunes(self) -> bool:
        """Whether trials may be stopped early."""
        return self.scheduler != "none"

    def check(self, objectives: Sequence[str]) -> None:
        """ValueError where the sampler or the scheduler knows one objective only, and there are several."""
        if len(objectives) > 1 and (self.sampler in ONE_OBJECTIVE or self.prunes):
            able = ", ".join(name for name in SAMPLERS if name not in ONE_OBJECTIVE)
            raise ValueError(
                f"sampler {self.sampler} with scheduler {self.scheduler} cannot improve {', '.join(objectives)} "
                f"together: use --scheduler none and one of {able}"
            )

    def study(self, *, seed: int, cell: str, objectives: Sequence[str], fields: Sequence[str]) -> optuna.Study:
        """An empty in-memory study of one cell; the tables, not Optuna's storage, are its memory.

        Args:
            seed: of the run, for the random draws that all its cells share.
            cell: its name. Each trial's model is seeded from it and the trial's number, so that a resumed search
                proposes what the uninterrupted one would have.
            objectives: names in `study.config.OBJECTIVES`.
            fields: what the cells of the run search.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        draw = sobol_draws(seed, fields) if self.sampler == "sobol" else random_draws(seed)
        sampler = PairedSampler(lambda number: self._model(f"{seed}:{cell}:{number}"), draw, STARTUP_TRIALS)
        directions = [OBJECTIVES[name] for name in objectives]
        return optuna.create_study(directions=directions, sampler=sampler, pruner=PRUNERS[self.scheduler]())

    def _model(self, seeded_by: str) -> BaseSampler:
        with warnings.catch_warnings():  # multivariate and constant_liar have been stable for years
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return SAMPLERS[self.sampler](crc32(seeded_by.encode()))
