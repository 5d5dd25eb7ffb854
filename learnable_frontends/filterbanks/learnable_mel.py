"""A mel spectrogram that learns: bit for bit mel when it is made, then filters that move and change their widths."""

from __future__ import annotations

import copy
import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._constants import exact_construction
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.mel import MelFrontend
from learnable_frontends.filterbanks.options import MelOptions
from learnable_frontends.functional import bounded_log_factor, even_ramp, hz_to_scale, ordered, scale_to_hz
from learnable_frontends.functional.constraints import RAMP_SHARE

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LearnableMelFilterbank"]

# The Gaussian that comes closest to a triangle: its standard deviation in half-widths of the triangle.
DEVIATION = 0.435
NARROWNESS = -0.5 / (DEVIATION**2 * math.log(2))
# What is left of the start in a filter that is one half-width away from it is 2 to the power of minus this: 14 %.
LEFT = 2 / math.log(2)


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
        self._constants["ramp"] = even_ramp(self.n_filters)
        # Evenly spaced places are where `functional.ordered` leaves them.
        self._constants["starts"] = torch.stack([places.logit(), places * (self.n_filters + 1)])
        step = 1 / (self.n_filters + 1)
        self._constants["sides"] = [[-step], [step]]
        self.declare("raw_displacements", torch.zeros(3, self.n_filters, dtype=torch.float64, device="cpu"))
        with exact_construction():
            self._constants["remainders"] = self._start(torch.from_numpy(self._bins(self.n_fft)))[1]

    @classmethod
    def from_mel(cls, frontend: MelFrontend) -> Self:
        """Return a bank that starts as an existing mel spectrogram, with a copy of its compression.

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
        given: dict[str, Any] = {
            "window": lambda _: torch.from_numpy(frontend._constants["window"]),
            "compression": copy.deepcopy(frontend.compression),
        }
        shared = inspect.signature(MelFrontend).parameters.keys() - given.keys()
        bank = cls(**{name: getattr(frontend, name) for name in shared}, **given)
        bank.set_transform(frontend._transform).train(frontend.training)
        return bank.to(frontend.fingerprint.device)

    @property
    def center_frequencies(self) -> Tensor:
        """Place of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self._edges_and_changes()[0][0]

    @property
    def edges(self) -> Tensor:
        """Lower and upper edge of the triangle that each filter stands for, in Hz, shape ``(n_filters, 2)``."""
        return self._edges_and_changes()[0][1:].mT

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
        return triangles, triangles - self._gaussians(torch.stack([edges[1:-1], edges[:-2], edges[2:]]), frequencies)

    def _gains(self, frequencies: Tensor, triangles: Tensor, remainders: Tensor) -> Tensor:
        """Draw the filters as they are now, from mel's triangles and their remainders at these frequencies."""
        edges, order, changes, still = self._edges_and_changes()
        drawn = self._gaussians(edges.to(frequencies.dtype), frequencies)
        triangles, remainders = triangles.index_select(0, order), remainders.index_select(0, order)
        left = torch.exp2(-LEFT * changes).to(frequencies.dtype)[:, None]
        moved = torch.addcmul(drawn, left, remainders)
        # A filter that is where it began is mel's to the last bit; the difference is zero, but has a gradient.
        gains = torch.where(still[:, None], triangles + (drawn - drawn.detach()), moved)
        return gains.clamp_min(0)  # not relu, whose gradient is zero where a gain is

    def _edges_and_changes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Resolve the parameters, each filter's where its place comes in ascending order.

        Returns:
            Place, lower and upper edge in Hz, shape ``(3, n_filters)``; the order that sorted the filters; how far each
            is from its start, a sum of squares in half-widths; and whether it is exactly there.
        """
        raw = at_least_float32(self.raw_displacements)
        starts = self._constants.like("starts", raw)
        order = (starts[0] + raw.detach()[0]).argsort()
        raw = raw.index_select(1, order)
        logits, begun = starts.index_select(1, order)
        places = ordered(torch.sigmoid(logits + raw[0]), self._constants.like("ramp", raw))
        logs = bounded_log_factor(raw[1:])
        shares = torch.cat([places[None], places + logs.exp() * self._constants.like("sides", raw)])
        edges = scale_to_hz(self._scale_start + self._scale_length * shares, self.mel_scale)
        moved = places * (self.n_filters + 1) - begun
        changes = torch.cat([moved[None], logs]).square().sum(0)
        still = (raw == 0).all(0)
        return edges, order, changes, still

    def _gaussians(self, edges: Tensor, frequencies: Tensor) -> Tensor:
        """Draw Gaussians that come closest to triangles with these places and edges, on each side."""
        distances = frequencies - edges[0, :, None]
        low, high = (NARROWNESS / (edges[1:] - edges[0]).square())[..., None].unbind()
        gains = torch.exp2(distances.square() * torch.where(distances < 0, low, high))
        return gains * (2.0 / (edges[2] - edges[1]))[:, None] if self.norm == "slaney" else gains
