"""Networks behind front-ends: a small one for comparisons, and those of the paper's two experiments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnable_frontends._checks import whole_number

__all__ = ["CNNLSTM", "FCN", "SmallCNN"]

NORMALIZATIONS = ("filter", "all")


class SmallCNN(nn.Module):
    """Four convolutions over the features of any front-end, normalized first: a hundred thousand parameters.

    Args:
        n_classes: Number of classes.
        n_filters: Filters of the front-end.
        normalize: One of ``NORMALIZATIONS``: by the mean and variance of each filter, or by one of all of them.

    Shape:
        - Input: ``(batch, n_filters, frames)``.
        - Output: ``(batch, n_classes)``, logits.

    Raises:
        ValueError: If ``normalize`` is not one of ``NORMALIZATIONS``.
    """

    def __init__(self, n_classes: int, n_filters: int, *, normalize: str = "filter") -> None:
        super().__init__()
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
        of_all = nn.Sequential(nn.Unflatten(1, (1, n_filters)), nn.BatchNorm2d(1), nn.Flatten(1, 2))
        self.normalize = nn.BatchNorm1d(n_filters) if normalize == "filter" else of_all
        self.convolutions = nn.Sequential(
            *_block(1, 16, size=5, stride=2),
            nn.MaxPool2d(2, ceil_mode=True),
            *_block(16, 32),
            nn.MaxPool2d(2, ceil_mode=True),
            *_block(32, 64),
            nn.MaxPool2d(2, ceil_mode=True),
            *_block(64, 128),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # 40 % faster on a CPU
        self.classify = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, n_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Classify features."""
        maps = self.convolutions(self.normalize(features)[:, None])
        logits: Tensor = self.classify(maps.mean(2).amax(-1) + maps.mean((2, 3)))
        return logits


