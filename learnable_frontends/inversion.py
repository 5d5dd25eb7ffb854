"""Back from features to a waveform: to hear what a front-end keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, whole_number
from learnable_frontends.compression import Decibels, Log
from learnable_frontends.filterbanks import Filterbank
from learnable_frontends.frontend import Frontend

__all__ = ["energies_of", "griffin_lim", "invert", "power_spectra"]

MOMENTUM = 0.99  # of phases; Perraudin et al., for which 0 is Griffin's and Lim's own algorithm
UPDATES = 100  # of the power spectra


@torch.no_grad()
def invert(
    frontend: Frontend, features: Tensor, *, length: int | None = None, iterations: int = 32, seed: int = 0
) -> Tensor:
    """Make a waveform whose features are as near to given ones as possible.

    Three things are lost on the way to features, and are estimated: what lies between filters, by the power spectra
    that are nowhere negative and have these energies; the phase, by the algorithm of Griffin and Lim; and what the
    compression takes for its floor, which becomes silence.

    Args:
        frontend: A filterbank that works by spectra, without ``inputs`` and ``frame_stages``; its compression is `Log`,
            ``Decibels`` or ``torch.nn.Identity()``.
        features: What it returned, or what a model made of it, shape ``(..., n_filters, frames)``.
        length: Samples of the waveform; ``None`` for all that the frames cover.
        iterations: Of the algorithm of Griffin and Lim.
        seed: Of the phases that it starts with.

    Returns:
        Waveforms, shape ``(..., time)``.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or ``features`` not a floating-point tensor.
        ValueError: If the front-end cannot be inverted, or the features do not have its filters.

    Example:
        >>> from learnable_frontends import MelFrontend
        >>> mel, tone = MelFrontend(16000, 64), torch.sin(torch.arange(16000) * 0.3)
        >>> again = invert(mel, mel(tone), length=16000)
        >>> again.shape, bool((mel(again) - mel(tone)).abs().mean() < 0.2)
        (torch.Size([16000]), True)

    Source: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984; with the momentum of
    Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", 2013. Lee and Seung, "Algorithms for non-negative
    matrix factorization", 2000, for the spectra.
    """
    bank = _checked(frontend)
    floating_tensor("features", features)
    if features.dim() < 2 or features.shape[-2] != bank.n_filters:
        raise ValueError(f"features must be (..., {bank.n_filters}, frames), got shape {tuple(features.shape)}")
    energies = energies_of(bank.compression, features.float())
    power = power_spectra(energies, bank.weights(energies))
    exponent, offset = bank._to_power
    magnitudes = (power.pow(2.0 / exponent) - offset).clamp_min(0.0).sqrt()
    return griffin_lim(bank, magnitudes, length=length, iterations=iterations, seed=seed)


def energies_of(compression: nn.Module, features: Tensor) -> Tensor:
    """Undo a compression: features of any shape to energies, not negative.

    Raises:
        ValueError: If it cannot be undone, as that of `PCEN`, which divides by what came before.
    """
    if type(compression) is nn.Identity:
        return features.clamp_min(0.0)
    if type(compression) is Log:
        offset = compression.offset if compression.log_offset is None else float(compression.log_offset.detach().exp())
        energies = torch.pow(compression.base, features) - offset
        floor = 0.0 if compression.floor is None else compression.floor
        return torch.where(energies + offset > floor * (1 + 1e-6), energies, 0.0).clamp_min(0.0)
    if type(compression) is Decibels:
        energies = compression.ref * torch.pow(10.0, features / 10)
        return torch.where(energies > compression.amin * (1 + 1e-6), energies, 0.0)
    raise ValueError(
        f"compression must be Log, Decibels or torch.nn.Identity to be undone, got {type(compression).__name__}"
    )


def power_spectra(energies: Tensor, weights: Tensor) -> Tensor:
    """Estimate power spectra, nowhere negative, from the energies of filters.

    Args:
        energies: Shape ``(..., n_filters, frames)``, not negative.
        weights: Of the bins of a spectrum in each filter, shape ``(n_filters, bins)``.

    Returns:
        Shape ``(..., frames, bins)``: what the pseudo-inverse of the weights gives, made positive, and then moved by
        steps that keep the sign and come nearer to the energies.
    """
    wanted = energies.transpose(-1, -2)
    floor = 1e-12 * wanted.amax().clamp_min(1e-30)
    power = (wanted @ torch.linalg.pinv(weights).mT).clamp_min(0.0) + floor
    ahead = wanted @ weights
    gram = weights.mT @ weights
    for _ in range(UPDATES):
        power *= ahead / (power @ gram).clamp_min(torch.finfo(power.dtype).tiny)
    spectra: Tensor = power
    return spectra


def griffin_lim(
    bank: Filterbank, magnitudes: Tensor, *, length: int | None = None, iterations: int = 32, seed: int = 0
) -> Tensor:
    """Make a waveform whose spectra, in the frames of a filterbank, have given magnitudes.

    Args:
        bank: The filterbank, for its frames, window and transform.
        magnitudes: Shape ``(..., frames, n_fft // 2 + 1)``.
        length: Samples of the waveform; ``None`` for all that the frames cover.
        iterations: How often phases are taken from the waveform that the last ones gave.
        seed: Of the phases that it starts with.

    Returns:
        Waveforms, shape ``(..., time)``.
    """
    iterations = whole_number("iterations", iterations, least=0)
    lead, frames = magnitudes.shape[:-2], magnitudes.shape[-2]
    flat = magnitudes.reshape(-1, frames, magnitudes.shape[-1])
    covered = (frames - 1 + bank.drop_last) * bank.hop_length + bank.framing.span - sum(bank.framing.padding)
    covered = max(covered, _least(bank))
    time = covered if length is None else whole_number("length", length)
    window = bank._constants.like("frame_window", flat)
    turns = torch.rand(flat.shape, generator=torch.Generator().manual_seed(seed)).to(flat)
    phases = torch.polar(torch.ones_like(flat), 2 * torch.pi * turns)
    before = torch.zeros_like(phases)
    for _ in range(iterations):
        waveform = _overlapped(bank, flat * phases, window, covered)
        cut = bank.framing.cut(waveform, bank.framing.padding)[:, :frames]
        now = torch.fft.rfft(cut * window, n=bank.n_fft)
        moved = now - MOMENTUM / (1 + MOMENTUM) * before
        phases, before = moved / moved.abs().clamp_min(torch.finfo(flat.dtype).tiny), now
    waveform = _overlapped(bank, flat * phases, window, covered)[..., :time]
    waveform = torch.nn.functional.pad(waveform, (0, time - waveform.shape[-1]))
    return waveform.reshape(*lead, time)


def _overlapped(bank: Filterbank, spectra: Tensor, window: Tensor, time: int) -> Tensor:
    """Add up windowed frames of spectra, divide by the windows' squares, and cut the padding off."""
    frames = torch.fft.irfft(spectra, n=bank.n_fft)[..., : len(window)] * window
    count, size = frames.shape[-2:]
    total = (count - 1) * bank.hop_length + size

    def added(rows: Tensor) -> Tensor:
        folded = torch.nn.functional.fold(rows.mT, (1, total), (1, size), stride=(1, bank.hop_length))
        return folded[:, 0, 0]

    squares = added(window.square().expand(1, count, size))
    before = bank.framing.padding[0]
    waveform = added(frames) / squares.clamp_min(1e-3 * float(squares.max()))
    cut: Tensor = waveform[:, before : before + time]
    return torch.nn.functional.pad(cut, (0, time - cut.shape[-1]))


def _least(bank: Filterbank) -> int:
    """Return the fewest samples of which frames can be cut."""
    return max(1, bank.framing.span - sum(bank.framing.padding), max(bank.framing.padding) + 1)


def _checked(frontend: Frontend) -> Filterbank:
    if not isinstance(frontend, Frontend):
        raise TypeError(f"frontend must be a Frontend such as MelFrontend, got {type(frontend).__name__}")
    if not isinstance(frontend, Filterbank):
        raise ValueError(f"frontend must be a filterbank to be inverted, got {type(frontend).__name__} (one inside it)")
    if getattr(frontend, "padding", None) == "valid":
        raise ValueError("frontend must have padding='full' to be inverted, got 'valid', which has no spectra")
    stages: Sequence[str] = [name for name in ("inputs", "frame_stages") if getattr(frontend, name) is not None]
    if stages:
        raise ValueError(f"frontend must have no {' and '.join(stages)} to be inverted, got {stages}")
    return frontend
