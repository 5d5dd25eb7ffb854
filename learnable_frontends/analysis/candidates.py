"""The filterbanks that a probe compares, and the two statistics that it computes for each filter and clip."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from learnable_frontends.analysis.information import BandInformation, equal_clips
from learnable_frontends.filterbanks import GaussianFilterbank, MelFrontend, ResponseFilterbank

__all__ = ["Kind", "statistics"]

MEL, INFORMED = "mel", "information"


class Kind(NamedTuple):
    """The properties in which the filterbanks of a probe differ."""

    scale: str
    n_filters: int
    win_length: int

    def build(self, sample_rate: float, hop_length: int, known: BandInformation) -> ResponseFilterbank:
        """Make the filterbank; ``known`` places its filters if its scale is ``"information"``."""
        options: dict[str, Any] = {"win_length": self.win_length, "hop_length": hop_length}
        if self.scale == MEL:
            with warnings.catch_warnings():  # of filters without a bin; the transform used for all banks is long enough
                warnings.simplefilter("ignore")
                return MelFrontend(sample_rate, self.n_filters, **options)
        init = known.centers(self.n_filters) if self.scale == INFORMED else self.scale
        return GaussianFilterbank(sample_rate, self.n_filters, init=init, **options)

    def code(self, sample_rate: float, hop_length: int, known: BandInformation) -> str:
        """Return the line of Python that makes the filterbank."""
        options = f"{sample_rate:g}, {self.n_filters}, win_length={self.win_length}, hop_length={hop_length}"
        if self.scale == MEL:
            return f"MelFrontend({options})"
        centers = [round(center, 1) for center in known.centers(self.n_filters).tolist()]
        init = centers if self.scale == INFORMED else self.scale
        return f"GaussianFilterbank({options}, init={init!r})"


class _Together(ResponseFilterbank):
    """Several filterbanks with the same frames as one, so that spectra are computed once for all of them."""

    centers_ascend = False

    def __init__(self, banks: Sequence[ResponseFilterbank]) -> None:
        first, n_fft = banks[0], max(bank.n_fft for bank in banks)
        options: dict[str, Any] = {"win_length": first.win_length, "hop_length": first.hop_length, "n_fft": n_fft}
        super().__init__(first.sample_rate, sum(bank.n_filters for bank in banks), **options)
        self.banks = nn.ModuleList(banks)
        self.set_bins()

    @property
    def center_frequencies(self) -> Tensor:
        """Centers of all banks, one bank after the other."""
        return torch.cat([bank.center_frequencies for bank in self._all()])

    def response(self, frequencies: Tensor) -> Tensor:
        """Return the responses of all banks, one bank after the other."""
        return torch.cat([bank.response(frequencies) for bank in self._all()])

    def _all(self) -> list[ResponseFilterbank]:
        return [bank for bank in self.banks if isinstance(bank, ResponseFilterbank)]


@torch.no_grad()
def statistics(waveforms: Sequence[Tensor] | Tensor, banks: Sequence[ResponseFilterbank]) -> list[Tensor]:
    """Return for each bank the mean and deviation of each filter over a clip's frames, ``(clips, 2 * n_filters)``."""
    together = _Together(banks).eval()
    together.freeze()
    parts = []
    for clips in equal_clips(waveforms):
        features = together(clips.float())
        parts.append(torch.stack([features.mean(-1), features.std(-1, correction=0)], 1))
    by_bank = torch.cat(parts).double().split([bank.n_filters for bank in banks], -1)
    return [values.flatten(1) for values in by_bank]
