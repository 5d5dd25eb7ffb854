"""How benchmarks/libraries.py uses each library: its learned bank at W1, and what the probes need to know of it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.frontends import WORKLOADS
from learnable_frontends import PCEN, GaborFilterbank, LearnableMelFilterbank, SincFilterbank
from learnable_frontends.streaming import StreamingFrontend

W1 = WORKLOADS["W1"]
RATE, FILTERS, WINDOW, HOP, TAPS = W1.sample_rate, W1.n_filters, W1.win_length, W1.hop_length, W1.kernel_size


class Library(NamedTuple):
    """One column of the tables."""

    package: str  # whose source is searched
    distribution: str
    learned: Callable[[], nn.Module]  # (batch, time) to features
    cost: dict[str, Callable[[], nn.Module]]
    learns: bool = True  # as it comes, not by replacing a buffer
    slow: bool = False  # to be timed in fewer rounds
    time_axis: int = -1
    scope: Callable[[nn.Module], list[str]] | None = None  # classes, where not those of the whole package
    matrix: Callable[[Any], Tensor] | None = None  # weights of the power spectrum, (filters, bins)
    centers: Callable[[Any], Tensor] | None = None  # in Hz
    zero_padded: Callable[[], nn.Module] | None = None
    lengths: bool = False
    stream: Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, Tensor]] | None = None  # streamed and offline features
    variant: tuple[str, Callable[[], nn.Module]] | None = None  # that exports or compiles where the bank does not


def load(path: str) -> Any:
    """Import ``module:name``."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


