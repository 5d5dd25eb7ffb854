"""Complex Gabor filters, as in LEAF: pairs in quadrature, with a learned center and width each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends.filterbanks.by_kernels import KernelFilterbank, mirrored
from learnable_frontends.filterbanks.options import KernelOptions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GaborFilterbank"]


class GaborFilterbank(KernelFilterbank):
    r"""Complex Gabor filters: Gaussians times a complex exponential, with a learned center and width each.

    These are LEAF's filters. Take them to compare with LEAF, or to load its trained filters (`from_leaf`).
    :doc:`/start/which` helps to choose a front-end.

    Filter :math:`i` at tap :math:`n` is
    :math:`e^{-n^2 / 2\sigma_i^2}\,e^{2\pi\mathrm{i} c_i n} / \sqrt{2\pi}\,\sigma_i`, with the center :math:`c_i` in
    cycles per sample and the standard deviation :math:`\sigma_i` in samples. Its energy is the sum of the energies of
    the real and the imaginary part, which are in quadrature, so that it does not depend on the phase of a tone.
    `kernels` returns the real part and `quadrature` the imaginary part.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        width: Full width at half of the peak power in Hz: one number for all filters, or one for each. ``"spacing"``
            chooses widths for which each response has half of its peak power half-way to its neighbors, on average.
        learn_width: Whether widths are learned as well, each between a ten-thousandth of the band and the whole band.
        **options: The arguments that `KernelFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``.

    Raises:
        TypeError: As for `CosGaussFilterbank`.
        ValueError: As for `CosGaussFilterbank`.

    Example:
        >>> GaborFilterbank(sample_rate=16000, n_filters=40)(torch.randn(16000)).shape
        torch.Size([40, 101])

    Source: Zeghidour et al., "LEAF: A Learnable Frontend for Audio Classification", ICLR 2021, eq. 3. LEAF smooths the
    squared magnitude with a learned Gaussian and takes every ``hop_length``-th sample. Here it is averaged over
    windowed frames, so the filters are the same as LEAF's but the features are not.
    """

    log_offset = 1e-8

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        width: float | str | Sequence[float] | Tensor = "spacing",
        learn_width: bool = True,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        self.declare_centers()
        self.declare_widths(width, learn_width)

    @classmethod
    def from_leaf(
        cls, centers: Tensor, deviations: Tensor, sample_rate: float, **options: Unpack[KernelOptions]
    ) -> Self:
        """Return a filterbank that starts with the trained filters of a LEAF front-end.

        Args:
            centers: LEAF's center frequencies in radians per sample, between 0 and pi, in any order, shape
                ``(n_filters,)``.
            deviations: LEAF's standard deviations in samples, shape ``(n_filters,)``.
            sample_rate: Samples per second of the waveform.
            **options: Arguments of the constructor; LEAF's ``kernel_size`` is 401 at 16 kHz.

        Returns:
            A filterbank with these filters in ascending order of their centers.

        Raises:
            TypeError: If ``options`` include ``init``.
            ValueError: If the numbers are not as described, or centers are too close to each other.

        Example:
            >>> centers, deviations = torch.tensor([0.8, 0.2]), torch.tensor([20.0, 60.0])
            >>> bank = GaborFilterbank.from_leaf(centers, deviations, 16000)
            >>> bank.center_frequencies.round()
            tensor([ 509., 2037.], grad_fn=<RoundBackward0>)
        """
        if centers.dim() != 1 or centers.shape != deviations.shape:
            raise ValueError(
                f"centers and deviations must have shape (n_filters,), got {tuple(centers.shape)} and "
                f"{tuple(deviations.shape)}"
            )
        if "init" in options:
            raise TypeError(f"init must be left out, since centers define where filters start, got {options['init']!r}")
        order = centers.detach().argsort().cpu()
        hertz, samples = (values.detach().cpu().double()[order] for values in (centers, deviations))
        options["init"] = hertz * (sample_rate / (2 * math.pi))
        return cls(sample_rate, len(order), width=_deviation_in_samples(samples, sample_rate), **options)

    def half_kernels(self) -> Tensor:
        """Return the middle tap of each real part and those after it, ``(n_filters, (kernel_size + 1) // 2)``."""
        return self.halves()[0]

    def half_quadrature(self) -> Tensor:
        """Return the middle tap of each imaginary part and those after it, ``(n_filters, (kernel_size + 1) // 2)``."""
        return self.halves()[1]

    def halves(self) -> tuple[Tensor, Tensor]:
        """Return halves of the real and of the imaginary parts, which share envelopes and phases."""
        centers, widths = self.centers_and_widths()
        deviations = _deviation_in_samples(widths, self.sample_rate)[:, None]
        phases = self._phase(centers)
        taps = self._constants.like("taps", deviations)
        envelopes = torch.exp2((taps / deviations).square() * (-0.5 / math.log(2))) * (
            1 / math.sqrt(2 * math.pi) / deviations
        )
        return envelopes * phases.cos(), envelopes * phases.sin()

    def quadrature(self) -> Tensor:
        """Return the imaginary parts of the impulse responses, ``(n_filters, kernel_size)``, odd about the middle."""
        return mirrored(self.half_quadrature(), odd=True)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{super().extra_repr()}, learn_width={self.learn_width}"


def _deviation_in_samples(widths: Tensor, sample_rate: float) -> Tensor:
    """Convert full widths at half power in Hz to standard deviations in samples, or the other way around."""
    return math.sqrt(math.log(2)) / math.pi * sample_rate / widths
