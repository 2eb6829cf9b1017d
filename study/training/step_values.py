"""What the schedules prescribe for each step, where the step can read it without the host: in tensors on the device."""

import torch

from models.schedules import SCHEDULES
from study.config import TrialConfig
from study.training.learning_rate import learning_rate_at, phase_ends


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
