"""How a bench is carried out: how long, on what, and whom to tell."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Setting:
    """What every section is given.

    Attributes:
        quick: few rounds instead of many.
        device: where nets are trained; sections without nets ignore it.
        say: takes a line of progress.
    """

    quick: bool
    device: torch.device
    say: Callable[[str], None]

    def rounds(self, quick: int, thorough: int) -> int:
        """The one that applies."""
        return quick if self.quick else thorough

    @property
    def on_cpu(self) -> bool:
        """Whether the targets, which are stated for one CPU thread, apply."""
        return self.device.type == "cpu"
