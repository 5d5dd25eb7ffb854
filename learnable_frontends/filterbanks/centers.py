"""Filterbanks with one learned center for each filter: where centers start, and the parameters that they depend on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from learnable_frontends._constants import exact_construction
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.functional import even_ramp, spaced_centers, unbounded, unordered
from learnable_frontends.functional.constraints import RAMP_SHARE

__all__ = ["CenteredFilterbank"]


class CenteredFilterbank(Filterbank):
    """A filterbank whose argument ``init`` defines where centers start.

    A family takes the argument ``init`` and passes it to `set_init`. It then calls `declare_centers` to learn one
    center for each filter, or uses `starting_points` to compute first values of other parameters. A family with widths
    calls `declare_widths`, and redefines ``width_unit`` and what depends on it if its unit is not Hz.
    """

    raw_center: nn.Parameter
    raw_width: nn.Parameter
    learn_width: bool
    width_unit = "Hz"

    def set_init(self, init: str | Sequence[float] | Tensor) -> None:
        """Set and check where centers start: the argument ``init`` of a family's constructor."""
        self._init = (
            init if isinstance(init, str) else torch.as_tensor(init, dtype=torch.float64, device="cpu").tolist()
        )
        self.starting_points()

    def starting_points(self) -> Tensor:
        """Return ``f_min``, the centers that ``init`` defines, and ``f_max``, in Hz, in float64 on the CPU."""
        step = RAMP_SHARE * (self.f_max - self.f_min) / (self.n_filters + 1)
        if step < 4 * self.f_max * torch.finfo(torch.float32).eps:
            raise ValueError(
                f"f_min and f_max must be further apart for {self.n_filters} filters to differ in float32, "
                f"got f_min={self.f_min}, f_max={self.f_max} (all in Hz)"
            )
        with exact_construction():
            points = spaced_centers(self._init, self.n_filters, self.f_min, self.f_max)
        # The ramp of `functional.ordered` would silently push closer centers apart, or leave no room for their edges.
        if not bool((points.diff() > 1.5 * step).all()):
            raise ValueError(
                f"init must keep centers more than {1.5 * step:.3g} Hz from each other and from f_min and f_max, "
                f"got {points[1:-1].tolist()} (all in Hz)"
            )
        return points

    def declare_centers(self) -> None:
        """Declare ``raw_center``, one free parameter for each filter, which determines `center_frequencies`.

        It is the logit of the center's position in the band, so that a step means the same relative change at every
        sample rate. The centers are the sorted positions plus a thousandth of an even ramp (`functional.ordered`), and
        so they are strictly ascending and strictly inside the band for any values of the parameter.
        """
        points, ramp, length = self.starting_points(), even_ramp(self.n_filters), self.f_max - self.f_min
        places = (points[1:-1] - self.f_min) / length
        self.declare("raw_center", unbounded(unordered(places, ramp), 0.0, 1.0))
        self._constants["spread_start"] = (self.f_min + length * ramp)[None]
        self._constants["spread_factors"] = [[(1 - RAMP_SHARE) * length]]

    def declare_widths(self, width: float | str | Sequence[float] | Tensor, learn_width: bool) -> None:
        """Set the width of each filter, and declare ``raw_width`` if widths are learned.

        Call it after `declare_centers`.

        Args:
            width: One number or one for each filter, in ``width_unit``, or ``"spacing"`` for `spacing_widths`.
            learn_width: Whether widths are learned, each within `width_range`.
        """
        (low, high), unit = self.width_range, self.width_unit
        if isinstance(width, str):
            if width != "spacing":
                raise ValueError(f"width must be 'spacing' or numbers, got {width!r} (in {unit})")
            widths = self.spacing_widths()
        else:
            widths = torch.as_tensor(width, dtype=torch.float64, device="cpu").detach()
            if widths.shape not in ((), (self.n_filters,)):
                raise ValueError(f"width must be one number or {self.n_filters}, got shape {tuple(widths.shape)}")
            if not bool(((widths > 0) & widths.isfinite()).all()):
                raise ValueError(f"width must be positive and finite, got {width} (in {unit})")
        if learn_width and not bool(((low < widths) & (widths < high)).all()):
            raise ValueError(f"width must be between {low:g} and {high:g} {unit} to be learned, got {width}")
        self._width = width if isinstance(width, str) else widths.tolist()
        self.learn_width = bool(learn_width)
        self._constants["widths"] = widths = widths.expand(self.n_filters)
        if learn_width:
            start, length = math.log(low), math.log(high / low)
            self.declare("raw_width", unbounded(widths.log(), start, start + length))
            points, [factor] = self._constants["spread_start"][0], self._constants["spread_factors"]
            self._constants["spread_start"] = np.stack([points, np.full_like(points, start)])
            self._constants["spread_factors"] = np.stack([factor, [length]])

    @property
    def width_range(self) -> tuple[float, float]:
        """Smallest and largest value of a learned width: a ten-thousandth of the band, and the whole band."""
        return 1e-4 * (self.f_max - self.f_min), self.f_max - self.f_min

    def spacing_widths(self) -> Tensor:
        """Return widths for which responses have half of their peak power half-way to their neighbors, on average."""
        points = self.starting_points()
        return (points[2:] - points[:-2]) / 2

    @property
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self._spread()[0]

    @property
    def widths(self) -> Tensor:
        """Current full width of each filter at half of its peak power, in Hz, shape ``(n_filters,)``."""
        return self.centers_and_widths()[1]

    def centers_and_widths(self) -> tuple[Tensor, Tensor]:
        """Return `center_frequencies` and `widths`, which share steps."""
        spread = self._spread()
        if len(spread) == 2:
            return spread[0], spread[1].exp()
        order = self.raw_center.detach().argsort()
        return spread[0], self._constants.like("widths", spread).index_select(0, order)

    def _spread(self) -> Tensor:
        """Return centers and, if widths are learned, logarithms of widths, shape ``(1 or 2, n_filters)``."""
        factors = self._constants["spread_factors"]
        raw = (self.raw_center, self.raw_width) if len(factors) == 2 else (self.raw_center,)
        steps = at_least_float32(torch.stack(raw)).index_select(1, self.raw_center.detach().argsort()).sigmoid()
        return torch.addcmul(
            self._constants.like("spread_start", steps), steps, self._constants.like("spread_factors", steps)
        )