class SincMagnitudes(nn.Module):
    """Sinc filters of asteroid-filterbanks and the magnitudes of their pairs, one a frame."""

    def __init__(self) -> None:
        super().__init__()
        bank = load("asteroid_filterbanks:ParamSincFB")(2 * FILTERS, TAPS, stride=HOP, sample_rate=RATE)
        self.encoder = load("asteroid_filterbanks:Encoder")(bank, padding=TAPS // 2)
        self.magnitude = load("asteroid_filterbanks.transforms:mag")

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute ``(batch, n_filters, frames)``."""
        magnitudes: Tensor = self.magnitude(self.encoder(waveform.unsqueeze(1)))
        return magnitudes

    def centers(self) -> Tensor:
        """Return the middle of each band in Hz."""
        bank = self.encoder.filterbank
        low = bank.min_low_hz + bank.low_hz_.abs()
        high = (low + bank.min_band_hz + bank.band_hz_.abs()).clamp(max=RATE / 2)
        centers: Tensor = (low + high).flatten() / 2
        return centers


def torchaudio_mel(pad_mode: str = "reflect") -> Any:
    """Make torchaudio's mel spectrogram and let its matrix learn, which it has no argument for."""
    mel = load("torchaudio.transforms:MelSpectrogram")(RATE, WINDOW, hop_length=HOP, n_mels=FILTERS, pad_mode=pad_mode)
    matrix = mel.mel_scale.fb
    del mel.mel_scale.fb
    mel.mel_scale.fb = nn.Parameter(matrix)
    return mel


def nnaudio_mel(pad_mode: str = "reflect") -> Any:
    """Make nnAudio's mel spectrogram with a trainable matrix of HTK triangles."""
    settings = {"n_fft": WINDOW, "hop_length": HOP, "n_mels": FILTERS, "htk": True, "norm": None, "verbose": False}
    return load("nnAudio.features:MelSpectrogram")(RATE, **settings, trainable_mel=True, pad_mode=pad_mode)


def fbank() -> Any:
    """Make SpeechBrain's filterbank with learned centers and bands."""
    return load("speechbrain.lobes.features:Fbank")(requires_grad=True, sample_rate=RATE, n_fft=WINDOW, n_mels=FILTERS)


def leaf(**settings: Any) -> Any:
    """Make SpeechBrain's LEAF."""
    return load("speechbrain.lobes.features:Leaf")(FILTERS, sample_rate=RATE, in_channels=1, **settings)


class Undecorated(nn.Module):
    """A module of SpeechBrain's without the decorator of its forward, which leaves autocast."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute ``(batch, frames, n_filters)``."""
        features: Tensor = type(self.module).forward.__wrapped__(self.module, waveform)  # type: ignore[attr-defined]
        return features


def fbank_matrix(module: Any) -> Tensor:
    """Compute the weights of SpeechBrain's filterbank by giving it each bin alone."""
    bank = module.compute_fbanks
    bank.log_mel = False
    weights: Tensor = bank(torch.eye(WINDOW // 2 + 1)[None])[0].T
    bank.log_mel = True
    return weights


def stream_ours(module: Any, chunks: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Feed chunks; frames start at sample 0, as without centering."""
    stream = StreamingFrontend(module)
    offline = LearnableMelFilterbank(RATE, FILTERS, win_length=WINDOW, hop_length=HOP, center=False)
    offline.load_state_dict(module.state_dict())
    return torch.cat([*map(stream, chunks), stream.flush()], -1), offline(torch.cat(chunks, -1))


def stream_fbank(module: Any, chunks: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Feed chunks of whole hops. Each begins with the frame that the last ended with, and the first two precede 0."""
    stream = load("speechbrain.lobes.features:StreamingFeatureWrapper")(module, module.get_filter_properties())
    context = stream.make_streaming_context()
    streamed = torch.cat([stream(chunk, context)[:, :-1] for chunk in chunks], 1)[:, 2:]
    return streamed, module(torch.cat(chunks, -1))[:, : streamed.shape[1]]


def leaf_centers(module: Any) -> Tensor:
    """Return the center of each of LEAF's filters in Hz."""
    centers: Tensor = module.complex_conv._gabor_constraint(module.complex_conv.kernel)[:, 0] * RATE / (2 * torch.pi)
    return centers


def tree(module: nn.Module) -> list[str]:
    """Names of the classes that a module is made of."""
    return [type(part).__name__ for part in module.modules()]


def ours(family: Any, **settings: Any) -> Callable[[], nn.Module]:
    """Make one of this package's banks."""
    return lambda: family(RATE, FILTERS, win_length=WINDOW, hop_length=HOP, **settings)


LIBRARIES = {
    "learnable_frontends": Library(
        "learnable_frontends",
        "learnable-frontends",
        ours(LearnableMelFilterbank),
        {
            "LearnableMelFilterbank": ours(LearnableMelFilterbank),
            "SincFilterbank": ours(SincFilterbank, kernel_size=TAPS),
            "GaborFilterbank": ours(GaborFilterbank, kernel_size=TAPS),
            "GaborFilterbank, PCEN": lambda: ours(GaborFilterbank, kernel_size=TAPS, compression=PCEN(FILTERS))(),
        },
        matrix=lambda module: module.power_response(WINDOW),
        centers=lambda module: module.center_frequencies,
        lengths=True,
        stream=stream_ours,
    ),
    "torchaudio": Library(
        "torchaudio",
        "torchaudio",
        torchaudio_mel,
        {"MelSpectrogram": torchaudio_mel},
        learns=False,
        matrix=lambda module: module.mel_scale.fb.T,
        zero_padded=lambda: torchaudio_mel("constant"),
    ),
    "nnAudio": Library(
        "nnAudio",
        "nnaudio",
        nnaudio_mel,
        {"MelSpectrogram": nnaudio_mel},
        matrix=lambda module: module.mel_basis,
        zero_padded=lambda: nnaudio_mel("constant"),
    ),
    "LEAF": Library(
        "speechbrain",
        "speechbrain",
        leaf,
        {"Leaf, no PCEN": lambda: leaf(use_pcen=False), "Leaf": leaf},
        slow=True,
        time_axis=1,
        scope=tree,
        variant=("without PCEN", lambda: Undecorated(leaf(use_pcen=False, use_legacy_complex=True))),
        centers=leaf_centers,
    ),
    "SpeechBrain": Library(
        "speechbrain",
        "speechbrain",
        fbank,
        {"Fbank": fbank},
        time_axis=1,
        matrix=fbank_matrix,
        centers=lambda module: module.compute_fbanks.f_central * RATE,
        stream=stream_fbank,
        variant=("undecorated", lambda: Undecorated(fbank())),
    ),
    "asteroid-filterbanks": Library(
        "asteroid_filterbanks",
        "asteroid-filterbanks",
        SincMagnitudes,
        {"ParamSincFB": SincMagnitudes},
        centers=lambda module: module.centers(),
    ),
}
