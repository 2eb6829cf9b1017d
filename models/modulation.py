"""Modulation: bring the back-propagated errors of consecutive layers to one magnitude (Xie et al. 2017).

By which factor each error is multiplied is in `models.modulation_factors`; here is how a network's errors are measured
and how the factors act. A scalar a site commutes with back-propagation. So the fast form runs a plain backward pass
that only records magnitudes and rescales the parameters' gradients afterwards; the in-backward form scales the errors
themselves. Both give the same gradients, but in very deep nets the plain error overflows float32, and only the second
can be used. Neither touches the forward pass, and neither reads a number back to the host within a step.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.modulation_factors import accumulated, check_options, correction, local_factors
from models.networks import ConvNet, gradient_of

ErrorHook = Callable[[Tensor], Tensor | None]
"""Called with the error at a site during a backward pass; an answer replaces the error."""

FAST_DEPTH_LIMIT = 200
"""Errors grow by up to 1.26 a layer from about 0.01, so squares reach 1e36 at this depth; float32 ends at 3e38."""


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
        self.factors = accumulated(self._local)
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
        self.factors = accumulated(self._local)
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
            local = correction(magnitude / reference, band=self._band, target=self._target, strength=self.strength)
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
