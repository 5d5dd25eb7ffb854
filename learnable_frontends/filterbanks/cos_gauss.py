"""Cosine-modulated Gaussian filters, one learned center frequency each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from learnable_frontends.functional import at_least_float32, bounded, even_ramp, ordered, unbounded, unordered
from learnable_frontends.kernel_filterbank import EvenKernelFilterbank

__all__ = ["CosGaussFilterbank"]

# A learned width, in periods, stays in here; the kernel's length bounds it too.
WIDTH_RANGE = (0.1, 100.0)


class CosGaussFilterbank(EvenKernelFilterbank):
    r"""Cosine-modulated Gaussian filters with one learned center frequency each.

    Filter :math:`i` at tap :math:`n` is :math:`\cos(2\pi\mu_i n)\exp(-(\mu_i n / w)^2 / 2)`, with the center
    :math:`\mu_i` in cycles per sample and the width :math:`w` in periods of it: the relative bandwidth is the same for
    every filter whose Gaussian fits into the kernel.

    Args:
        sample_rate: Samples per second of the waveform. It has no default: a wrong one shifts every filter.
        n_filters: Number of filters.
        win_length: Samples per frame; ``None`` means 25 ms.
        hop_length: Samples from frame to frame; ``None`` means 10 ms.
        kernel_size: Taps per filter, odd; ``None`` means 16 ms (705 at 44.1 kHz).
        f_min: Lower end of the band in Hz; no center reaches it.
        f_max: Upper end of the band in Hz; ``None`` means half of ``sample_rate``.
        center: Whether frame ``t`` is centered on sample ``t * hop_length``, which pads both ends by half a frame.
        pad_mode: How: ``"reflect"``, ``"constant"``, ``"replicate"`` or ``"circular"``.
        padding: Which outputs of the convolution count: ``"full"``, all of them, from one FFT a frame; or ``"valid"``,
            those that see the whole kernel, as the published code does, for exact comparison with its weights. On
            steady sounds well above the log's offset the log energies of the two differ by a near constant. But
            ``"valid"`` convolves in the time domain: hundreds of times the work, and ``frames x n_filters x
            win_length`` numbers of memory.
        window: Function from ``win_length`` to the frame window. The published code's is symmetric:
            ``functools.partial(torch.hamming_window, periodic=False)``. ``torch.hann_window`` keeps loud low sounds out
            of quiet high filters.
        init: Where centers start: evenly on a scale, ``"mel"`` (``"htk"``), ``"slaney"``, ``"bark"``, ``"erb"`` or
            ``"linear"``, or ``n_filters`` ascending frequencies in Hz.
        width: Standard deviation of the Gaussian in periods of the center frequency, one for all filters or one for
            each; or ``"spacing"``: each filter's response is half of its peak half-way to its neighbors, on average,
            so that filters start side by side, however many there are.
        learn_width: Whether each filter's width is learned too, between 0.1 and 100 periods.
        gain: ``"raw"`` leaves the kernels as they are, so lower filters, which are longer, are louder; ``"peak"`` gives
            every filter unit gain at its center.
        compression: Module from energies to features; ``None`` means ``Log(1e-3)``, ``torch.nn.Identity()`` none.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; without ``center`` ``1 + (time - win_length) //
          hop_length`` frames.

    Raises:
        TypeError: If a length is not a whole number, ``compression`` is not a module, or a waveform is not floating
            point.
        ValueError: If an argument breaks its rule: ``kernel_size`` is even, not ``0 <= f_min < f_max <= sample_rate /
            2``, ...; or if a waveform is too short to pad.

    Example:
        >>> CosGaussFilterbank(sample_rate=44100, n_filters=80)(torch.randn(2, 44100)).shape
        torch.Size([2, 80, 101])

    Source: Dutta et al. 2021, eq. 1, which is ``width=1``. The default 5 is what its published code used. There the
    centers are sorted logits between 0 and half the sample rate; here also, plus a thousandth of an even ramp
    (`functional.ordered`), which keeps them strictly apart and moves none by more than 0.1 % of the band.
    """

    ramp: Tensor
    fixed_widths: Tensor
    raw_width: nn.Parameter | None

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        win_length: int | None = None,
        hop_length: int | None = None,
        kernel_size: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        padding: str = "full",
        window: Callable[[int], Tensor] = torch.hamming_window,
        init: str | Sequence[float] | Tensor = "mel",
        width: float | str | Sequence[float] | Tensor = 5.0,
        learn_width: bool = False,
        gain: str = "raw",
        compression: nn.Module | None = None,
    ) -> None:
        super().__init__(
            sample_rate,
            n_filters,
            win_length=win_length,
            hop_length=hop_length,
            kernel_size=kernel_size,
            f_min=f_min,
            f_max=f_max,
            center=center,
            pad_mode=pad_mode,
            padding=padding,
            window=window,
            gain=gain,
            compression=compression,
        )
        points = self._spaced_centers(init)
        ramp = even_ramp(self.n_filters)
        self._constant("ramp", ramp)
        positions = unordered((points[1:-1] - self.f_min) / (self.f_max - self.f_min), ramp)
        self.raw_center = self._free(unbounded(positions, 0.0, 1.0))
        widths = self._checked_widths(width, points, learn_width)
        self.width = float(widths[0]) if bool((widths == widths[0]).all()) else None
        self._constant("fixed_widths", widths)
        low, high = WIDTH_RANGE
        raw_width = self._free(unbounded(widths.log(), math.log(low), math.log(high))) if learn_width else None
        self.register_parameter("raw_width", raw_width)

    @property
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        raw = at_least_float32(self.raw_center)
        return self._in_hz(ordered(torch.sigmoid(raw.sort().values), self.ramp))

    @property
    def widths(self) -> Tensor:
        """Standard deviation of each filter's Gaussian in periods of its center, shape ``(n_filters,)``."""
        order = self.raw_center.argsort()
        if self.raw_width is None:
            return self.fixed_widths[order]
        low, high = WIDTH_RANGE
        return bounded(at_least_float32(self.raw_width[order]), math.log(low), math.log(high)).exp()

    def half_kernels(self) -> Tensor:
        """Middle tap of each kernel and those after it, shape ``(n_filters, (kernel_size + 1) // 2)``."""
        phase = self._phase(self.center_frequencies)
        width: float | Tensor | None = self.width
        if self.raw_width is not None or width is None:
            width = self.widths.to(phase.dtype)[:, None]
        # Powers of two, not of e: torch.exp wakes other threads for tensors this small, which costs more than it saves.
        exponent = phase.square() * (-0.5 / math.log(2) / (2 * math.pi * width) ** 2)
        return torch.cos(phase) * torch.exp2(exponent)

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        shown = "one each" if self.width is None else f"{self.width:g}"
        return f"{super().extra_repr()}, width={shown}, learn_width={self.raw_width is not None}"

    def _checked_widths(
        self, width: float | str | Sequence[float] | Tensor, points: Tensor, learn_width: bool
    ) -> Tensor:
        """Width of each filter, in the order of its center; ``points`` are centers between the ends of the band."""
        low, high = WIDTH_RANGE
        if isinstance(width, str):
            if width != "spacing":
                raise ValueError(f"width must be 'spacing' or numbers, got {width!r} (in periods)")
            half_gaps = (points[2:] - points[:-2]) / 4
            widths = points[1:-1] * (math.sqrt(math.log(2)) / (2 * math.pi)) / half_gaps
            if not bool(((low < widths) & (widths < high)).all()):
                raise ValueError(
                    f"width='spacing' must give widths between {low} and {high} periods, got {widths.tolist()} "
                    "(centers too far apart or too close; give numbers)"
                )
            return widths
        widths = torch.as_tensor(width, dtype=torch.float64).detach().cpu()
        if widths.shape not in ((), (self.n_filters,)):
            raise ValueError(f"width must be one number or {self.n_filters}, got shape {tuple(widths.shape)}")
        if not bool(((widths > 0) & widths.isfinite()).all()):
            raise ValueError(f"width must be positive and finite, got {width} (in periods; the paper's eq. 1 is 1)")
        if learn_width and not bool(((low < widths) & (widths < high)).all()):
            raise ValueError(f"width must be between {low} and {high} periods to be learned, got {width}")
        return widths.expand(self.n_filters)