class FCN(nn.Module):
    """Fully convolutional network for acoustic scenes, in the manner of VGG, with channel attention.

    Nine convolutions, each after batch normalization and, but for the first, a ReLU: 5 x 5 with stride 2, seven of 3 x
    3, and 1 x 1 to the classes; 2 x 2 max-pooling after the second, fourth and eighth. The class maps are weighted by
    attention over the classes and averaged, so that clips of any length and number of filters can be classified.

    Args:
        n_classes: Number of classes.
        in_channels: Maps of the input: features, deltas and delta-deltas.
        width: Maps of the first two convolutions; the others have twice and four times as many.
        dropout: Share of units dropped after each of the last four 3 x 3 convolutions.

    Shape:
        - Input: ``(batch, in_channels, n_filters, frames)``, each of the last two at least 16.
        - Output: ``(batch, n_classes)``, logits.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number breaks its rule, or the input has another shape.

    Example:
        >>> network = FCN(n_classes=10)
        >>> network(torch.randn(2, 3, 80, 423)).shape, sum(p.numel() for p in network.parameters())
        (torch.Size([2, 10]), 11780329)

    Source: Hu et al., "Device-robust acoustic scene classification based on two-stage categorization and data
    augmentation", DCASE 2020; the size of Dutta et al. 2021, section 4.1. Attention: Woo et al., "CBAM", ECCV 2018.
    """

    def __init__(self, n_classes: int, in_channels: int = 3, *, width: int = 144, dropout: float = 0.3) -> None:
        super().__init__()
        n_classes, width = whole_number("n_classes", n_classes, least=2), whole_number("width", width)
        self.in_channels = whole_number("in_channels", in_channels)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout}")
        self.convolutions = nn.Sequential(
            nn.BatchNorm2d(self.in_channels),
            nn.Conv2d(self.in_channels, width, 5, stride=2, padding=2, bias=False),
            *_convolution(width, width),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),
            *_convolution(2 * width, 4 * width),
            nn.Dropout(dropout),
            *(layer for _ in range(3) for layer in (*_convolution(4 * width, 4 * width), nn.Dropout(dropout))),
            nn.MaxPool2d(2),
            *_convolution(4 * width, n_classes, size=1),
            nn.BatchNorm2d(n_classes, affine=False),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a seventh faster on a CPU
        between = max(1, n_classes // 2)
        self.attention = nn.Sequential(nn.Linear(n_classes, between), nn.ReLU(), nn.Linear(between, n_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Classify features, shape ``(batch, in_channels, n_filters, frames)``."""
        if features.dim() != 4 or features.shape[1] != self.in_channels or min(features.shape[2:]) < 16:
            raise ValueError(
                f"features must be (batch, {self.in_channels}, n_filters, frames) with at least 16 filters and frames, "
                f"got shape {tuple(features.shape)} (transforms.Deltas makes three maps)"
            )
        maps = self.convolutions(features)
        weights = torch.sigmoid(self.attention(maps.mean((2, 3))) + self.attention(maps.amax((2, 3))))
        logits: Tensor = (maps * weights[:, :, None, None]).mean((2, 3))
        return logits


class CNNLSTM(nn.Module):
    """Convolution, two LSTM layers over time and a fully connected layer, for urban sounds.

    Args:
        n_classes: Number of classes.
        n_filters: Filters of the features, a multiple of ``pool``.
        maps: Maps of the convolution, of 5 x 5.
        pool: Filters that are max-pooled together after it.
        hidden: Units of each LSTM layer and of the fully connected one.
        dropout: Share of units dropped between the LSTM layers and before the last layer.

    Shape:
        - Input: ``(batch, n_filters, frames)``.
        - Output: ``(batch, n_classes)``, logits, from the last frame.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number breaks its rule, or the input has another shape.

    Example:
        >>> network = CNNLSTM(n_classes=10, n_filters=80)
        >>> network(torch.randn(2, 80, 51)).shape, sum(p.numel() for p in network.parameters())
        (torch.Size([2, 10]), 1187690)

    Source: Dutta et al. 2021, section 4.2: 40 filters of (5, 5), two layers of 256 cells, a fully connected layer of
    256. Pooling, batch normalization and dropout are not said there; 8 pooled bands and batch normalization give the
    paper's number of parameters, 1.18 million.
    """

    def __init__(
        self,
        n_classes: int,
        n_filters: int = 80,
        *,
        maps: int = 40,
        pool: int = 10,
        hidden: int = 256,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        n_classes, maps = whole_number("n_classes", n_classes, least=2), whole_number("maps", maps)
        pool, hidden = whole_number("pool", pool), whole_number("hidden", hidden)
        self.n_filters = whole_number("n_filters", n_filters)
        if self.n_filters % pool:
            raise ValueError(f"n_filters must be a multiple of pool={pool}, got {self.n_filters}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout}")
        # Pooling before the ReLU gives the same maps for less work; with channels last a step takes 0.65 of the time.
        self.convolution = nn.Sequential(
            nn.Conv2d(1, maps, 5, padding=2), nn.BatchNorm2d(maps), nn.MaxPool2d((pool, 1)), nn.ReLU()
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.lstm = nn.LSTM(maps * (self.n_filters // pool), hidden, num_layers=2, batch_first=True, dropout=dropout)
        self.classify = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Classify features, shape ``(batch, n_filters, frames)``."""
        if features.dim() != 3 or features.shape[1] != self.n_filters or features.shape[2] < 1:
            raise ValueError(
                f"features must be (batch, {self.n_filters}, frames) with at least 1 frame, "
                f"got shape {tuple(features.shape)}"
            )
        maps = self.convolution(features[:, None]).flatten(1, 2)
        outputs, _ = self.lstm(maps.transpose(1, 2))
        logits: Tensor = self.classify(outputs[:, -1])
        return logits


def _convolution(inputs: int, outputs: int, size: int = 3) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return nn.BatchNorm2d(inputs), nn.ReLU(), convolution


def _block(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
