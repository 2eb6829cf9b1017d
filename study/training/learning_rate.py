"""The learning rate of each step, and the ends of its phases."""

import math

from study.config import TrialConfig

DROP_FACTOR = 0.1  # He et al. 2016 and the paper: a tenth at each drop


def learning_rate_at(config: TrialConfig, step: int, total_steps: int) -> float:
    """The rate of one of the steps 1 to `total_steps`: step i of n in the warm-up has i/n, then comes the schedule."""
    warmup_steps = round(config.warmup_fraction * total_steps)
    if step <= warmup_steps:
        return config.learning_rate * step / warmup_steps
    return config.learning_rate * _SCHEDULES[config.learning_rate_schedule](config, (step - 1) / total_steps)


def phase_ends(config: TrialConfig) -> tuple[float, ...]:
    """Progress at which each phase of the rate ends; the last is 1."""
    drops = config.learning_rate_drops if config.learning_rate_schedule == "step" else ()
    return (*drops, 1.0)


def _step(config: TrialConfig, progress: float) -> float:
    return float(DROP_FACTOR ** sum(progress >= drop for drop in config.learning_rate_drops))


def _cosine(config: TrialConfig, progress: float) -> float:
    """Half a cosine from 1 at the end of the warm-up to 0 (Loshchilov and Hutter 2017, one cycle)."""
    after_warmup = max(0.0, progress - config.warmup_fraction) / (1.0 - config.warmup_fraction)
    return 0.5 * (1.0 + math.cos(math.pi * after_warmup))


def _constant(_config: TrialConfig, _progress: float) -> float:
    return 1.0


_SCHEDULES = {"step": _step, "cosine": _cosine, "constant": _constant}
