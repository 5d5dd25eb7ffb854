"""A mel spectrogram whose filters learn: bit for bit mel after construction, then they move and change their widths."""

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

# A filter that has moved by one half-width keeps a share of its first shape of 2 to the power of minus this: 14 %.
LEFT = 2 / math.log(2)
SMALLEST = 1e-45  # the smallest positive float32, so that a threshold of minus this lets zero pass


class LearnableMelFilterbank(MelFrontend):
    r"""A mel spectrogram, bit for bit, whose filters then learn where they are and how wide they are on each side.

    This is the default choice wherever a mel spectrogram is used now: it starts as exactly that, and costs about as
    much. On the real sounds that we measured it was neither better nor worse than mel beyond chance
    (:doc:`/start/which`). It gains on synthetic classes that differ inside a narrow band that mel blurs.

    After construction its features are exactly those of `MelFrontend` with the same arguments. Each filter has three
    free parameters, which are zero at the start: the displacements of its position on the mel scale, and of its widths
    there to the left and to the right. Let :math:`W` be the triangles of mel, and :math:`T(\theta)` Gaussians that are
    as wide as triangles with these positions and widths, :math:`T(0)` at the start. The gains of the filters are

    .. math:: R(\theta) = \max(0, W + (T(\theta) - T(0)) - (1 - a)(W - T(0))).

    The share :math:`a` is one at the start, and falls to zero as a filter moves, or changes a width, by about its own
    half-width. A filter near its start is a triangle with the gradients of a Gaussian, and a filter far from it is a
    Gaussian. Gaussians have no edge, so every filter has a gradient, however few bins its triangle covers.

    A filter that moves keeps its widths on the mel scale. Filters that meet do not cross: they are sorted, together
    with their widths.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        norm: ``None`` for a height of one, ``"slaney"`` for the height of a triangle of unit area as wide as the
            filter.
        **options: The arguments that `MelFrontend` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: as for `MelFrontend`.

    Raises:
        TypeError: As for `CosGaussFilterbank`.
        ValueError: As for `MelFrontend`, or if the band is too narrow for centers to differ in float32.

    Warns:
        UserWarning: As for `MelFrontend`.

    Example:
        >>> waveform, mel = torch.randn(16000), MelFrontend(16000, n_filters=40)
        >>> learnable = LearnableMelFilterbank(16000, n_filters=40)
        >>> torch.equal(learnable(waveform), mel(waveform))
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
        """Store the constants of the steps from displacements to places and widths; ``starts`` are those of the places.

        A step is the hyperbolic tangent of a displacement. For a place it is twice a sigmoid minus one, over the whole
        band, and then as in `functional.ordered`; for a width it is that of `functional.bounded_log_factor`.
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
        """Return a filterbank that starts as an existing mel spectrogram, with copies of its stages.

        Args:
            frontend: The mel spectrogram.

        Returns:
            A filterbank with the same features, on the same device.

        Raises:
            TypeError: If ``frontend`` is not a `MelFrontend`.

        Example:
            >>> mel = MelFrontend(16000, 64, n_fft=1024, mel_scale="slaney")
            >>> bank, waveform = LearnableMelFilterbank.from_mel(mel), torch.randn(16000)
            >>> torch.equal(bank(waveform), mel(waveform))
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
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self._places(at_least_float32(self.raw_displacements)).edges[0]

    @property
    def edges(self) -> Tensor:
        """Lower and upper edge of the triangle that is as wide as each filter, in Hz, shape ``(n_filters, 2)``."""
        return self._places(at_least_float32(self.raw_displacements)).edges[1:].mT

    def response(self, frequencies: Tensor) -> Tensor:
        """Return the gain of each filter at frequencies in Hz: ``(bins,)`` to ``(n_filters, bins)``."""
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
        """Return the gain of each filter at the bins of a power spectrum."""
        dtype = torch.promote_types(like.dtype, at_least_float32(self.raw_displacements).dtype)
        names = ("bins", "triangles", "remainders")
        return self._gains(*(self._constants.tensor(name, dtype, like.device) for name in names)).to(like.dtype)

    def _start(self, frequencies: Tensor) -> tuple[Tensor, Tensor]:
        """Return the triangles of mel at frequencies in Hz, and their differences from the Gaussians at the start."""
        triangles, edges = self._heights(frequencies), self._constants.like("edges", frequencies)
        start = torch.stack([edges[1:-1], edges[:-2], edges[2:]])
        return triangles, triangles - gaussian_sides(start, frequencies, self.norm).gains

    def _gains(self, frequencies: Tensor, triangles: Tensor, remainders: Tensor) -> Tensor:
        """Return the current gains, given the two results of `_start` at these frequencies."""
        formula = partial(self._draw, frequencies, triangles, remainders)
        return apply_formula(formula, at_least_float32(self.raw_displacements))

    def _draw(self, frequencies: Tensor, triangles: Tensor, remainders: Tensor, raw: Tensor) -> tuple[Tensor, Pullback]:
        """Return the gains for given displacements, and their pullback; see `_formulas`."""
        places = self._places(raw)
        gaussians = gaussian_sides(places.edges.to(frequencies.dtype), frequencies, self.norm)
        drawn = gaussians.gains
        triangles, remainders = triangles.index_select(0, places.order), remainders.index_select(0, places.order)
        left = gaussian_gains(places.changes.square().sum(0))
        gains = torch.addcmul(drawn, left.to(drawn.dtype)[:, None], remainders)
        # A filter that has not moved equals mel's to the last bit; the difference is zero, but has a gradient.
        begun = triangles + (drawn - drawn.detach()) if drawn.requires_grad else triangles
        gains = torch.where(raw.any(0).index_select(0, places.order)[:, None], gains, begun)

        def pullback(d_gains: Tensor) -> tuple[Tensor]:
            d_gains = torch.ops.aten.threshold_backward(d_gains, gains, -SMALLEST)
            d_edges = edge_gradients(gaussians, d_gains * drawn).to(raw.dtype)
            d_left = torch.linalg.vecdot(d_gains, remainders).to(raw.dtype)
            return (self._raw_gradient(places, d_edges, left * d_left),)

        return gains.clamp_min(0), pullback  # relu has no gradient where a gain is zero

    def _places(self, raw: Tensor) -> _Places:
        like = self._constants.like
        steps = torch.addcmul(like("starts", raw), raw, like("raw_factors", raw))
        order = steps.detach()[0].argsort()
        steps = steps.index_select(1, order).tanh()
        # The places on the mel scale, and the logarithms of the factors by which the widths changed.
        spread = torch.addcmul(like("spread_start", raw), steps, like("spread_factors", raw))
        sides = spread[1:].exp() * like("sides", raw)
        edges = scale_to_hz(torch.cat([spread[:1], spread[0] + sides]), self.mel_scale)
        changes = (steps - like("begun", raw).index_select(1, order)) * like("change_factors", raw)
        return _Places(edges, order, changes, steps, sides)

    def _raw_gradient(self, places: _Places, d_edges: Tensor, d_log_left: Tensor) -> Tensor:
        """Return the gradient of the displacements from those of the edges and of the logarithm of the share left."""
        like = self._constants.like
        d_edges = d_edges * scale_slope(places.edges, self.mel_scale)
        d_spread = torch.cat([d_edges.sum(0, keepdim=True), d_edges[1:] * places.sides])
        d_changes = places.changes * (-2 * math.log(2) * d_log_left)
        d_steps = d_spread * like("spread_factors", d_edges) + d_changes * like("change_factors", d_edges)
        d_raw = torch.ops.aten.tanh_backward(d_steps, places.steps) * like("raw_factors", d_edges)
        return torch.empty_like(d_raw).index_copy_(1, places.order, d_raw)


class _Places(NamedTuple):
    """Where filters are, in ascending order of their places, and intermediate results."""

    edges: Tensor  # place, lower and upper edge in Hz, (3, n_filters)
    order: Tensor  # indices that sort the filters
    changes: Tensor  # how far each is from its start; one half-width counts as the root of `LEFT`
    steps: Tensor  # place and both widths, between -1 and 1
    sides: Tensor  # distances from the place to the edges on the mel scale, (2, n_filters)
