"""The factors of modulation as functions of the errors' magnitudes (Xie et al. 2017). Touches no network.

At each error site l (a convolution's output; on residual nets a block's output) n_l is the magnitude of the error there
in a plain backward pass, and a_l the factor that it is multiplied by in all. From the top down, with r_l the magnitude
n_l a_{l+1} relative to a reference:

    a_l = a_{l+1} (goal / r_l)^strength   where r_l lies outside [1 / band, band]
    a_l = a_{l+1}                         elsewhere;  the topmost a is 1

`pairwise` takes as reference the site above, already modulated, so r_l = n_l / n_{l+1}; `cumulative` the topmost one,
so r_l = n_l a_{l+1} / n_L. Target `unit` has goal 1, `edge` the nearer edge of the band. A comparison needs two
magnitudes that are finite and positive; a site whose own magnitude or whose reference is not so keeps a_l = a_{l+1}.
"""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

RULES = ("off", "pairwise", "cumulative")
TARGETS = ("edge", "unit")
STATISTICS = ("norm", "mean")


def modulation_factors(error_norms: Tensor, *, rule: str, band: float, target: str, strength: float | Tensor) -> Tensor:
    """The factor by which each site's error is multiplied in all.

    Args:
        error_norms: (L,) raw magnitudes from the first site to the last.
        rule: "off", "pairwise" or "cumulative".
        band: how far a ratio may stray from 1 before it counts as a mismatch, at least 1.
        target: "edge" or "unit".
        strength: exponent in [0, 1] of every correction; 0 leaves all factors at 1.

    Returns:
        (L,) factors a_l, on the device and in the dtype of `error_norms`.
    """
    return accumulated(local_factors(error_norms, rule=rule, band=band, target=target, strength=strength))


def local_factors(error_norms: Tensor, *, rule: str, band: float, target: str, strength: float | Tensor) -> Tensor:
    """(L,) factors a_l / a_{l+1} that each site adds by itself; the arguments are those of `modulation_factors`."""
    check_options(rule=rule, band=band, target=target)
    correct = partial(correction, band=band, target=target, strength=strength)
    if rule == "off":
        return torch.ones_like(error_norms)
    if rule == "pairwise":
        return functional.pad(correct(error_norms[:-1] / error_norms[1:]), (0, 1), value=1.0)
    total = torch.ones_like(error_norms[-1])
    from_top = [total]
    for ratio in reversed((error_norms[:-1] / error_norms[-1]).unbind()):
        from_top.append(correct(ratio * total))
        total = total * from_top[-1]
    return torch.stack(from_top).flip(0)


def check_options(*, rule: str = "off", band: float = 1.0, target: str = "edge", statistic: str = "norm") -> None:
    """Refuse, with a ValueError that names the field, an option that does not exist or is out of range."""
    choices = {"modulation": (rule, RULES), "target": (target, TARGETS), "statistic": (statistic, STATISTICS)}
    for field, (value, allowed) in choices.items():
        if value not in allowed:
            prefix = "" if field == "modulation" else "modulation_"
            raise ValueError(f"{prefix}{field} = {value!r}: must be one of {', '.join(allowed)}")
    if not 1.0 <= band < math.inf:
        raise ValueError(f"modulation_band = {band}: must be finite and at least 1")


def correction(ratios: Tensor, *, band: float, target: str, strength: float | Tensor) -> Tensor:
    """(goal / ratio)^strength where the ratio lies outside the band, else exactly 1.

    A magnitude or a reference that is zero or not finite shows as a ratio of 0, infinity or NaN, and is left at 1.
    """
    ratios = ratios.nan_to_num(nan=1.0, posinf=1.0)
    nearest = ratios.clamp(1.0 / band, band)
    wanted = nearest / ratios if target == "edge" else torch.where(nearest == ratios, 1.0, ratios.reciprocal())
    return wanted.nan_to_num(posinf=1.0).pow(strength)


def accumulated(local: Tensor) -> Tensor:
    """a_l = the product of the local factors from site l up to the top."""
    return local.flip(0).cumprod(0).flip(0)
