"""Random draws that all cells of a run share: what a sampler leaves to chance is the same point in each of them.

A draw depends on the run's seed, the number of the search trial, and the field, and on nothing else: not on what else a
cell searches, on the order in which cells run, or on how often the run was begun. Cells of equal budget are therefore
compared at equal luck.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from study.config import TrialConfig
from study.search.optuna_trials import number_of

Draw = Callable[[int, str], float]
"""From the number of a search trial (1, 2, ..; 0 is the known point) and a field to a share in [0, 1)."""


def random_draws(seed: int) -> Draw:
    """Independent uniform shares."""
    return lambda number, field: float(np.random.default_rng([seed, number, *field.encode()]).random())


def sobol_draws(seed: int, fields: Iterable[str]) -> Draw:
    """One scrambled Sobol sequence for the whole run, a dimension for each field.

    The first 2^m trials fall into 2^m equal intervals of every field, one each, and are spread evenly over several
    fields together. `fields`, which the run searches from its start, take the first dimensions, whose projections are
    the most even; a field that only a later cell searches has one of the others.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys([*fields, *TrialConfig.model_fields]))}

    @cache
    def points(doublings: int) -> npt.NDArray[np.float64]:
        from scipy.stats.qmc import Sobol  # takes half a second, which `--help` need not wait for

        drawn: npt.NDArray[np.float64] = Sobol(len(places), scramble=True, seed=seed).random_base2(doublings)
        return drawn

    return lambda number, field: float(points((number - 1).bit_length())[number - 1, places[field]])


def value_at(distribution: Any, share: float) -> Any:
    """The value that has `share` of an Optuna distribution below it."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    low, high, step = distribution.low, distribution.high, distribution.step
    inward, outward = (math.log, math.exp) if distribution.log else (float, float)
    margin = (step or 0) / 2  # the end points of a grid are as likely as the others
    first, last = inward(low - margin), inward(high + margin)
    value = outward(first + share * (last - first))
    if step is not None:
        value = low + round((value - low) / step) * step
    return min(max(value, low), high)


class PairedSampler(BaseSampler):
    """Lets a model propose points; fields that it leaves to chance are drawn as in every other cell.

    Those are all fields until the model has seen enough trials, and later the ones that NSGA-II mutates. A trial says
    which it is by its user attribute `trial_id`.

    Args:
        model_of: number of a search trial to the sampler that proposes its point.
        draw: what stands where it does not.
        startup: search trials of smaller numbers are drawn in any case, also when a resumed run comes back to them.
    """

    def __init__(self, model_of: Callable[[int], BaseSampler], draw: Draw, startup: int) -> None:
        self._model_of, self._draw, self._startup = model_of, draw, startup

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The fields that the model may propose."""
        self._model = self._model_of(_number(trial))
        return self._model.infer_relative_search_space(study, trial) if _number(trial) >= self._startup else {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the model proposes; nothing while it has none."""
        return self._model.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The run's draw for this trial's number."""
        return value_at(param_distribution, self._draw(_number(trial), param_name))


def _number(trial: FrozenTrial) -> int:
    return number_of(trial.user_attrs["trial_id"])
