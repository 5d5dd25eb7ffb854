"""Features of sound that has not ended: a front-end fed chunk by chunk."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from learnable_frontends.compression import Decibels, Log
from learnable_frontends.frontend import Filterbank, Frontend
from learnable_frontends.pcen import PCEN
from learnable_frontends.relevance import MultiHeadRelevance, RelevanceWeighting

__all__ = ["StreamingFrontend"]

FRAME_BY_FRAME = (Log, nn.Identity, Decibels)  # these very classes: what a subclass does, it has to say itself


class StreamingFrontend(nn.Module):
    """A front-end for sound that comes in chunks, for inference: no gradients.

    Frames start at sample 0 of the stream. They are those of the offline call of the same front-end made with
    ``center=False`` on the whole of it, up to rounding, however it is cut into chunks. What is held between chunks
    is less than a frame of samples, the mean of `PCEN`, and for relevance heads ``2 * context`` frames of features:
    it does not grow.

    The front-end is copied, and the copy frozen (`Frontend.freeze`), in evaluation mode: training the given one
    further has no effect on the stream.

    A compression has to work frame by frame. `Log`, ``Decibels(top_db=None)`` and `torch.nn.Identity` do, and `PCEN`
    keeps its mean. Any other module says so by an attribute ``frame_by_frame = True``, of its class or its own.

    Args:
        frontend: A `Filterbank`, or `MultiHeadRelevance` around one, nested or not. Its ``center`` and ``pad_mode`` do
            not count.

    Attributes:
        frontend: The frozen copy.

    Shape:
        - Input: a chunk ``(..., samples)``, floating point, of any number of samples, none too. The leading axes are
          streams that run side by side; the first chunk fixes them.
        - Output: the frames that are complete by then, ``(..., n_filters, frames)``, of the chunk's type; often none.

    Raises:
        TypeError: If ``frontend`` is not such a front-end; or a chunk is not floating point or of another type than
            the first.
        ValueError: If the compression looks at a whole clip, or is not known to work frame by frame; or a chunk has
            no time axis, or other leading axes or another device than the first.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, 40, center=False)
        >>> frontend, waveform = MultiHeadRelevance(bank, context=10), torch.randn(2, 16000)
        >>> stream = StreamingFrontend(frontend)
        >>> frames = [stream(chunk) for chunk in waveform.split(1000, dim=-1)]
        >>> [part.shape[-1] for part in frames[:4]]  # heads wait for ten frames more
        [0, 1, 6, 6]
        >>> features = torch.cat([*frames, stream.flush()], dim=-1)
        >>> torch.allclose(features, frontend(waveform), atol=1e-5)
        True
    """

    samples: Tensor | None
    mean: Tensor | None

    def __init__(self, frontend: Frontend) -> None:
        super().__init__()
        bank, heads = _unwrap(frontend)
        if not isinstance(bank, Filterbank):
            raise TypeError(
                f"frontend must be a Filterbank or MultiHeadRelevance around one, got {type(bank).__name__} "
                "(such as CosGaussFilterbank)"
            )
        _check_compression(bank.compression)
        self.frontend = copy.deepcopy(frontend).freeze().requires_grad_(False)
        self.eval()
        # State of the streams: moved with the module, copied and pickled with it, not in the state dict.
        self._held = [f"held{level}" for level in range(len(heads))]
        for name in ("samples", "mean", *self._held):
            self.register_buffer(name, None, persistent=False)
        self.reset()

    @property
    def latency(self) -> int:
        """Samples that must follow the last sample of a frame until the frame comes out, at most.

        Frame ``t`` is cut from the samples ``t * hop_length`` to ``t * hop_length + frame_length - frame_tail - 1``.
        Without heads it comes out with the chunk that brings the last of them: the latency is 0. Heads add
        ``context`` frames of look-ahead, or up to ``2 * context`` with ``gate="softmax"``, ``hop_length`` samples
        each. What a chunk waits for itself to be full comes on top.
        """
        bank, heads = _unwrap(self.frontend)
        patches = [2 * relevance.context + 1 for relevance in heads if relevance.gate == "softmax"]
        waits = 0
        for first in range(math.lcm(*patches)):
            last = first
            for relevance in reversed(heads):
                last = _last_needed(relevance, last)
            waits = max(waits, last - first)
        return waits * int(bank.hop_length)

    @torch.no_grad()
    def forward(self, chunk: Tensor) -> Tensor:
        """Take the next samples of each stream, ``(..., samples)``, and give the frames they complete."""
        self._check(chunk)
        bank, _ = _unwrap(self.frontend)
        samples = self._complete(bank, chunk)
        if not samples.shape[-1]:
            return chunk.new_empty(*chunk.shape[:-1], bank.n_filters, 0)
        energies = bank.padded_energies(samples, (0, 0))
        if isinstance(bank.compression, PCEN):
            features, mean = bank.compression.resume(energies, self.mean)
            self.mean = mean.clone()  # not a view, which would keep that of every frame
        else:
            features = bank.compression(energies)
        return self._weighted(features.to(chunk.dtype))

    @torch.no_grad()
    def flush(self) -> Tensor:
        """End the streams: give the frames whose heads were waiting for more, and start anew.

        Heads see zeros beyond the end. Samples that do not fill a frame are dropped, as in the offline call.

        Returns:
            Shape ``(..., n_filters, frames)``.

        Raises:
            RuntimeError: If no chunk came since the start.
        """
        if self.samples is None:
            raise RuntimeError("flush must follow a chunk, got none since the start (there are no streams to end)")
        bank, _ = _unwrap(self.frontend)
        features = self._weighted(self.samples.new_empty(*self.samples.shape[:-1], bank.n_filters, 0), ends=True)
        self.reset()
        return features

    def reset(self) -> None:
        """Forget the streams: the next chunk starts new ones."""
        self._skipped = 0  # samples to come before the next frame, where hops are longer than frames
        for name in ("samples", "mean", *self._held):
            setattr(self, name, None)

    def _complete(self, bank: Filterbank, chunk: Tensor) -> Tensor:
        """Samples of the frames that a chunk completes, maybe none; those of later frames are kept."""
        unused = min(self._skipped, chunk.shape[-1])
        samples = chunk[..., unused:]
        if self.samples is not None:
            samples = torch.cat([self.samples, samples], dim=-1)
        time, length = samples.shape[-1], bank.frame_length - bank.frame_tail
        count = max(0, 1 + (time - length) // bank.hop_length)
        done = count * bank.hop_length
        self._skipped += max(0, done - time) - unused
        self.samples = samples[..., done:].clone()  # not a view, which would keep all of a long chunk
        return samples[..., : done - bank.hop_length + length] if count else samples[..., :0]

    def _weighted(self, features: Tensor, *, ends: bool = False) -> Tensor:
        """Pass new frames of the filterbank through all heads; ``ends`` says that there will be no more."""
        _, heads = _unwrap(self.frontend)
        for name, relevance in zip(self._held, heads, strict=True):
            held = getattr(self, name)
            if held is None:
                # Heads with a sigmoid look back: on zeros at first.
                past = relevance.context if relevance.gate == "sigmoid" else 0
                held = features.new_zeros(*features.shape[:-1], past)
            features, kept = _weigh(relevance, torch.cat([held, features], dim=-1), ends)
            setattr(self, name, kept.clone())
        return features

    def _check(self, chunk: Tensor) -> None:
        if not isinstance(chunk, Tensor) or not chunk.is_floating_point():
            got = chunk.dtype if isinstance(chunk, Tensor) else type(chunk).__name__
            raise TypeError(f"chunk must be a floating-point tensor, got {got} (16-bit samples: divide by 32768.0)")
        if chunk.dim() == 0:
            raise ValueError("chunk must have a time axis, got a tensor without axes (shape (..., samples))")
        if self.samples is None:
            return
        hint = "(flush() or reset() starts new streams)"
        if chunk.dtype != self.samples.dtype:
            raise TypeError(f"chunk must be of type {self.samples.dtype}, as before, got {chunk.dtype} {hint}")
        if chunk.device != self.samples.device:
            raise ValueError(f"chunk must be on {self.samples.device}, as before, got {chunk.device} {hint}")
        lead = tuple(self.samples.shape[:-1])
        if chunk.shape[:-1] != lead:
            raise ValueError(
                f"chunk must have the leading axes {lead}, as before, got shape {tuple(chunk.shape)} {hint}"
            )


def _unwrap(frontend: Frontend) -> tuple[Any, list[RelevanceWeighting]]:
    """Give the filterbank of a front-end and the heads around it, the innermost first."""
    heads: list[RelevanceWeighting] = []
    while isinstance(frontend, MultiHeadRelevance):
        heads.insert(0, frontend.relevance)
        frontend = frontend.frontend
    return frontend, heads


def _check_compression(compression: nn.Module) -> None:
    if isinstance(compression, PCEN) or getattr(compression, "frame_by_frame", False):
        return
    if type(compression) not in FRAME_BY_FRAME:
        raise ValueError(
            f"compression must work frame by frame, got {type(compression).__name__} (if its features of a frame do "
            "not depend on other frames, give it an attribute frame_by_frame = True)"
        )
    if isinstance(compression, Decibels) and compression.top_db is not None:
        raise ValueError(
            f"compression must work frame by frame, got Decibels with top_db={compression.top_db}, which looks for the "
            "loudest bin of a whole clip (use top_db=None)"
        )


def _last_needed(relevance: RelevanceWeighting, place: int) -> int:
    """Last frame that heads must have seen before they give the frame at ``place``."""
    if relevance.gate == "sigmoid":
        return place + relevance.context
    patch = 2 * relevance.context + 1
    return (place // patch + 1) * patch - 1


def _weigh(relevance: RelevanceWeighting, held: Tensor, ends: bool) -> tuple[Tensor, Tensor]:
    """Weight the frames that heads have seen enough for; give them, and the frames to be held.

    Args:
        relevance: The heads.
        held: Frames, ``(..., n_filters, frames)``: from the first that is not weighted yet, or with a sigmoid gate from
            ``context`` frames before it.
        ends: Whether they are the last: the heads themselves add the zeros beyond them.
    """
    context, frames = relevance.context, held.shape[-1]
    if relevance.gate == "softmax":
        patch = 2 * context + 1
        before, ready = 0, frames if ends else frames // patch * patch
        seen = held[..., :ready]
    else:
        before, ready = context, max(0, frames - context if ends else frames - 2 * context)
        seen = held
    if not ready:
        return held[..., :0], held
    weighted: Tensor = relevance(seen)
    return weighted[..., before : before + ready], held[..., ready:]
