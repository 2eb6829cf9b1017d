"""Schedules: how strongly a regulariser, the modulation or the learning rate acts, as a factor in [0, 1].

`progress` is the fraction of all steps already done (0 at the first step, below 1 at the last), `cutoff` a fraction in
(0, 1], and `phase_ends` the ascending fractions at which the learning rate drops; 1 may be among them or not.
Plain arithmetic on floats: never touches a tensor.
"""

import math
from bisect import bisect_right
from collections.abc import Callable

Schedule = Callable[[float, float, tuple[float, ...]], float]


def constant(progress: float, cutoff: float, phase_ends: tuple[float, ...]) -> float:
    """Full strength throughout."""
    return 1.0


def until_cutoff(progress: float, cutoff: float, phase_ends: tuple[float, ...]) -> float:
    """1 before `cutoff`, 0 from there on."""
    return float(progress < cutoff)


def linear(progress: float, cutoff: float, phase_ends: tuple[float, ...]) -> float:
    """From 1 to 0 on a straight line that ends at `cutoff`, 0 after it."""
    return max(0.0, 1.0 - progress / cutoff)


def cosine(progress: float, cutoff: float, phase_ends: tuple[float, ...]) -> float:
    """From 1 to 0 on half a cosine that ends at `cutoff`, 0 after it."""
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress / cutoff)))


def phase_start(progress: float, cutoff: float, phase_ends: tuple[float, ...]) -> float:
    """1 in the first part, `cutoff` of its length, of each phase of the learning rate, 0 in the rest of it."""
    edges = [0.0, *(end for end in phase_ends if end < 1.0), 1.0]
    phase = min(bisect_right(edges, progress), len(edges) - 1)
    start, end = edges[phase - 1], edges[phase]
    return float(progress - start < cutoff * (end - start))


def spectral_isometry_steps(progress: float, cutoff: float, phase_ends: tuple[float, ...]) -> float:
    """The published steps of the spectral isometry penalty: 1, then 1e-3, 1e-4, 1e-6 and 0 (Bansal et al. 2018).

    They come at 20, 50, 70 and 120 of 200 epochs, from a strength of 1e-2; `cutoff` is not used.
    """
    factors = (1.0, 1e-3, 1e-4, 1e-6, 0.0)
    return factors[bisect_right((0.10, 0.25, 0.35, 0.60), progress)]


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "until_cutoff": until_cutoff,
    "linear": linear,
    "cosine": cosine,
    "phase_start": phase_start,
    "spectral_isometry_steps": spectral_isometry_steps,
}
