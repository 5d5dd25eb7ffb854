"""Several front-ends side by side as one, such as long windows for low filters and short windows for high filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from learnable_frontends.frontend import Frontend

__all__ = ["ConcatFrontend"]


class ConcatFrontend(Frontend):
    """Several front-ends as one, whose features are joined along the filters.

    Take it for several resolutions of one waveform, each in its own band: a long window resolves low frequencies that
    are close to each other, and a short window follows what changes quickly.

    Args:
        frontends: Front-ends with the same sample rate and hop. For every waveform their frames must have the same
            number and the same centers, as they do with ``center=True`` and an even ``n_fft``.

    Attributes:
        parts: The front-ends.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, frames)``, the rows of the first front-end first. The centers ascend if those of
          each part ascend and the bands of the parts are disjoint and in ascending order.

    Raises:
        TypeError: If one of ``frontends`` is not a front-end.
        ValueError: If there are none, or their sample rates, hops or frames differ.

    Example:
        >>> from learnable_frontends import GaussianFilterbank
        >>> low = GaussianFilterbank(16000, 20, f_max=1000.0, win_length=1024)
        >>> high = GaussianFilterbank(16000, 44, f_min=1000.0, win_length=256)
        >>> ConcatFrontend([low, high])(torch.randn(16000)).shape
        torch.Size([64, 101])
    """

    centers_ascend = False

    def __init__(self, frontends: Sequence[Frontend]) -> None:
        super().__init__()
        frontends = list(frontends)
        if not frontends:
            raise ValueError("frontends must be one front-end or more, got none")
        for frontend in frontends:
            if not isinstance(frontend, Frontend):
                raise TypeError(f"frontends must be front-ends, got {type(frontend).__name__}")
        for name in ("sample_rate", "hop_length", "first_frame_center"):
            if len(values := {getattr(frontend, name) for frontend in frontends}) > 1:
                raise ValueError(f"frontends must have the same {name}, got {sorted(values)}")
        # The number of frames is a staircase over the length that repeats after each hop, so these lengths cover it.
        lengths = torch.arange(max(f.span for f in frontends) + 2 * frontends[0].hop_length, device="cpu")
        counts = [frontend.output_lengths(lengths) for frontend in frontends]
        if not all(torch.equal(count, counts[0]) for count in counts):
            length = int(lengths[torch.stack(counts).diff(dim=0).any(0)][0])
            raise ValueError(
                f"frontends must have the same number of frames, got {[int(count[length]) for count in counts]} for "
                f"{length} samples (center=True and an even n_fft give 1 + time // hop_length)"
            )
        self.parts = nn.ModuleList(frontends)

    @property
    def frontends(self) -> list[Frontend]:
        """The front-ends, as given to the constructor."""
        return [part for part in self.parts if isinstance(part, Frontend)]

    @property
    def sample_rate(self) -> float:  # type: ignore[override] # properties, here and below: parts may be replaced
        """Samples per second of the waveform."""
        return self.frontends[0].sample_rate

    @property
    def n_filters(self) -> int:  # type: ignore[override]
        """Number of rows of the features: the filters of all parts."""
        return sum(part.n_filters for part in self.frontends)

    @property
    def hop_length(self) -> int:  # type: ignore[override]
        """Number of samples from frame to frame."""
        return self.frontends[0].hop_length

    @property
    def f_min(self) -> float:  # type: ignore[override]
        """Lower end of the lowest band in Hz."""
        return min(part.f_min for part in self.frontends)

    @property
    def f_max(self) -> float:  # type: ignore[override]
        """Upper end of the highest band in Hz."""
        return max(part.f_max for part in self.frontends)

    @property
    def n_fft(self) -> int:  # type: ignore[override]
        """Length in samples of the longest transform."""
        return max(part.n_fft for part in self.frontends)

    @property
    def span(self) -> int:
        """Number of samples that a frame of the part with the longest frames depends on."""
        return max(part.span for part in self.frontends)

    @property
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, differentiable, one part after the other."""
        return torch.cat([part.center_frequencies for part in self.frontends])

    @property
    def bandwidths(self) -> Tensor:
        """Equivalent noise bandwidth of each filter in Hz, shape ``(n_filters,)``, one part after the other."""
        return torch.cat([part.bandwidths for part in self.frontends])

    def power_response(self, n_fft: int) -> Tensor:
        """Return the power gain of each filter at the bins of a transform: ``(n_filters, n_fft // 2 + 1)``."""
        return torch.cat([part.power_response(n_fft) for part in self.frontends])

    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the energies of all parts: ``(..., time)`` to ``(..., n_filters, frames)``."""
        return torch.cat([part.energies(waveform, lengths) for part in self.frontends], dim=-2)

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the features of all parts, as `Frontend.forward` does."""
        if lengths is None:
            return torch.cat([part(waveform) for part in self.frontends], dim=-2)
        features, frames = zip(*(part(waveform, lengths) for part in self.frontends), strict=True)
        return torch.cat(features, dim=-2), frames[0]

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of frames for waveforms of ``lengths`` samples, which is the same for every part."""
        return self.frontends[0].output_lengths(lengths)

    @property
    def first_frame_center(self) -> float:
        """Position of the middle of the first frame in the waveform, in samples."""
        return self.frontends[0].first_frame_center

    @property
    def latency(self) -> int:
        """Number of samples that must follow a frame, as in `Frontend.latency`; all parts wait for the slowest one."""
        return max(0, *(part.latency - late for part, late in zip(self.frontends, self._starts(), strict=True)))

    def resume(
        self, chunk: Tensor, state: dict[str, Any] | None = None, *, ends: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """Compute the features that a chunk completes, as `Frontend.resume` does.

        Frames of different lengths begin at different samples of the stream, so that they have the same middle. Those
        of the part with the longest frames begin at the first sample.
        """
        if state is None:
            state = {str(i): {"skip": start, "part": None, "held": None} for i, start in enumerate(self._starts())}
        features, after = [], {}
        for i, part in enumerate(self.frontends):
            before = state[str(i)]
            skipped = min(before["skip"], chunk.shape[-1])
            new, inner = part.resume(chunk[..., skipped:], before["part"], ends=ends)
            features.append(new if before["held"] is None else torch.cat([before["held"], new], dim=-1))
            after[str(i)] = {"skip": before["skip"] - skipped, "part": inner}
        ready = min(rows.shape[-1] for rows in features)
        for i, rows in enumerate(features):
            after[str(i)]["held"] = rows[..., ready:].clone()
        return torch.cat([rows[..., :ready] for rows in features], dim=-2), after

    def _starts(self) -> list[int]:
        """Return the sample of a stream at which the first frame of each part begins."""
        if odd := [part.span for part in self.frontends if (self.span - part.span) % 2]:
            raise ValueError(
                f"frontends must have frames with a common middle to be streamed, got frames of {self.span} and "
                f"{odd[0]} samples (make all lengths even)"
            )
        return [(self.span - part.span) // 2 for part in self.frontends]
