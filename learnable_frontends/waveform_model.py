"""A network with a front-end inside it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends._checks import whole_number
from learnable_frontends._parameters import optimizer_groups
from learnable_frontends._stages import within
from learnable_frontends.frontend import Frontend

__all__ = ["WaveformModel"]


class WaveformModel(nn.Module):
    """A network that takes waveforms: a front-end, followed by a network that takes features in a layout of its own.

    Args:
        frontend: The front-end; `learnable_frontends.presets` has those of published models.
        model: The network.
        frames_first: Whether the network takes ``(batch, frames, n_filters)``, not ``(batch, n_filters, frames)``.
        stack: Number of neighboring frames that are joined into one; zeros fill the last one. A number above 1 requires
            ``frames_first``.
        channels: Number of copies of the features on an axis after the batch, for image networks; 0 means no such axis.
        keyword: Name of the network's argument for features; ``None`` means that features are its first argument.
        mask: Name of the network's argument for the mask of the frames that belong to each clip, ``(batch, frames)``,
            ones and zeros; ``None`` means that it takes no mask.

    Shape:
        - Input: waveforms ``(batch, time)``.
        - Output: what the network returns.

    Raises:
        TypeError: If ``frontend`` is not a front-end, ``model`` is not a module, or a number is not whole.
        ValueError: If a number is negative, or ``stack`` is above 1 without ``frames_first``.

    Example:
        >>> from torch import nn
        >>> from learnable_frontends import LearnableMelFilterbank
        >>> pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), pool, nn.Linear(4, 10))
        >>> model = WaveformModel(LearnableMelFilterbank(16000, 64), network, channels=1)
        >>> model(torch.randn(2, 16000)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        frontend: Frontend,
        model: nn.Module,
        *,
        frames_first: bool = False,
        stack: int = 1,
        channels: int = 0,
        keyword: str | None = None,
        mask: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(frontend, Frontend):
            raise TypeError(f"frontend must be a Frontend such as presets.whisper(), got {type(frontend).__name__}")
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        self.frames_first = bool(frames_first)
        self.stack, self.channels = whole_number("stack", stack), whole_number("channels", channels, least=0)
        if self.stack > 1 and not self.frames_first:
            raise ValueError(f"stack must be 1 without frames_first=True, got {stack}")
        self.keyword, self.mask = keyword, mask
        self.frontend, self.model = frontend, model

    def forward(self, waveform: Tensor, lengths: Tensor | None = None, **others: Any) -> Any:
        """Run the network on waveforms.

        Args:
            waveform: Shape ``(batch, time)``.
            lengths: Number of samples of each clip, integers of shape ``(batch,)``; ``None`` means all.
            **others: Arguments that are passed to the network unchanged, such as labels.

        Returns:
            What the network returns.
        """
        if lengths is None:
            features, counts = self.frontend(waveform), None
        else:
            features, counts = self.frontend(waveform, lengths)
        if self.mask is not None and self.mask not in others:
            others[self.mask] = self._mask(features, counts)
        features = self.arrange(features)
        if self.keyword is None:
            return self.model(features, **others)
        return self.model(**{self.keyword: features}, **others)

    def arrange(self, features: Tensor) -> Tensor:
        """Return features ``(batch, n_filters, frames)`` in the layout that the network takes."""
        if self.frames_first:
            features = self._filled(features).mT
        if self.stack > 1:
            features = features.unflatten(-2, (-1, self.stack)).flatten(-2)
        if self.channels:
            features = features[:, None].expand(-1, self.channels, -1, -1)
        return features

    def param_groups(self, lr: float, frontend_lr: float) -> list[dict[str, Any]]:
        """Return the parameters as groups for an optimizer, as `Frontend.param_groups` does.

        Args:
            lr: Learning rate of everything except the filters, including the network.
            frontend_lr: Learning rate of the filters.

        Returns:
            Parameter groups ``"filters"``, ``"free"`` and ``"network"``; the last one includes relevance heads.

        Example:
            >>> from torch import nn
            >>> from learnable_frontends import presets
            >>> model = WaveformModel(presets.panns(learn=True), nn.Linear(101, 1))
            >>> groups = model.param_groups(1e-4, frontend_lr=1e-2)
            >>> [(group["name"], len(group["params"])) for group in groups]
            [('filters', 1), ('network', 2)]
        """
        return optimizer_groups(self, lr, frontend_lr, rest="network")

    def _filled(self, features: Tensor) -> Tensor:
        """Pad features or a mask with zeros until ``stack`` divides the number of frames."""
        return F.pad(features, (0, -features.shape[-1] % self.stack)) if self.stack > 1 else features

    def _mask(self, features: Tensor, counts: Tensor | None) -> Tensor:
        if counts is None:
            counts = torch.full((len(features),), features.shape[-1], device=features.device)
        mask = within(counts, features).long()
        return self._filled(mask)[:, self.stack - 1 :: self.stack]  # joined frames count if the last of them does

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        names = ("frames_first", "stack", "channels", "keyword", "mask")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
