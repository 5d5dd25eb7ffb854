"""Comparison of scales, numbers of filters and windows on labeled clips, by a linear classifier."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from learnable_frontends._checks import whole_number
from learnable_frontends.analysis.candidates import INFORMED, MEL, Kind, statistics
from learnable_frontends.analysis.discriminants import classified, draw_splits, number_sources
from learnable_frontends.analysis.information import BandInformation, check_clips, clip_energies, of_classes
from learnable_frontends.filterbanks import ResponseFilterbank
from learnable_frontends.functional.scales import SCALES

__all__ = ["Candidate", "Probe", "probe"]

DRAWS = 2000  # samples of the bootstrap


@dataclass(frozen=True)
class Candidate:
    """One filterbank that a probe tried.

    Attributes:
        scale: ``"mel"`` for a mel spectrogram; the name of another scale, on which Gaussian filters are spaced; or
            ``"information"`` for Gaussian filters that are placed by `BandInformation.centers`.
        n_filters: Number of filters.
        win_length: Samples per frame.
        accuracy: Share of held-out clips that the linear classifier classifies correctly.
        difference: The accuracy minus that of the reference on the same clips.
        low: Lower end of the simultaneous 95 % interval of the difference.
        high: Upper end of that interval.
        code: The line of Python that makes the front-end.
    """

    scale: str
    n_filters: int
    win_length: int
    accuracy: float
    difference: float
    low: float
    high: float
    code: str

    def __str__(self) -> str:
        return f"{self.scale}, {self.n_filters} filters, {self.win_length} samples"


@dataclass(frozen=True)
class Probe:
    """The result of `probe`; ``print`` shows it as a table.

    Attributes:
        candidates: The filterbanks that were tried, the reference first.
        recommended: The best of them if it is better than the reference beyond chance, otherwise the reference.
        frontend: The recommended filterbank.
        information: Where in frequency the classes differ.
        reason: A sentence that explains the recommendation.
    """

    candidates: tuple[Candidate, ...]
    recommended: Candidate
    frontend: ResponseFilterbank = field(repr=False)
    information: BandInformation = field(repr=False)
    reason: str = ""

    def __str__(self) -> str:
        lines = ["scale        filters  window  accuracy %  minus the first"]
        for c in self.candidates:
            own = f"{c.scale:<11}  {c.n_filters:>7}  {c.win_length:>6}  {100 * c.accuracy:>10.1f}"
            other = c is not self.candidates[0]
            lines.append(f"{own}  {_points(c)}" if other else own)
        return "\n".join([*lines, "", self.reason, self.recommended.code])


def probe(
    waveforms: Sequence[Tensor] | Tensor,
    labels: Sequence[Hashable],
    sample_rate: float,
    *,
    groups: Sequence[Hashable] | None = None,
    n_filters: int | Sequence[int] = (64, 32, 16),
    win_length: int | Sequence[int] | None = None,
    hop_length: int | None = None,
    scales: Sequence[str] = (MEL, "erb", "linear", INFORMED),
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
) -> Probe:
    """Compare scales, numbers of filters and windows on labeled clips, and recommend a filterbank.

    The log energies of each filterbank are reduced to two numbers for each filter and clip, the mean and the deviation
    over frames. A linear classifier (linear discriminants with the shrinkage of Ledoit and Wolf) is trained on all
    folds but one and tested on the remaining one. Centers that are placed by information use the training folds only.

    The reference is a mel spectrogram with the first number of filters and the first window, so put those that you use
    now first. The intervals come from a bootstrap over groups and hold for all filterbanks at once: the best of many
    is above the reference by chance at most once in twenty times. They cover the variation of the test clips, not that
    of the training clips.

    Args:
        waveforms: Clips as floating-point tensors of shape ``(time,)``, of any lengths, or one tensor
            ``(clips, time)``. Scale them as for training, since their levels matter.
        labels: Class of each clip.
        sample_rate: Samples per second.
        groups: Source of each clip, such as a speaker or a recording. Clips of one source are never both in training
            and in test. ``None`` means that each clip is a source of its own.
        n_filters: Numbers of filters to try; the first one is the reference's.
        win_length: Numbers of samples per frame to try; the first one is the reference's. ``None`` means 25 ms and
            50 ms.
        hop_length: Samples from frame to frame; ``None`` means half of the shortest frame.
        scales: Scales to try, from ``"mel"``, ``"htk"``, ``"slaney"``, ``"bark"``, ``"erb"``, ``"linear"`` and
            ``"information"``.
        folds: Folds of the cross-validation; there are fewer if a class has fewer groups.
        repeats: How many times folds are drawn; accuracies are means over all repeats.
        seed: Seed of the folds and of the bootstrap.

    Returns:
        The table, the recommendation, and the information that was used.

    Raises:
        TypeError: As for `band_information`, or if a number is not whole.
        ValueError: As for `band_information`; or if there is not one group for each clip, a class has only one group, a
            scale is unknown, or ``repeats`` or ``folds`` is too small.
        ModuleNotFoundError: If scikit-learn is not installed.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> turns = 2 * torch.pi * torch.arange(2000) / 16000
        >>> labels = [i % 2 for i in range(200)]  # tones in one of eight mel filters
        >>> tones = [0.5 * torch.sin((6000 + 300 * k) * turns) for k in labels]
        >>> clips = [torch.randn(2000) + tone for tone in tones]
        >>> found = probe(clips, labels, 16000, n_filters=8, win_length=512)
        >>> found.candidates[0].accuracy < 0.8 < found.recommended.accuracy
        True
        >>> found.recommended.scale
        'information'

    Source: Ledoit and Wolf, "Honey, I Shrunk the Sample Covariance Matrix", 2004; for the simultaneous intervals, the
    maximum of bootstrapped t: Westfall and Young, "Resampling-Based Multiple Testing", 1993.
    """
    codes = check_clips(waveforms, labels)
    counts = _numbers("n_filters", n_filters)
    windows = _numbers("win_length", (_ms(25, sample_rate), _ms(50, sample_rate)) if win_length is None else win_length)
    hop = min(windows) // 2 if hop_length is None else whole_number("hop_length", hop_length)
    if unknown := [scale for scale in scales if scale not in SCALES and scale != INFORMED]:
        raise ValueError(f"scales must be among {', '.join([*SCALES, INFORMED])}, got {unknown[0]!r}")
    sources = number_sources(groups, codes)
    splits = draw_splits(codes, sources, whole_number("folds", folds, least=2), whole_number("repeats", repeats), seed)
    kinds = [Kind(MEL, counts[0], windows[0])]
    kinds += [kind for w in windows for n in counts for s in scales if (kind := Kind(s, n, w)) != kinds[0]]

    energies, frequencies = clip_energies(waveforms, sample_rate, windows[0], hop)
    right = torch.zeros(len(codes), len(kinds), dtype=torch.float64)
    # Filters placed by information differ from split to split. All other filterbanks are the same for all splits.
    informed = [of_classes(energies[training], codes[training], frequencies) for training, _ in splits]
    for window in windows:
        own = [kind for kind in kinds if kind.win_length == window]
        banks = {
            (kind, i): kind.build(sample_rate, hop, known)
            for kind in own
            for i, known in (enumerate(informed) if kind.scale == INFORMED else [(0, informed[0])])
        }
        found = dict(zip(banks, statistics(waveforms, list(banks.values())), strict=True))
        for kind in own:
            for i, (training, test) in enumerate(splits):
                values = found[kind, i if kind.scale == INFORMED else 0]
                right[test, kinds.index(kind)] += classified(values, codes, training, test) / repeats
    everything = of_classes(energies, codes, frequencies)
    return _conclude(kinds, right, sources, everything, sample_rate, hop, seed)


def _conclude(
    kinds: Sequence[Kind],
    right: Tensor,
    sources: Tensor,
    known: BandInformation,
    sample_rate: float,
    hop_length: int,
    seed: int,
) -> Probe:
    """Return the table, with simultaneous intervals of the differences from the first kind, and the recommendation."""
    differences = right - right[:, :1]
    groups = int(sources.max()) + 1
    sums = right.new_zeros(groups, len(kinds)).index_add(0, sources, differences)
    sizes = sources.bincount(minlength=groups).double()
    drawn = torch.randint(groups, (DRAWS, groups), generator=torch.Generator().manual_seed(seed))
    times = torch.zeros(DRAWS, groups, dtype=torch.float64).scatter_add_(1, drawn, torch.ones(drawn.shape).double())
    means, mean = times @ sums / (times @ sizes)[:, None], differences.mean(0)
    errors = means.std(0).clamp_min(1e-12)
    factor = float(((means - mean).abs() / errors).amax(1).quantile(0.95))
    low, high = (mean - factor * errors).tolist(), (mean + factor * errors).tolist()
    table = [
        Candidate(*kind, accuracy, difference, lowest, highest, kind.code(sample_rate, hop_length, known))
        for kind, accuracy, difference, lowest, highest in zip(
            kinds, right.mean(0).tolist(), mean.tolist(), low, high, strict=True
        )
    ]
    first, best = table[0], max(table, key=lambda candidate: candidate.accuracy)
    recommended = best if best.low > 0 else first
    if best.low > 0:
        reason = f"{best} is above {first} beyond chance: {_points(best)} points."
    elif best is first:
        reason = f"No bank is above {first}."
    else:
        reason = f"No bank is above {first} beyond chance; the best, {best}, is {_points(best)} points from it."
    frontend = kinds[table.index(recommended)].build(sample_rate, hop_length, known)
    return Probe(tuple(table), recommended, frontend, known, reason)


def _points(candidate: Candidate) -> str:
    return f"{100 * candidate.difference:+.1f} [{100 * candidate.low:+.1f}, {100 * candidate.high:+.1f}]"


def _numbers(name: str, given: int | Sequence[int]) -> list[int]:
    numbers = [whole_number(name, n) for n in (given if isinstance(given, Sequence) else [given])]
    if not numbers:
        raise ValueError(f"{name} must have at least one number, got {given}")
    return numbers


def _ms(milliseconds: float, sample_rate: float) -> int:
    return round(milliseconds * sample_rate / 1000)
