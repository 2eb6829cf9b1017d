"""Modulation: bring the back-propagated errors of consecutive layers to one magnitude (Xie et al. 2017).

At each error site l (a convolution's output; on residual nets a block's output) n_l is the magnitude of the error there
in a plain backward pass, and a_l the factor that it is multiplied by in all. From the top down, with r_l the magnitude
n_l a_{l+1} relative to a reference:

    a_l = a_{l+1} (goal / r_l)^strength   where r_l lies outside [1 / band, band]
    a_l = a_{l+1}                         elsewhere;  the topmost a is 1

`pairwise` takes as reference the site above, already modulated, so r_l = n_l / n_{l+1}; `cumulative` the topmost one,
so r_l = n_l a_{l+1} / n_L. Target `unit` has goal 1, `edge` the nearer edge of the band. A comparison needs two
magnitudes that are finite and positive; a site whose own magnitude or whose reference is not so keeps a_l = a_{l+1}.

A scalar a site commutes with back-propagation. So the fast form runs a plain backward pass that only records magnitudes
and rescales the parameters' gradients afterwards; the in-backward form scales the errors themselves. Both give the same
gradients, but in very deep nets the plain error overflows float32, and only the second can be used.
Neither touches the forward pass, and neither reads a number back to the host within a step.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks import ConvNet, gradient_of

ErrorHook = Callable[[Tensor], Tensor | None]
"""Called with the error at a site during a backward pass; an answer replaces the error."""

RULES = ("off", "pairwise", "cumulative")
TARGETS = ("edge", "unit")
STATISTICS = ("norm", "mean")

FAST_DEPTH_LIMIT = 200
"""Errors grow by up to 1.26 a layer from about 0.01, so squares reach 1e36 at this depth; float32 ends at 3e38."""


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
    return _accumulate(local_factors(error_norms, rule=rule, band=band, target=target, strength=strength))


def local_factors(error_norms: Tensor, *, rule: str, band: float, target: str, strength: float | Tensor) -> Tensor:
    """(L,) factors a_l / a_{l+1} that each site adds by itself; the arguments are those of `modulation_factors`."""
    check_options(rule=rule, band=band, target=target)
    correct = partial(_correction, band=band, target=target, strength=strength)
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


def _correction(ratios: Tensor, *, band: float, target: str, strength: float | Tensor) -> Tensor:
    """(goal / ratio)^strength where the ratio lies outside the band, else exactly 1.

    A magnitude or a reference that is zero or not finite shows as a ratio of 0, infinity or NaN, and is left at 1.
    """
    ratios = ratios.nan_to_num(nan=1.0, posinf=1.0)
    nearest = ratios.clamp(1.0 / band, band)
    wanted = nearest / ratios if target == "edge" else torch.where(nearest == ratios, 1.0, ratios.reciprocal())
    return wanted.nan_to_num(posinf=1.0).pow(strength)


def _accumulate(local: Tensor) -> Tensor:
    """a_l = the product of the local factors from site l up to the top."""
    return local.flip(0).cumprod(0).flip(0)


class _Watched(torch.autograd.Function):
    """The identity, whose backward pass calls a hook: what the compiler can trace in place of a tensor's own hook."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, error_hook: ErrorHook) -> Tensor:
        ctx.error_hook = error_hook
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor, None]:
        answer = ctx.error_hook(error)
        return (error if answer is None else answer), None


