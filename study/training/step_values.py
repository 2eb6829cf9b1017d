"""What the schedules prescribe for each step: the learning rate, and the strengths of modulation and penalty.

A step reads them without the host: from tensors on the device.
"""

import torch

from models.schedules import SCHEDULES
from study.config import TrialConfig

DROP_FACTOR = 0.1  # He et al. 2016 and the paper: a tenth at each drop


class StepValues:
    """The learning rate and the strengths of one step.

    The tensors stay the same from step to step, only what they hold changes: an optimiser, or a compiled or captured
    step, may keep them.

    Attributes:
        learning_rate: ().
        modulation_strength: (), in [0, 1].
        regularizer_strength: ().
    """

    def __init__(self, config: TrialConfig, total_steps: int, device: torch.device) -> None:
        self._config, self._total_steps, self._phase_ends = config, total_steps, phase_ends(config)
        self.learning_rate, self.modulation_strength, self.regularizer_strength = torch.zeros(3, device=device).unbind()

    def set_to(self, step: int) -> None:
        """Prescribe one of the steps 1 to `total_steps`."""
        config, progress = self._config, (step - 1) / self._total_steps
        self.learning_rate.fill_(learning_rate_at(config, step, self._total_steps))
        self.modulation_strength.fill_(self._factor(config.modulation_schedule, config.modulation_cutoff, progress))
        factor = self._factor(config.regularizer_schedule, config.regularizer_cutoff, progress)
        self.regularizer_strength.fill_(config.regularizer_strength * factor)

    def _factor(self, schedule: str, cutoff: float, progress: float) -> float:
        """Factor of a schedule at `progress`, in [0, 1]."""
        return SCHEDULES[schedule](progress, cutoff, self._phase_ends)


def learning_rate_at(config: TrialConfig, step: int, total_steps: int) -> float:
    """The rate of one of the steps 1 to `total_steps`: step i of n in the warm-up has i/n, then comes the schedule.

    `step` counts its drops over the whole run; any other schedule begins after the warm-up, and its cutoff is the end.
    """
    warmup_steps = round(config.warmup_fraction * total_steps)
    if step <= warmup_steps:
        return config.learning_rate * step / warmup_steps
    progress = (step - 1) / total_steps
    if config.learning_rate_schedule == "step":
        return config.learning_rate * float(DROP_FACTOR ** sum(progress >= drop for drop in config.learning_rate_drops))
    after_warmup = max(0.0, progress - config.warmup_fraction) / (1.0 - config.warmup_fraction)
    return config.learning_rate * SCHEDULES[config.learning_rate_schedule](after_warmup, 1.0, phase_ends(config))


def phase_ends(config: TrialConfig) -> tuple[float, ...]:
    """Progress at which each phase of the rate ends; the last is 1."""
    drops = config.learning_rate_drops if config.learning_rate_schedule == "step" else ()
    return (*drops, 1.0)
