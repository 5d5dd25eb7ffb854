"""Replace the mel spectrogram of an existing audio classifier with a learnable front-end, in one line."""

from __future__ import annotations

import argparse
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends import CosGaussFilterbank, Frontend, MelFrontend, MultiHeadRelevance

SAMPLE_RATE, SECONDS = 16000, 0.5
CLASSES = ("rising chirp", "falling chirp", "noise band", "two tones", "pulses")


class AudioClassifier(nn.Module):
    """A classifier like those of many projects: a log-mel spectrogram and a small convolutional network."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        # In most projects this is a torchaudio.transforms.MelSpectrogram followed by a logarithm.
        # MelFrontend computes the same energies and the logarithm.
        self.frontend: Frontend = MelFrontend(SAMPLE_RATE, 40, n_fft=512, win_length=400, hop_length=160)
        self.network = nn.Sequential(
            nn.BatchNorm2d(1),
            nn.Conv2d(1, 16, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 32, n_classes),
        )  # fmt: skip

    def forward(self, waveform: Tensor) -> Tensor:
        """Classify waveforms."""
        logits: Tensor = self.network(self.frontend(waveform).unsqueeze(1))
        return logits


def make_sounds(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Generate ``n`` clips of random pitch, duration and level in background noise, and their classes."""
    labels = torch.arange(n) % len(CLASSES)
    time = torch.arange(round(SAMPLE_RATE * SECONDS)) / SAMPLE_RATE

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, generator=generator)

    pitch = 400.0 * 2.0 ** draw(0.0, 3.0)  # Hz, three octaves
    glide = draw(1.0, 2.0) * torch.tensor([1.0, -1.0, 0.0, 0.0, 0.0])[labels][:, None]  # octaves a second
    phase = 2 * math.pi * torch.cumsum(pitch * 2.0 ** (glide * time), -1) / SAMPLE_RATE
    tone = torch.sin(phase)
    slow = F.interpolate(torch.randn(n, 1, 50, generator=generator), len(time), mode="linear")[:, 0]
    pulses = (torch.sin(2 * math.pi * draw(15.0, 40.0) * time) > 0.5).float()
    kinds = torch.stack([tone, tone, slow * tone, 0.5 * (tone + torch.sin(1.06 * phase)), pulses * tone])
    sounds = kinds[labels, torch.arange(n)]
    start, length = draw(0.0, 0.1), draw(0.25, 0.4)
    sounds = sounds * ((time > start) & (time < start + length))
    noise = torch.randn(n, len(time), generator=generator)
    waveforms = 10 ** draw(-1.5, 0.0) * (sounds + 10 ** draw(-1.5, -0.3) * noise)
    return waveforms / waveforms.abs().amax(-1, keepdim=True), labels


def train(model: AudioClassifier, steps: int, seed: int, lr: float = 1e-2, frontend_lr: float = 1e-2) -> None:
    """Train on new clips in each step; filters and classifier have separate learning rates."""
    groups = [
        *model.frontend.param_groups(lr, frontend_lr),  # none for a mel spectrogram, which has nothing to learn
        {"params": list(model.network.parameters()), "lr": lr},
    ]
    optimizer = torch.optim.Adam(groups)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [group["lr"] for group in groups], total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        waveforms, labels = make_sounds(30, generator)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(waveforms), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()


@torch.no_grad()
def evaluate(model: AudioClassifier, waveforms: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    logits = model.eval()(waveforms)
    return float(F.cross_entropy(logits, labels)), float((logits.argmax(-1) == labels).float().mean())


def main() -> None:
    """Parse the command line, train twice and compare."""
    parser = argparse.ArgumentParser(
        description="Train a small audio classifier with its mel spectrogram; then train it again with the mel "
        "spectrogram replaced by learned filters and relevance heads, and compare. The sounds are generated.",
    )
    parser.add_argument("--steps", type=int, default=150, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and sounds (default: %(default)s)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error(f"--steps must be at least 1, got {options.steps}")

    test = make_sounds(500, torch.Generator().manual_seed(options.seed + 1_000_000))
    print(f"{'front-end':<22}{'parameters':>10}{'test loss':>12}{'accuracy':>11}")
    sizes = []
    for learned in (False, True):
        torch.manual_seed(options.seed)
        model = AudioClassifier(len(CLASSES))
        if learned:
            model.frontend = MultiHeadRelevance(CosGaussFilterbank(SAMPLE_RATE, n_filters=40))  # the one line
        train(model, options.steps, options.seed)
        loss, accuracy = evaluate(model, *test)
        sizes.append(sum(parameter.numel() for parameter in model.parameters()))
        name = "learned filters, heads" if learned else "mel spectrogram"
        print(f"{name:<22}{sizes[-1]:>10}{loss:>12.3f}{100 * accuracy:>9.1f} %")
    print(f"The one line added {sizes[1] - sizes[0]} parameters: 40 center frequencies and two heads.")


if __name__ == "__main__":
    main()
