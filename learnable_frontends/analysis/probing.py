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
from learnable_frontends.analysis.simultaneous import simultaneous_intervals
from learnable_frontends.filterbanks import ResponseFilterbank
from learnable_frontends.functional.scales import SCALES

__all__ = ["Candidate", "Probe", "probe"]


@dataclass(frozen=True)
class Candidate:
    """One filterbank that a probe tried, or the mean over those that differ in the number of filters only.

    Attributes:
        scale: ``"mel"`` for a mel spectrogram; the name of another scale, on which Gaussian filters are spaced; or
            ``"information"`` for Gaussian filters that are placed by `BandInformation.centers`.
        n_filters: Number of filters; ``None`` for the mean over all numbers of filters.
        win_length: Samples per frame.
        accuracy: Share of held-out clips that the linear classifier classifies correctly.
        difference: The accuracy minus that of the reference on the same clips, or of the reference's own mean.
        low: Lower end of the simultaneous 95 % interval of the difference.
        high: Upper end of that interval.
        code: The line of Python that makes the front-end; of a mean, that with the first number of filters.
    """

    scale: str
    n_filters: int | None
    win_length: int
    accuracy: float
    difference: float
    low: float
    high: float
    code: str

    def __str__(self) -> str:
        filters = "" if self.n_filters is None else f", {self.n_filters} filters"
        return f"{self.scale}{filters}, {self.win_length} samples"


@dataclass(frozen=True)
class Probe:
    """The result of `probe`; ``print`` shows it as a table.

    Attributes:
        candidates: The filterbanks that were tried, the reference first.
        averages: The mean over the numbers of filters for each scale and window, those of the reference first; empty if
            there is one number of filters.
        recommended: The filterbank with the scale and window of the best mean, and the first number of filters, if that
            mean is better than the reference's beyond chance; else the best filterbank, if it is better than the
            reference beyond chance; else the reference.
        frontend: The recommended filterbank.
        information: Where in frequency the classes differ.
        reason: A sentence that explains the recommendation.
    """

    candidates: tuple[Candidate, ...]
    averages: tuple[Candidate, ...]
    recommended: Candidate
    frontend: ResponseFilterbank = field(repr=False)
    information: BandInformation = field(repr=False)
    reason: str = ""

    def __str__(self) -> str:
        lines = ["scale        filters  window  accuracy %  minus the first"]
        for part in (self.candidates, self.averages):
            for c in part:
                n_filters = "mean" if c.n_filters is None else c.n_filters
                own = f"{c.scale:<11}  {n_filters:>7}  {c.win_length:>6}  {100 * c.accuracy:>10.1f}"
                lines.append(own if c is part[0] else f"{own}  {_points(c)}")
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
    now first. With several numbers of filters, scales and windows are also compared by their mean over these, which is
    less noisy: on four sets its order was closer to the one after training.

    The intervals come from a bootstrap over groups and hold for all rows of the table at once: the best of many is
    above the reference by chance at most once in twenty times. They cover the variation of the test clips, not that of
    the training clips.

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
    tried = {window: scales if i else (MEL, *scales) for i, window in enumerate(windows)}
    kinds = list(dict.fromkeys(Kind(scale, n, window) for window in tried for n in counts for scale in tried[window]))

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
    known = of_classes(energies, codes, frequencies)
    lines = [kind.code(sample_rate, hop, known) for kind in kinds]
    candidates, averages = _tabulate(kinds, lines, right, sources, seed)
    recommended, reason = _recommend(candidates, averages)
    frontend = kinds[candidates.index(recommended)].build(sample_rate, hop, known)
    return Probe(candidates, averages, recommended, frontend, known, reason)


def _tabulate(
    kinds: Sequence[Kind], codes: Sequence[str], right: Tensor, sources: Tensor, seed: int
) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """Return the filterbanks and the means over numbers of filters, each with its difference from the first one."""
    places: dict[tuple[str, int], list[int]] = {}
    for i, kind in enumerate(kinds):
        places.setdefault((kind.scale, kind.win_length), []).append(i)
    names: list[tuple[str, int | None, int]] = [*kinds]
    lines, parts = [*codes], [right]
    if len(places) < len(kinds):
        names += [(scale, None, window) for scale, window in places]
        lines += [codes[own[0]] for own in places.values()]
        parts.append(torch.stack([right[:, own].mean(1) for own in places.values()], 1))
    mean, low, high = simultaneous_intervals(torch.cat([part - part[:, :1] for part in parts], 1), sources, seed)
    numbers = torch.stack([torch.cat(parts, 1).mean(0), mean, low, high], 1).tolist()
    rows = [
        Candidate(*name, accuracy=own[0], difference=own[1], low=own[2], high=own[3], code=line)
        for name, own, line in zip(names, numbers, lines, strict=True)
    ]
    return tuple(rows[: len(kinds)]), tuple(rows[len(kinds) :])


def _recommend(candidates: tuple[Candidate, ...], averages: tuple[Candidate, ...]) -> tuple[Candidate, str]:
    """Return the recommended filterbank and a sentence that explains it."""
    first, best = candidates[0], max(candidates, key=lambda c: c.accuracy)
    start, scale = (averages[0], max(averages, key=lambda c: c.accuracy)) if averages else (first, best)
    means = ", averaged over the numbers of filters" if averages else ""
    if scale.low > 0:
        chosen = next(c for c in candidates if (c.scale, c.win_length) == (scale.scale, scale.win_length))
        return chosen, f"{scale} is above {start} beyond chance{means}: {_points(scale)} points."
    if best.low > 0:
        return best, f"{best} is above {first} beyond chance: {_points(best)} points."
    if scale is start:
        return first, f"No bank is above {start}{means}."
    return (
        first,
        f"No bank is above {start} beyond chance; the best{means}, {scale}, is {_points(scale)} points from it.",
    )


def _points(candidate: Candidate) -> str:
    return f"{100 * candidate.difference:+.1f} [{100 * candidate.low:+.1f}, {100 * candidate.high:+.1f}]"


def _numbers(name: str, given: int | Sequence[int]) -> list[int]:
    numbers = [whole_number(name, n) for n in (given if isinstance(given, Sequence) else [given])]
    if not numbers:
        raise ValueError(f"{name} must have at least one number, got {given}")
    return numbers


def _ms(milliseconds: float, sample_rate: float) -> int:
    return round(milliseconds * sample_rate / 1000)
