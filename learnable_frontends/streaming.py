"""Features of sound that has not ended: a front-end fed chunk by chunk."""

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
    """A front-end for sound that comes in chunks, for inference: no gradients.

    Frames start at sample 0 of the stream. They are those of the offline call of the same front-end made with
    ``center=False`` on the whole of it, up to rounding, however it is cut into chunks. What is held between chunks
    is less than a frame of samples, the mean of `PCEN`, and for relevance heads ``2 * context`` frames of features:
    it does not grow.

    The front-end is copied, and the copy frozen (`Frontend.freeze`), in evaluation mode: training the given one
    further has no effect on the stream.

    A compression has to work frame by frame. `Log`, ``Decibels(top_db=None)`` and `torch.nn.Identity` do, and `PCEN`
    keeps its mean. Any other module declares it by an attribute ``frame_by_frame = True``, of its class or its own.

    Args:
        frontend: Any front-end; its ``center`` and ``pad_mode`` do not count.

    Attributes:
        frontend: The frozen copy.

    Shape:
        - Input: a chunk ``(..., samples)``, floating point, of any number of samples, none too. The leading axes are
          streams that run side by side; the first chunk fixes them.
        - Output: the frames that are complete by then, ``(..., n_filters, frames)``, of the chunk's type; often none.

    Raises:
        TypeError: If ``frontend`` is not a front-end; or a chunk is not floating point or of another type than
            the first.
        ValueError: If the compression looks at a whole clip, or is not known to work frame by frame; or a chunk has
            no time axis, or other leading axes or another device than the first.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
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

    def __init__(self, frontend: Frontend) -> None:
        super().__init__()
        if not isinstance(frontend, Frontend):
            raise TypeError(f"frontend must be a Frontend such as CosGaussFilterbank, got {type(frontend).__name__}")
        _ = frontend.latency  # raises where features need a whole clip
        self.frontend = copy.deepcopy(frontend).freeze().requires_grad_(False)
        self.eval()
        self._state: dict[str, Any] | None = None
        self._like: Tensor | None = None  # no samples of the streams: their type, device and leading axes

    @property
    def latency(self) -> int:
        """Samples that must follow the last sample of a frame until the frame comes out, at most.

        Without heads a frame comes out with the chunk that brings the last of its samples: the latency is 0. Heads add
        ``context`` frames of look-ahead, or up to ``2 * context`` with ``gate="softmax"``, ``hop_length`` samples
        each. What a chunk waits for itself to be full comes on top.
        """
        return self.frontend.latency

    @torch.no_grad()
    def forward(self, chunk: Tensor) -> Tensor:
        """Take the next samples of each stream, ``(..., samples)``, and return the frames that they complete."""
        self._check(chunk)
        features, self._state = self.frontend.resume(chunk, self._state)
        self._like = chunk[..., :0].clone()
        return features

    @torch.no_grad()
    def flush(self) -> Tensor:
        """End the streams: return the frames whose heads were waiting for more, and start anew.

        Heads see zeros beyond the end. Samples that do not fill a frame are dropped, as in the offline call.

        Returns:
            Shape ``(..., n_filters, frames)``.

        Raises:
            RuntimeError: If no chunk came since the start.
        """
        if self._like is None:
            raise RuntimeError("flush must follow a chunk, got none since the start (there are no streams to end)")
        features, _ = self.frontend.resume(self._like, self._state, ends=True)
        self.reset()
        return features

    def reset(self) -> None:
        """Forget the streams: the next chunk starts new ones."""
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
    """Apply a function to each tensor of a stream's state."""
    if isinstance(state, dict):
        return {name: _map(function, value) for name, value in state.items()}
    return function(state) if isinstance(state, Tensor) else state
