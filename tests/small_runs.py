# What the tests of experiments share: a small set of sounds, a small grid, a network without batch statistics, a kill.
import csv
import os
import signal

import numpy as np
import soundfile
import torch
from lightning.pytorch import Callback
from torch import nn

RATE = 8000
FILTERBANK = {
    "class_path": "learnable_frontends.CosGaussFilterbank",
    "init_args": {"sample_rate": RATE, "n_filters": 20, "win_length": 200, "hop_length": 80},
}
FRONTEND = {
    "class_path": "learnable_frontends.MultiHeadRelevance",
    "init_args": {"n_heads": 2, "context": 2, "hidden": 4, "frontend": FILTERBANK},
}
MEAN = {"class_path": "small_runs.MeanOverTime", "init_args": {"n_classes": 10, "n_filters": 20}}
WORDS = f"--sample-rate {RATE} --n-filters 10 --epochs 2 --batch-size 4 --folds 1 2"


class MeanOverTime(nn.Module):
    """Softmax regression on the mean over time: clips do not depend on each other, as they do in batch norm."""

    def __init__(self, n_classes: int = 10, n_filters: int = 20) -> None:
        super().__init__()
        self.classify = nn.Linear(n_filters, n_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classify(features.mean(-1))


class KillAt(Callback):
    """SIGKILL to oneself before a step of an epoch, counted from 0; once if there is a file, which it deletes."""

    def __init__(self, epoch: int, step: int, path: str | None = None) -> None:
        self.place, self.path = (epoch, step), path

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):  # noqa: ARG002
        if (trainer.current_epoch, batch_idx) == self.place and (self.path is None or os.path.exists(self.path)):
            if self.path is not None:
                os.unlink(self.path)
            os.kill(os.getpid(), signal.SIGKILL)


def write_sounds(root, folds=3, clips=2, classes=("high", "low", "mid"), seconds=0.5):
    """Tones in noise, a folder a class, the fold in front of each name."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(folds * clips):
            random = np.random.default_rng([label, i])
            time = np.arange(round(seconds * RATE)) / RATE
            tone = np.sin(2 * np.pi * (300 * 2**label) * random.uniform(0.9, 1.1) * time)
            noise = random.standard_normal(len(time))
            soundfile.write(root / name / f"{1 + i % folds}-{i}.wav", 0.3 * tone + 0.05 * noise, RATE)
    return root


def lines(path, delimiter=","):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def left(out):
    """What finished runs left that must not depend on how often they were stopped, by file."""
    names = ("predictions.csv", "network.pt", "frontend/model.safetensors", "frontend/config.json")
    return {str(p.relative_to(out)): p.read_bytes() for name in names for p in sorted(out.glob(f"*/*/{name}"))}
