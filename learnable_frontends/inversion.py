"""Reconstruction of a waveform from features, to listen to what a front-end keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, whole_number
from learnable_frontends.compression import Decibels, Log
from learnable_frontends.filterbanks import Filterbank
from learnable_frontends.frontend import Frontend

__all__ = ["energies_of", "griffin_lim", "invert", "power_spectra"]

MOMENTUM = 0.99  # of the phases, after Perraudin et al.; 0 is the algorithm of Griffin and Lim itself
UPDATES = 100  # of the power spectra


@torch.no_grad()
def invert(
    frontend: Frontend, features: Tensor, *, length: int | None = None, iterations: int = 32, seed: int = 0
) -> Tensor:
    """Return a waveform whose features are as close as possible to given features.

    Three things are lost on the way to features, and are estimated here. The detail that filters blur over frequency
    comes from nonnegative power spectra that have the given energies. The phase comes from the algorithm of Griffin and
    Lim. What lies below the floor of the compression becomes silence.

    Args:
        frontend: A filterbank with ``padding="full"`` if it has kernels, without ``inputs`` and ``frame_stages``. Its
            compression must be `Log`, `Decibels` or ``torch.nn.Identity()``.
        features: Features of this front-end, or a model's estimate of them, shape ``(..., n_filters, frames)``.
        length: Number of samples of the waveform; ``None`` means all that the frames cover.
        iterations: Number of iterations of the algorithm of Griffin and Lim.
        seed: Seed of the phases that it starts with.

    Returns:
        Waveforms, shape ``(..., time)``.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or ``features`` is not a floating-point tensor.
        ValueError: If the front-end cannot be inverted, or ``features`` has another number of filters.

    Example:
        >>> from learnable_frontends import MelFrontend
        >>> mel, tone = MelFrontend(16000, 64), torch.sin(torch.arange(16000) * 0.3)
        >>> again = invert(mel, mel(tone), length=16000)
        >>> again.shape, bool((mel(again) - mel(tone)).abs().mean() < 0.2)
        (torch.Size([16000]), True)

    Source: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984, with the momentum of
    Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", 2013. The spectra are estimated as in Lee and
    Seung, "Algorithms for non-negative matrix factorization", 2000.
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
    """Return the nonnegative energies from which a compression made features of any shape.

    Raises:
        ValueError: If the compression cannot be undone. `PCEN` cannot, since it divides by a mean of earlier frames.
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
    """Estimate nonnegative power spectra from the energies of filters.

    The estimate starts from the pseudo-inverse of the weights, made positive. Multiplicative updates, which keep the
    sign, bring its energies closer to the given ones.

    Args:
        energies: Shape ``(..., n_filters, frames)``, not negative.
        weights: Weight of each bin of a spectrum in each filter, shape ``(n_filters, bins)``.

    Returns:
        Power spectra, shape ``(..., frames, bins)``.
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
    """Return a waveform whose spectra, in the frames of a filterbank, have magnitudes close to given ones.

    Args:
        bank: The filterbank, which defines frames, window and transform.
        magnitudes: Shape ``(..., frames, n_fft // 2 + 1)``.
        length: Number of samples of the waveform; ``None`` means all that the frames cover.
        iterations: How many times a waveform is made from the current phases, and new phases are taken from it.
        seed: Seed of the phases that it starts with.

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
    """Overlap and add the windowed frames of spectra, divide by the squared windows, and cut off the padding."""
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
    """Return the smallest number of samples from which a frame can be cut."""
    return max(1, bank.framing.span - sum(bank.framing.padding), max(bank.framing.padding) + 1)


def _checked(frontend: Frontend) -> Filterbank:
    if not isinstance(frontend, Frontend):
        raise TypeError(f"frontend must be a Frontend such as MelFrontend, got {type(frontend).__name__}")
    if not isinstance(frontend, Filterbank):
        name = type(frontend).__name__
        raise ValueError(f"frontend must be a filterbank to be inverted, got {name} (pass the filterbank inside it)")
    if getattr(frontend, "padding", None) == "valid":
        raise ValueError("frontend must have padding='full' to be inverted, got 'valid', which has no spectra")
    stages: Sequence[str] = [name for name in ("inputs", "frame_stages") if getattr(frontend, name) is not None]
    if stages:
        raise ValueError(f"frontend must have no {' and '.join(stages)} to be inverted, got {stages}")
    return frontend
