"""Features of sound that arrives in chunks, computed as it arrives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from learnable_frontends.frontend import Frontend

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["StreamingFrontend"]


class StreamingFrontend(nn.Module):
    """A front-end for sound that arrives in chunks. It is for inference: it computes no gradients.

    The first frame starts at sample 0 of the stream. However the sound is cut into chunks, the frames equal those of an
    offline call on all of it, by the same front-end with ``center=False``, up to rounding. Memory does not grow:
    between chunks, a stream holds less than a frame of samples, the mean of `PCEN`, and ``2 * context`` frames of
    features for relevance heads.

    The stream uses a copy of the front-end, frozen (`Frontend.freeze`) and in evaluation mode, so that training the
    original further has no effect on it.

    The compression has to work frame by frame. `Log`, ``Decibels(top_db=None)`` and `torch.nn.Identity` do, and `PCEN`
    carries its mean from chunk to chunk. Any other module that works frame by frame must have an attribute
    ``frame_by_frame = True``, on its class or on itself.

    Args:
        frontend: Any front-end; its ``center`` and ``pad_mode`` are ignored.

    Attributes:
        frontend: The frozen copy.

    Shape:
        - Input: a chunk ``(..., samples)``, floating point, with any number of samples, including zero. The leading
          axes are parallel streams; the first chunk determines them.
        - Output: the frames that the chunk completes, ``(..., n_filters, frames)``, in the chunk's type; there may be
          none.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or a chunk is not floating point or has another type than the
            first one.
        ValueError: If the compression needs a whole clip, or does not declare that it works frame by frame; or if a
            chunk has no time axis, or is on another device or has other leading axes than the first one.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> bank = CosGaussFilterbank(16000, 40, center=False)
        >>> frontend, waveform = MultiHeadRelevance(bank, context=10), torch.randn(2, 16000)
        >>> stream = StreamingFrontend(frontend)
        >>> frames = [stream(chunk) for chunk in waveform.split(1000, dim=-1)]
        >>> [part.shape[-1] for part in frames[:4]]  # heads wait for ten more frames
        [0, 1, 6, 6]
        >>> features = torch.cat([*frames, stream.flush()], dim=-1)
        >>> torch.allclose(features, frontend(waveform), atol=1e-5)
        True
    """

    def __init__(self, frontend: Frontend) -> None:
        super().__init__()
        if not isinstance(frontend, Frontend):
            raise TypeError(f"frontend must be a Frontend such as CosGaussFilterbank, got {type(frontend).__name__}")
        _ = frontend.latency  # raises an error if features need a whole clip
        self.frontend = copy.deepcopy(frontend).freeze().requires_grad_(False)
        self.eval()
        self._state: dict[str, Any] | None = None
        self._like: Tensor | None = None  # an empty tensor with the type, device and leading axes of the streams

    @property
    def latency(self) -> int:
        """Largest number of samples that must follow the last sample of a frame before the frame is returned.

        Without heads the latency is 0: a frame is returned for the chunk that contains its last sample. Heads look
        ahead by ``context`` frames, or by up to ``2 * context`` with ``gate="softmax"``, of ``hop_length`` samples
        each. The time that it takes to fill a chunk comes on top.
        """
        return self.frontend.latency

    @torch.no_grad()
    def forward(self, chunk: Tensor) -> Tensor:
        """Return the frames that the next samples of each stream, ``(..., samples)``, complete."""
        self._check(chunk)
        features, self._state = self.frontend.resume(chunk, self._state)
        self._like = chunk[..., :0].clone()
        return features

    @torch.no_grad()
    def flush(self) -> Tensor:
        """End the streams and return the frames whose heads were still waiting for later frames.

        Heads read zeros beyond the end. Samples that do not fill a frame are dropped, as in the offline call. The next
        chunk starts new streams.

        Returns:
            Features, shape ``(..., n_filters, frames)``.

        Raises:
            RuntimeError: If there was no chunk since the start.
        """
        if self._like is None:
            raise RuntimeError("flush must follow a chunk, got none since the start (there are no streams to end)")
        features, _ = self.frontend.resume(self._like, self._state, ends=True)
        self.reset()
        return features

    def reset(self) -> None:
        """Discard the streams, so that the next chunk starts new ones."""
        self._state = self._like = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._state, self._like = _map(fn, self._state), _map(fn, self._like)
        return self

    def _check(self, chunk: Tensor) -> None:
        hint = "16-bit samples: divide by 32768.0"
        if not isinstance(chunk, Tensor) or not chunk.is_floating_point():
            got = chunk.dtype if isinstance(chunk, Tensor) else type(chunk).__name__
            raise TypeError(f"chunk must be a floating-point tensor, got {got} ({hint})")
        if chunk.dim() == 0:
            raise ValueError("chunk must have a time axis, got a tensor without axes (shape (..., samples))")
        if self._like is None:
            return
        hint = "(flush() or reset() starts new streams)"
        if chunk.dtype != self._like.dtype:
            raise TypeError(f"chunk must be of type {self._like.dtype}, as before, got {chunk.dtype} {hint}")
        if chunk.device != self._like.device:
            raise ValueError(f"chunk must be on {self._like.device}, as before, got {chunk.device} {hint}")
        lead = tuple(self._like.shape[:-1])
        if chunk.shape[:-1] != lead:
            raise ValueError(
                f"chunk must have the leading axes {lead}, as before, got shape {tuple(chunk.shape)} {hint}"
            )


def _map(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to every tensor in the state of a stream."""
    if isinstance(state, dict):
        return {name: _map(function, value) for name, value in state.items()}
    return function(state) if isinstance(state, Tensor) else state
