"""Where in frequency the classes of labeled clips differ, and filters that are placed accordingly."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends.filterbanks import MelFrontend

__all__ = ["BandInformation", "band_information", "check_clips", "clip_energies", "equal_clips", "of_classes"]

LEAST = 0.02  # share of the highest ratio that is assumed where classes do not differ, so that some filters go there
AT_ONCE = 2**18  # samples that are transformed together: their spectra stay in the cache of a processor


class BandInformation(NamedTuple):
    """Where in frequency classes differ; both tensors are float64, of shape ``(bins,)``.

    Attributes:
        frequencies: Frequencies in Hz, from 0 to half of the sample rate.
        ratio: Variance of log energies between classes divided by the variance within classes. It is 0 where the class
            explains nothing of the variance, and 1 where it explains half of it.
    """

    frequencies: Tensor
    ratio: Tensor

    def centers(self, n_filters: int, *, f_min: float = 0.0, f_max: float | None = None) -> Tensor:
        """Return centers for the argument ``init`` of a filterbank, closer together where classes differ more.

        The density of centers is the geometric mean of the density of the mel scale and the ratio.

        Args:
            n_filters: Number of filters.
            f_min: Lower end of the band in Hz.
            f_max: Upper end of the band in Hz; ``None`` means half of the sample rate.

        Returns:
            Centers in Hz, ascending, inside the band, shape ``(n_filters,)``, float64.

        Raises:
            TypeError: If an argument is not a number.
            ValueError: If not ``0 <= f_min < f_max <= sample_rate / 2``.

        Example:
            >>> flat = BandInformation(torch.linspace(0, 8000, 257), torch.ones(257))
            >>> flat.centers(3).round()
            tensor([1163., 2884., 5163.], dtype=torch.float64)
        """
        n_filters, low = whole_number("n_filters", n_filters), number("f_min", f_min)
        top = float(self.frequencies[-1])
        high = top if f_max is None else number("f_max", f_max)
        if not 0 <= low < high <= top:
            raise ValueError(
                f"f_min and f_max must satisfy 0 <= f_min < f_max <= {top:g}, got f_min={low}, f_max={high} (in Hz)"
            )
        grid = torch.linspace(low, high, 4097, dtype=torch.float64)
        ratio = _interpolate(grid, self.frequencies.double(), self.ratio.double())
        largest = float(ratio.max())
        ratio = ratio.clamp_min(LEAST * largest) if largest > 0 else torch.ones_like(ratio)
        density = (ratio / (700 + grid)).sqrt()  # the mel scale has a density of 1 / (700 Hz + frequency)
        filled = torch.cat([density.new_zeros(1), ((density[1:] + density[:-1]) / 2).cumsum(0)])
        shares = torch.arange(1, n_filters + 1, dtype=torch.float64) / (n_filters + 1)
        return _interpolate(shares * filled[-1], filled, grid)


def band_information(
    waveforms: Sequence[Tensor] | Tensor,
    labels: Sequence[Hashable],
    sample_rate: float,
    *,
    win_length: int | None = None,
    hop_length: int | None = None,
    offset: float = 1e-3,
) -> BandInformation:
    """Measure at each frequency how much of the variance of the clips' log energies is explained by their classes.

    The log energy of a clip is the mean over its frames. The variances are those of an analysis of variance with one
    random factor. With many clips the ratio therefore does not grow with the number of classes, and it is 0 on average
    where classes do not differ. It is then averaged over one equivalent rectangular bandwidth of hearing, and negative
    values become 0.

    Args:
        waveforms: Clips as floating-point tensors of shape ``(time,)``, of any lengths, or one tensor
            ``(clips, time)``. Scale them as for training, since their levels matter.
        labels: Class of each clip.
        sample_rate: Samples per second.
        win_length: Samples per frame; ``None`` means 25 ms.
        hop_length: Samples from frame to frame; ``None`` means half a frame.
        offset: Number that is added to energies before the logarithm.

    Returns:
        Frequencies and ratios, computed on the CPU.

    Raises:
        TypeError: If ``waveforms`` are not floating-point tensors.
        ValueError: If there is not one label for each clip, there are fewer than two classes, or a class has only one
            clip.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> tone = torch.sin(2 * torch.pi * 3000 * torch.arange(8000) / 16000)
        >>> labels = [i % 2 for i in range(20)]
        >>> clips = [torch.randn(8000) + label * tone for label in labels]
        >>> found = band_information(clips, labels, 16000)  # averages over 350 Hz there
        >>> print(f"{found.frequencies[found.ratio.argmax()]:.0f} Hz")
        2906 Hz

    Source: R. A. Fisher, "Statistical Methods for Research Workers", 1925, for the analysis of variance; Glasberg and
    Moore 1990 for the bandwidth.
    """
    codes = check_clips(waveforms, labels)
    energies, frequencies = clip_energies(waveforms, sample_rate, win_length, hop_length, offset)
    return of_classes(energies, codes, frequencies)


@torch.no_grad()
def clip_energies(
    waveforms: Sequence[Tensor] | Tensor,
    sample_rate: float,
    win_length: int | None,
    hop_length: int | None,
    offset: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """Return the log energies of clips, ``(clips, bins)``, averaged over frames, and the frequencies of the bins."""
    win_length = whole_number("win_length", round(0.025 * sample_rate) if win_length is None else win_length)
    hop_length = max(1, win_length // 2) if hop_length is None else hop_length
    n_fft = 2 << (win_length - 1).bit_length()
    bank = MelFrontend(sample_rate, 1, win_length=win_length, hop_length=hop_length, n_fft=n_fft)
    energies = []
    for clips in equal_clips(waveforms):
        spectra = bank.spectrum(bank.framing.cut(clips.float(), bank.framing.padding))
        energies.append(spectra.add_(offset).log_().mean(1).double())
    frequencies = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (float(sample_rate) / n_fft)
    return torch.cat(energies), frequencies


def of_classes(energies: Tensor, codes: Tensor, frequencies: Tensor) -> BandInformation:
    """Return the information of log energies of clips, whose classes are the numbers ``codes``, from 0."""
    return BandInformation(frequencies, _over_bandwidths(frequencies, _variance_ratio(energies, codes)))


def check_clips(waveforms: Sequence[Tensor] | Tensor, labels: Sequence[Hashable]) -> Tensor:
    """Check clips and labels, and return a number for the class of each clip, in the order of first appearance."""
    for i, waveform in enumerate(waveforms):
        floating_tensor(f"waveforms[{i}]", waveform)
        if waveform.dim() != 1 or not waveform.numel():
            raise ValueError(f"waveforms[{i}] must have shape (time,), got {tuple(waveform.shape)}")
    names = labels.tolist() if isinstance(labels, Tensor) else list(labels)
    if len(names) != len(waveforms):
        raise ValueError(f"labels must be one for each of {len(waveforms)} waveforms, got {len(names)}")
    classes = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if len(classes) < 2:
        raise ValueError(f"labels must be of two classes or more, got {list(classes)}")
    if single := [name for name in classes if names.count(name) < 2]:
        raise ValueError(f"labels must have two clips or more of each class, got one of {single[0]!r}")
    return torch.tensor([classes[name] for name in names])


def equal_clips(waveforms: Sequence[Tensor] | Tensor) -> Iterator[Tensor]:
    """Yield clips in order, as batches ``(batch, time)`` on the CPU of neighbors of equal length, up to a limit."""
    batch: list[Tensor] = []
    for waveform in waveforms:
        if batch and (len(waveform) != len(batch[0]) or (len(batch) + 1) * len(waveform) > AT_ONCE):
            yield torch.stack(batch)
            batch = []
        batch.append(waveform.detach().cpu())
    if batch:
        yield torch.stack(batch)


def _variance_ratio(values: Tensor, codes: Tensor) -> Tensor:
    """Return the variance between over that within classes, of ``(clips, bins)``; unbiased, so it may be negative."""
    counts = codes.bincount().double()[:, None]
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, codes, values)
    means, mean = sums / counts, values.mean(0)
    total, classes = len(values), len(counts)
    within = (values - means[codes]).square().sum(0) / (total - classes)
    between = (counts * (means - mean).square()).sum(0) / (classes - 1)
    typical = (total - float(counts.square().sum()) / total) / (classes - 1)  # clips per class
    tiny = torch.finfo(torch.float64).tiny
    return (between - within) / typical / within.clamp_min(tiny)


def _over_bandwidths(frequencies: Tensor, values: Tensor) -> Tensor:
    """Return the mean over one equivalent rectangular bandwidth around each frequency, or 0 if it is negative."""
    half = (24.7 * (0.00437 * frequencies + 1) / 2).clamp_min(float(frequencies[1]) / 2)
    step = float(frequencies[1])
    borders = torch.cat([frequencies - step / 2, frequencies[-1:] + step / 2])
    summed = torch.cat([values.new_zeros(1), values.cumsum(0)])
    low, high = (edge.clamp(float(borders[0]), float(borders[-1])) for edge in (frequencies - half, frequencies + half))
    mean = (_interpolate(high, borders, summed) - _interpolate(low, borders, summed)) * step / (high - low)
    return mean.clamp_min(0)


def _interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolate ``y`` over ascending ``x`` linearly."""
    right = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    return torch.lerp(y[right - 1], y[right], share)
