"""A mel spectrogram that learns: bit for bit mel when it is made, then filters that move and change their widths."""

from __future__ import annotations

import copy
import inspect
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._constants import exact_construction
from learnable_frontends._formulas import Pullback, apply_formula
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.mel import MelFrontend
from learnable_frontends.filterbanks.options import MelOptions
from learnable_frontends.functional import even_ramp, hz_to_scale, scale_slope, scale_to_hz
from learnable_frontends.functional.constraints import LARGEST_LOG_FACTOR, RAMP_SHARE
from learnable_frontends.functional.gaussian_sides import edge_gradients, gaussian_gains, gaussian_sides

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LearnableMelFilterbank"]

# What is left of the start in a filter that is one half-width away from it is 2 to the power of minus this: 14 %.
LEFT = 2 / math.log(2)
SMALLEST = 1e-45  # of float32: what is above minus this is not negative


class LearnableMelFilterbank(MelFrontend):
    r"""The mel spectrogram, bit for bit, whose filters then learn where they are and how wide on each side.

    When it is made its features are those of `MelFrontend` with the same arguments, exactly. Each filter has three
    free numbers, all zero then: the displacements of its place on the mel scale and of its width there to the left and
    to the right. With mel's own triangles :math:`W` and Gaussians :math:`T(\theta)` that are as wide as triangles with
    these places and widths would be, :math:`T(0)` at the start, the gains of the filters are

    .. math:: R(\theta) = \max(0, W + (T(\theta) - T(0)) - (1 - a)(W - T(0))).

    The share :math:`a` is one at the start and falls to zero as a filter moves or changes a width by about its own
    half-width: near its start a filter is a triangle with the slopes of a Gaussian, far from it a Gaussian. Gaussians
    have no edge, so that every filter has a gradient, however few bins its triangle covers, and hears beyond it.

    A filter that moves keeps its widths on the mel scale. Filters that meet do not cross: they are sorted, each width
    with its filter.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        norm: ``None`` for a height of one, ``"slaney"`` for the height of a triangle of unit area with the sides that
            the filter has.
        **options: The arguments that `MelFrontend` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: as `MelFrontend`.

    Raises:
        TypeError: As `CosGaussFilterbank`.
        ValueError: As `MelFrontend`; or if the band is too narrow for centers to differ in float32.

    Warns:
        UserWarning: As `MelFrontend`.

    Example:
        >>> waveform = torch.randn(16000)
        >>> learnable = LearnableMelFilterbank(sample_rate=16000, n_filters=40)
        >>> torch.equal(learnable(waveform), MelFrontend(sample_rate=16000, n_filters=40)(waveform))
        True
    """

    raw_displacements: nn.Parameter

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        **options: Unpack[MelOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        self._set_fingerprint(sample_rate, self.f_min, self.f_max, kind=f" {self.mel_scale}")
        with exact_construction():
            ends = hz_to_scale(torch.tensor([self.f_min, self.f_max]), self.mel_scale)
            self._scale_start, self._scale_length = float(ends[0]), float(ends.diff())
            places = torch.arange(1, self.n_filters + 1) / (self.n_filters + 1)
        smallest = RAMP_SHARE * self._scale_length / (self.n_filters + 1)
        if smallest < 4 * float(ends[1]) * torch.finfo(torch.float32).eps:
            raise ValueError(
                f"f_min and f_max must be further apart for {self.n_filters} filters to differ in float32, "
                f"got f_min={self.f_min}, f_max={self.f_max} (all in Hz)"
            )
        self._set_steps(places.logit() / 2)
        self.declare("raw_displacements", torch.zeros(3, self.n_filters, dtype=torch.float64, device="cpu"))
        with exact_construction():
            self._constants["remainders"] = self._start(torch.from_numpy(self._bins(self.n_fft)))[1]

    def _set_steps(self, starts: Tensor) -> None:
        """Keep the numbers of the steps from displacements to places and widths, given those of a place at the start.

        A step is the hyperbolic tangent of a displacement: of a place, twice a sigmoid less one, in the whole band
        (evenly spaced places are where `functional.ordered` leaves them); of a width, `functional.bounded_log_factor`.
        """
        n, length = self.n_filters, self._scale_length
        half = (1 - RAMP_SHARE) / 2
        ramp, none = even_ramp(n).numpy(), np.zeros((2, n))
        self._constants["starts"] = np.vstack([starts, none])
        self._constants["begun"] = np.tanh(self._constants["starts"])
        self._constants["spread_start"] = np.vstack([self._scale_start + length * (half + ramp), none])
        factors = [[1 / 2, half * length, half * (n + 1)], *[[1 / LARGEST_LOG_FACTOR, *[LARGEST_LOG_FACTOR] * 2]] * 2]
        raw, spread, change = np.array(factors).T[..., None]
        self._constants["raw_factors"], self._constants["spread_factors"] = raw, spread
        self._constants["change_factors"] = change * math.sqrt(LEFT)
        self._constants["sides"] = np.array([[-1], [1]]) * length / (n + 1)

    @classmethod
    def from_mel(cls, frontend: MelFrontend) -> Self:
        """Return a bank that starts as an existing mel spectrogram, with copies of its stages.

        Args:
            frontend: The mel spectrogram.

        Returns:
            A bank with the same features, on the same device.

        Raises:
            TypeError: If ``frontend`` is not a `MelFrontend`.

        Example:
            >>> mel, waveform = MelFrontend(16000, 64, n_fft=1024, mel_scale="slaney"), torch.randn(16000)
            >>> torch.equal(LearnableMelFilterbank.from_mel(mel)(waveform), mel(waveform))
            True
        """
        if type(frontend) is not MelFrontend:
            raise TypeError(f"frontend must be a MelFrontend, got {type(frontend).__name__}")
        given: dict[str, Any] = {"window": lambda _: torch.from_numpy(frontend._constants["window"])}
        given |= {name: copy.deepcopy(getattr(frontend, name)) for name in ("compression", "inputs", "frame_stages")}
        given["pad"] = frontend._pad
        shared = inspect.signature(MelFrontend).parameters.keys() - given.keys()
        bank = cls(**{name: getattr(frontend, name) for name in shared}, **given)
        bank.set_transform(frontend._transform).train(frontend.training)
        return bank.to(frontend.fingerprint.device)

    @property
    def center_frequencies(self) -> Tensor:
        """Place of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self._places(at_least_float32(self.raw_displacements)).edges[0]

    @property
    def edges(self) -> Tensor:
        """Lower and upper edge of the triangle that each filter stands for, in Hz, shape ``(n_filters, 2)``."""
        return self._places(at_least_float32(self.raw_displacements)).edges[1:].mT

    def response(self, frequencies: Tensor) -> Tensor:
        """Gain of each filter at frequencies in Hz: ``(bins,)`` to ``(n_filters, bins)``."""
        return self._gains(frequencies, *self._start(frequencies))

    def power_response(self, n_fft: int) -> Tensor:
        """Return the gain of each filter at the bins of a transform, shape ``(n_filters, n_fft // 2 + 1)``.

        Args:
            n_fft: Transform length in samples.
        """
        bins = self._bins(n_fft)
        with exact_construction():
            start = [rows.numpy() for rows in self._start(torch.from_numpy(bins))]
        return self._gains(*map(self._tensor, (bins, *start)))

    def weights(self, like: Tensor) -> Tensor:
        """Gains of the filters at the bins of a power spectrum."""
        dtype = torch.promote_types(like.dtype, at_least_float32(self.raw_displacements).dtype)
        names = ("bins", "triangles", "remainders")
        return self._gains(*(self._constants.tensor(name, dtype, like.device) for name in names)).to(like.dtype)

    def _start(self, frequencies: Tensor) -> tuple[Tensor, Tensor]:
        """Mel's triangles at frequencies in Hz, and what the Gaussians of the start leave of them."""
        triangles, edges = self._heights(frequencies), self._constants.like("edges", frequencies)
        start = torch.stack([edges[1:-1], edges[:-2], edges[2:]])
        return triangles, triangles - gaussian_sides(start, frequencies, self.norm).gains

    def _gains(self, frequencies: Tensor, triangles: Tensor, remainders: Tensor) -> Tensor:
        """Draw the filters as they are now, from mel's triangles and their remainders at these frequencies."""
        formula = partial(self._draw, frequencies, triangles, remainders)
        return apply_formula(formula, at_least_float32(self.raw_displacements))

    def _draw(self, frequencies: Tensor, triangles: Tensor, remainders: Tensor, raw: Tensor) -> tuple[Tensor, Pullback]:
        """Draw the filters for these displacements: a formula."""
        places = self._places(raw)
        gaussians = gaussian_sides(places.edges.to(frequencies.dtype), frequencies, self.norm)
        drawn = gaussians.gains
        triangles, remainders = triangles.index_select(0, places.order), remainders.index_select(0, places.order)
        left = gaussian_gains(places.changes.square().sum(0))
        gains = torch.addcmul(drawn, left.to(drawn.dtype)[:, None], remainders)
        # A filter that is where it began is mel's to the last bit; the difference is zero, but has a gradient.
        begun = triangles + (drawn - drawn.detach()) if drawn.requires_grad else triangles
        gains = torch.where(raw.any(0).index_select(0, places.order)[:, None], gains, begun)

        def pullback(d_gains: Tensor) -> tuple[Tensor]:
            d_gains = torch.ops.aten.threshold_backward(d_gains, gains, -SMALLEST)
            d_edges = edge_gradients(gaussians, d_gains * drawn).to(raw.dtype)
            d_left = torch.linalg.vecdot(d_gains, remainders).to(raw.dtype)
            return (self._raw_gradient(places, d_edges, left * d_left),)

        return gains.clamp_min(0), pullback  # not relu, whose gradient is zero where a gain is

    def _places(self, raw: Tensor) -> _Places:
        like = self._constants.like
        steps = torch.addcmul(like("starts", raw), raw, like("raw_factors", raw))
        order = steps.detach()[0].argsort()
        steps = steps.index_select(1, order).tanh()
        # The place on the mel scale, and the logarithms of the changes of both widths.
        spread = torch.addcmul(like("spread_start", raw), steps, like("spread_factors", raw))
        sides = spread[1:].exp() * like("sides", raw)
        edges = scale_to_hz(torch.cat([spread[:1], spread[0] + sides]), self.mel_scale)
        changes = (steps - like("begun", raw).index_select(1, order)) * like("change_factors", raw)
        return _Places(edges, order, changes, steps, sides)

    def _raw_gradient(self, places: _Places, d_edges: Tensor, d_log_left: Tensor) -> Tensor:
        """Gradient of the displacements from those of edges and of the logarithm of what is left of the start."""
        like = self._constants.like
        d_edges = d_edges * scale_slope(places.edges, self.mel_scale)
        d_spread = torch.cat([d_edges.sum(0, keepdim=True), d_edges[1:] * places.sides])
        d_changes = places.changes * (-2 * math.log(2) * d_log_left)
        d_steps = d_spread * like("spread_factors", d_edges) + d_changes * like("change_factors", d_edges)
        d_raw = torch.ops.aten.tanh_backward(d_steps, places.steps) * like("raw_factors", d_edges)
        return torch.empty_like(d_raw).index_copy_(1, places.order, d_raw)


class _Places(NamedTuple):
    """Where filters are, each where its place comes in ascending order, and what that was made of."""

    edges: Tensor  # place, lower and upper edge in Hz, (3, n_filters)
    order: Tensor  # that sorted the filters
    changes: Tensor  # how far each is from its start: a half-width of place or sides is the root of `LEFT`
    steps: Tensor  # place and both widths between -1 and 1
    sides: Tensor  # from the place to the edges on the mel scale, (2, n_filters)
