"""Frequency scales: Hz to mel, bark or ERB and back, and frequencies that are evenly spaced on a scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["SCALES", "hz_to_scale", "scale_slope", "scale_to_hz", "spaced_centers", "spaced_edges"]

# Slaney's Auditory Toolbox (1998): linear below 1 kHz, logarithmic above, 27 steps from 1 kHz to 6.4 kHz.
_SLANEY_LINEAR = 200.0 / 3.0
_SLANEY_BREAK = 1000.0
_SLANEY_STEP = math.log(6.4) / 27.0

_HTK_STEP = math.log(10) / 2595.0


def _hz_to_slaney(hz: Tensor) -> Tensor:
    logarithmic = _SLANEY_BREAK / _SLANEY_LINEAR + (hz.clamp_min(_SLANEY_BREAK) / _SLANEY_BREAK).log() / _SLANEY_STEP
    return torch.where(hz < _SLANEY_BREAK, hz / _SLANEY_LINEAR, logarithmic)


def _slaney_to_hz(mel: Tensor) -> Tensor:
    knee = _SLANEY_BREAK / _SLANEY_LINEAR
    return torch.where(mel < knee, mel * _SLANEY_LINEAR, _SLANEY_BREAK * (_SLANEY_STEP * (mel - knee)).exp())


SCALES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    # O'Shaughnessy, Speech Communication (1987), as HTK writes it.
    "htk": (lambda hz: 2595.0 * torch.log10(1.0 + hz / 700.0), lambda mel: 700.0 * torch.expm1(mel * _HTK_STEP)),
    "slaney": (_hz_to_slaney, _slaney_to_hz),
    # Traunmueller, JASA 88 (1990), eq. 6, without the corrections at the ends.
    "bark": (lambda hz: 26.81 * hz / (1960.0 + hz) - 0.53, lambda z: 1960.0 * (z + 0.53) / (26.28 - z)),
    # Glasberg and Moore, Hearing Research 47 (1990): number of equivalent rectangular bandwidths below a frequency.
    "erb": (lambda hz: 21.4 * torch.log10(1.0 + 0.00437 * hz), lambda n: (10.0 ** (n / 21.4) - 1.0) / 0.00437),
    "linear": (lambda hz: hz, lambda value: value),
}
SCALES["mel"] = SCALES["htk"]


def hz_to_scale(frequencies: Tensor, scale: str) -> Tensor:
    """Return frequencies in Hz as values on a perceptual scale.

    Args:
        frequencies: Frequencies in Hz, any shape, not negative.
        scale: ``"htk"`` (also called ``"mel"``), ``"slaney"``, ``"bark"``, ``"erb"`` or ``"linear"``.

    Returns:
        Values on the scale, shaped like ``frequencies``.

    Raises:
        ValueError: If ``scale`` is unknown.

    Example:
        >>> hz_to_scale(torch.tensor([0.0, 1000.0]), "slaney")
        tensor([ 0., 15.])
    """
    return _scale(scale)[0](frequencies)


def scale_to_hz(values: Tensor, scale: str) -> Tensor:
    """Return values on a perceptual scale as frequencies in Hz; the inverse of `hz_to_scale`.

    Args:
        values: Values on the scale, any shape.
        scale: As in `hz_to_scale`.

    Returns:
        Frequencies in Hz, shaped like ``values``.

    Raises:
        ValueError: If ``scale`` is unknown.

    Example:
        >>> scale_to_hz(torch.tensor([0.0, 15.0]), "slaney")
        tensor([   0., 1000.])
    """
    return _scale(scale)[1](values)


def scale_slope(frequencies: Tensor, scale: str) -> Tensor:
    """Return the derivative of `scale_to_hz` at given frequencies, in Hz per unit of a mel scale.

    Args:
        frequencies: Frequencies in Hz, any shape.
        scale: ``"htk"`` or ``"slaney"``.

    Example:
        >>> scale_slope(torch.tensor([0.0, 1000.0]), "slaney").round()
        tensor([67., 69.])
    """
    if scale == "htk":
        return (frequencies + 700.0) * _HTK_STEP
    linear = frequencies < _SLANEY_BREAK
    return torch.where(linear, _SLANEY_LINEAR, frequencies * _SLANEY_STEP)


def spaced_edges(n_filters: int, f_min: float, f_max: float, scale: str) -> Tensor:
    """Return ``n_filters + 2`` frequencies from ``f_min`` to ``f_max``, evenly spaced on a scale.

    The inner ones are the centers of a bank of overlapping filters, and the outer two are the ends of its band.

    Args:
        n_filters: Number of filters.
        f_min: Lowest frequency in Hz.
        f_max: Highest frequency in Hz.
        scale: As in `hz_to_scale`.

    Returns:
        Frequencies in Hz, ascending, shape ``(n_filters + 2,)``, float64; the ends are exactly ``f_min`` and ``f_max``.

    Raises:
        ValueError: If ``scale`` is unknown.

    Example:
        >>> spaced_edges(3, 0.0, 8000.0, "linear")
        tensor([   0., 2000., 4000., 6000., 8000.], dtype=torch.float64)
    """
    ends = torch.tensor([f_min, f_max], dtype=torch.float64)
    low, high = hz_to_scale(ends, scale).tolist()
    edges = scale_to_hz(torch.linspace(low, high, n_filters + 2, dtype=torch.float64), scale)
    edges[0], edges[-1] = f_min, f_max
    return edges


def spaced_centers(init: str | Sequence[float] | Tensor, n_filters: int, f_min: float, f_max: float) -> Tensor:
    """Return the centers that the argument ``init`` of a filterbank defines, between the ends of the band.

    Args:
        init: The name of a scale, or ``n_filters`` ascending center frequencies in Hz, strictly inside the band.
        n_filters: Number of filters.
        f_min: Lower end of the band in Hz.
        f_max: Upper end of the band in Hz.

    Returns:
        Frequencies in Hz, shape ``(n_filters + 2,)``, float64: ``f_min``, the centers, ``f_max``.

    Raises:
        ValueError: If ``init`` is not the name of a scale, or its centers are not as described.

    Example:
        >>> spaced_centers([100.0, 440.0], 2, 0.0, 8000.0)
        tensor([   0.,  100.,  440., 8000.], dtype=torch.float64)
    """
    if isinstance(init, str):
        if init not in SCALES:
            raise ValueError(f"init must be one of {sorted(SCALES)} or {n_filters} centers in Hz, got {init!r}")
        return spaced_edges(n_filters, f_min, f_max, init)
    given = torch.as_tensor(init, dtype=torch.float64).detach().cpu()
    if given.shape != (n_filters,):
        raise ValueError(f"init must have {n_filters} centers in Hz, got shape {tuple(given.shape)} (one per filter)")
    edges = torch.cat([given.new_tensor([f_min]), given, given.new_tensor([f_max])])
    if not bool((edges.diff() > 0).all()):
        raise ValueError(
            f"init must be strictly ascending and strictly between f_min={f_min} and f_max={f_max}, "
            f"got {given.tolist()} (all in Hz)"
        )
    return edges


def _scale(scale: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {sorted(SCALES)}, got {scale!r}")
    return SCALES[scale]