class Modulation(ABC):
    """Measures the error at every site of a network during backward passes and brings its modulation about.

    Watches by a forward hook a site, which puts a gradient hook on the site's output. Neither holds a tensor of the
    graph, so that nothing of it outlives the step. The network must be on its device when this is built.

    Attributes:
        strength: exponent in [0, 1] of this step's corrections; set it before the backward pass.
        recording: whether to measure even where the rule is "off".
        error_norms: (L,) raw magnitudes of the last backward pass; the next one may overwrite them.
        factors: (L,) factors a_l of the last backward pass.
    """

    def __init__(self, network: ConvNet, *, rule: str, band: float, target: str, statistic: str) -> None:
        check_options(rule=rule, band=band, target=target, statistic=statistic)
        self.strength: float | Tensor = 1.0
        self.recording = False
        self._rule, self._band, self._target, self._statistic = rule, band, target, statistic
        self._sites = network.error_sites()
        parameter = next(network.parameters())
        self.error_norms = torch.zeros(len(self._sites), dtype=self._dtype(parameter.dtype), device=parameter.device)
        self._local = torch.ones_like(self.error_norms)
        self.factors = torch.ones_like(self.error_norms)
        self._handles = [
            site.module.register_forward_hook(self._watcher(self._error_hook(index)))
            for index, site in enumerate(self._sites)
        ]

    @property
    def fired(self) -> Tensor:
        """(L,) whether each site's error was corrected there in the last backward pass."""
        return self._local != 1.0

    def remove(self) -> None:
        """Take all hooks off the network."""
        for handle in self._handles:
            handle.remove()

    @abstractmethod
    def finish_backward(self) -> None:
        """Complete the step; call once after each backward pass and before penalties are added to the gradients."""

    @abstractmethod
    def _error_hook(self, index: int) -> ErrorHook:
        """What to do with the error at a site during a backward pass."""

    @staticmethod
    @abstractmethod
    def _dtype(parameter_dtype: torch.dtype) -> torch.dtype:
        """Number format of magnitudes and factors."""

    def _watcher(self, error_hook: ErrorHook) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
        """A forward hook: plain closures, for partial functions and methods would cost as much as the rest."""
        always = self._rule != "off"

        def watch(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not (always or self.recording) or not output.requires_grad:
                return None
            if torch.compiler.is_compiling():
                watched: Tensor = _Watched.apply(output, error_hook)
                return watched
            output.register_hook(error_hook)  # type: ignore[no-untyped-call]
            return None

        return watch


class FastModulation(Modulation):
    """Records magnitudes in a plain backward pass, then rescales the gradients of the sites' parameters."""

    def __init__(self, network: ConvNet, *, rule: str, band: float, target: str, statistic: str) -> None:
        super().__init__(network, rule=rule, band=band, target=target, statistic=statistic)
        owned = [(index, parameter) for index, site in enumerate(self._sites) for parameter in site.parameters]
        self._owners = [index for index, _ in owned]
        self._owned = [parameter for _, parameter in owned]

    @torch.no_grad()
    def finish_backward(self) -> None:
        """Compute the factors and multiply the parameters' gradients by them."""
        if self._rule == "off":
            return
        self._local = local_factors(
            self.error_norms, rule=self._rule, band=self._band, target=self._target, strength=self.strength
        )
        self.factors = _accumulate(self._local)
        scalars = self.factors.unbind()
        torch._foreach_mul_([gradient_of(owned) for owned in self._owned], [scalars[index] for index in self._owners])

    def _error_hook(self, index: int) -> ErrorHook:
        slot = self.error_norms[index]

        def record_norm(error: Tensor) -> None:
            torch.linalg.vector_norm(error, dtype=slot.dtype, out=slot)

        def record_mean(error: Tensor) -> None:
            record_norm(error)
            slot.div_(math.sqrt(error.numel()))

        return record_norm if self._statistic == "norm" else record_mean

    @staticmethod
    def _dtype(parameter_dtype: torch.dtype) -> torch.dtype:
        return torch.promote_types(parameter_dtype, torch.float32)


class InBackwardModulation(Modulation):
    """Scales each error on its way down: the reference, and the form for nets whose plain errors would overflow.

    Keeps its books in float64, whose range holds the raw magnitudes of a thousand layers.
    """

    def __init__(self, network: ConvNet, *, rule: str, band: float, target: str, statistic: str) -> None:
        super().__init__(network, rule=rule, band=band, target=target, statistic=statistic)
        self._seen: list[Tensor] = []
        self._applied: list[Tensor] = []

    @torch.no_grad()
    def finish_backward(self) -> None:
        """Work out raw magnitudes and factors from what was seen; the gradients are already as they should be."""
        if not self._seen:
            return
        self._local = torch.stack(self._applied).flip(0)
        self.factors = _accumulate(self._local)
        above = torch.cat([self.factors[1:], torch.ones_like(self.factors[:1])])
        self.error_norms = torch.stack(self._seen).flip(0) / above
        self._seen, self._applied = [], []

    def _error_hook(self, index: int) -> ErrorHook:
        def scale(error: Tensor) -> Tensor | None:
            if index == len(self._sites) - 1:
                self._seen, self._applied = [], []
            local = self._next_local_factor(self._magnitude(error))
            return None if self._rule == "off" else error * local

        return scale

    def _next_local_factor(self, magnitude: Tensor) -> Tensor:
        """The factor at the next site from the top, whose error has this magnitude after the factors above it."""
        local = torch.ones_like(magnitude)
        if self._seen and self._rule != "off":
            reference = self._seen[-1] * self._applied[-1] if self._rule == "pairwise" else self._seen[0]
            local = _correction(magnitude / reference, band=self._band, target=self._target, strength=self.strength)
        self._seen.append(magnitude)
        self._applied.append(local)
        return local

    def _magnitude(self, error: Tensor) -> Tensor:
        """The norm as m ||e / m|| with m = max |e|: a naive one squares its entries and overflows long before them."""
        error = error.to(torch.promote_types(error.dtype, torch.float32))
        peak = error.abs().amax()
        scale = torch.where(peak > 0.0, peak, 1.0)
        norm: Tensor = torch.linalg.vector_norm(error / scale).double() * scale
        return norm.div(math.sqrt(error.numel())) if self._statistic == "mean" else norm

    @staticmethod
    def _dtype(parameter_dtype: torch.dtype) -> torch.dtype:
        return torch.float64


def build_modulation(network: ConvNet, *, rule: str, band: float, target: str, statistic: str) -> Modulation:
    """The fast form up to depth 200, the in-backward form beyond.

    Args:
        network: the net to watch, already on its device.
        rule: "off" (measures only), "pairwise" or "cumulative".
        band: how far a ratio may stray from 1, at least 1.
        target: "edge" or "unit".
        statistic: "norm" for the Frobenius norm of the error, "mean" for the root of its mean square.

    Raises:
        ValueError: an option does not exist or is out of range.
    """
    depth = len(network.convs) + 1
    form = FastModulation if depth <= FAST_DEPTH_LIMIT else InBackwardModulation
    return form(network, rule=rule, band=band, target=target, statistic=statistic)
