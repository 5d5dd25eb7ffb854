"""What a finished run says of each clip: predictions, accuracies, a submission."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from recipes.files import PREDICTIONS, write_table, write_whole

Row = tuple[int, list[float]]


class WriteResults(Callback):
    """Write into the run's folder: ``predictions.csv`` and ``test.json`` of a test, ``submission.csv`` of a prediction.

    Each file is written whole or not at all. Processes' clips are gathered; process 0 writes.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def on_test_epoch_start(self, *_: Any) -> None:
        """Begin anew."""
        self.rows = []

    def on_test_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, *_: Any) -> None:
        """Keep a batch."""
        del trainer, module
        self._keep(outputs, batch)

    def on_predict_epoch_start(self, *_: Any) -> None:
        """Begin anew."""
        self.rows = []

    def on_predict_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep a batch."""
        del trainer, module
        self._keep(outputs, batch)

    def on_test_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """Write the test's files."""
        values = module.metrics.compute()  # over all processes, so in all of them
        rows = self._gather(trainer)
        if not trainer.is_global_zero:
            return
        catalog, root = trainer.datamodule.catalog, trainer.datamodule.root  # type: ignore[attr-defined]
        head = ["file", "label", "prediction", "device", "fold", *catalog.classes]
        lines = []
        hits: dict[str, list[bool]] = {}
        for i, probabilities in rows:
            clip = catalog.clips[i]
            best = probabilities.index(max(probabilities))
            file = Path(os.path.relpath(clip.path, root)).as_posix()
            numbers = [f"{p:.6g}" for p in probabilities]
            lines.append([file, catalog.classes[clip.label], catalog.classes[best], clip.device, clip.fold, *numbers])
            hits.setdefault(clip.device, []).append(best == clip.label)
        result = {
            "accuracy": values["accuracy"].item(),
            "clips": len(rows),
            "skipped": list(catalog.skipped),
            "epoch": trainer.current_epoch,
            "per_class": dict(zip(catalog.classes, values["per_class"].tolist(), strict=True)),
            "per_device": {device: sum(h) / len(h) for device, h in sorted(hits.items()) if device},
            "confusion": values["confusion"].tolist(),
        }
        folder = Path(trainer.default_root_dir)
        write_whole(folder / "test.json", json.dumps(result, indent=1) + "\n")
        write_table(folder / PREDICTIONS, [head, *lines])

    def on_predict_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the submission: file name, scene, probability of each scene."""
        del module
        rows = self._gather(trainer)
        if not trainer.is_global_zero:
            return
        catalog = trainer.datamodule.catalog  # type: ignore[attr-defined]
        lines = [["filename", "scene_label", *catalog.classes]]
        for i, probabilities in rows:
            best = catalog.classes[probabilities.index(max(probabilities))]
            lines.append([catalog.clips[i].path.name, best, *(f"{p:.6g}" for p in probabilities)])
        write_table(Path(trainer.default_root_dir) / "submission.csv", lines, "\t")

    def _keep(self, outputs: Tensor, batch: dict[str, Tensor]) -> None:
        self.rows += zip(batch["index"].tolist(), outputs.double().exp().tolist(), strict=True)

    def _gather(self, trainer: Trainer) -> list[Row]:
        everyones: list[Any] = [self.rows]
        if trainer.world_size > 1:
            everyones = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyones, self.rows)
        return sorted(row for rows in everyones for row in rows)
