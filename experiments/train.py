"""Do one run: train and test the model that a configuration describes, resume it, or predict a blind set.

    python -m experiments.train fit --config FILE --run_dir FOLDER --data.root FOLDER --data.test_fold 1

``fit`` resumes from ``last.ckpt`` if the folder of the run has one, and tests at the end. That folder holds all files
of the run: config.json, run.json, clips.csv, epochs.csv, last.ckpt and those of TensorBoard, and after the test
result.json, predictions.csv, the front-end and the network.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from experiments.data.module import ClipData
from experiments.files import BadDataError, command
from experiments.runs import CHECKPOINT, CONFIG, claim_settings
from experiments.training.callbacks import Pictures, RunKeeper, WholeFiles
from experiments.training.classifier import Classifier


class TrainCLI(LightningCLI):
    """Lightning's command line with a folder for each run."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is the run's own, and hand the seed and the folder on."""
        parser.add_argument("--run_dir", type=str, default="runs/run", help="Folder of the run.")
        parser.add_argument("--clips", type=Path | None, default=None, help="Table of clips shared with other runs.")
        parser.add_argument("--owner", type=int | None, default=None, help="Process whose end also ends the run.")
        parser.add_argument(
            "--resume", type=bool, default=True, help="Resume a run that was interrupted in that folder."
        )
        parser.add_argument("--test_best", type=bool, default=False, help="Test the epoch that is best on val_fold.")
        parser.add_argument(
            "--patience", type=int | None, default=None, help="Stop after so many epochs without improvement."
        )
        parser.add_argument("--pictures", type=int, default=1, help="Epochs from plot to plot; 0 means none.")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("run_dir", "trainer.default_root_dir")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer with the run's callbacks and loggers."""
        folder, validated = Path(self._get(self.config_init, "run_dir")), self.datamodule.val_fold is not None
        patience, test_best = (self._get(self.config_init, name) for name in ("patience", "test_best"))
        if (patience is not None or test_best) and not validated:
            raise BadDataError("data.val_fold must be set with patience or test_best (it chooses the epoch)")
        if test_best and self.datamodule.val_fold == self.datamodule.test_fold:
            raise BadDataError("data.val_fold must not be data.test_fold with test_best (the test would choose)")
        given = self._get(self.config_init, "trainer")
        watched = given.logger is not False
        callbacks: list[Callback] = []
        if watched:
            callbacks += [Pictures(every=self._get(self.config_init, "pictures"))]
            callbacks += [LearningRateMonitor(logging_interval="epoch")]
        kept: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False, "mode": "max"}
        if validated:
            callbacks.append(ModelCheckpoint(folder, "best", monitor="val_accuracy", **kept))
        if patience is not None:
            callbacks.append(
                EarlyStopping("val_accuracy", mode="max", patience=patience, check_on_train_epoch_end=True)
            )
        # Last: what is before it belongs to the epoch that it saves.
        clips, owner = self._get(self.config_init, "clips"), self._get(self.config_init, "owner")
        callbacks.append(RunKeeper(folder, clips or folder / "clips.csv", owner, notice=watched))
        if given.logger is None:
            kwargs["logger"] = TensorBoardLogger(folder, name="", version="tensorboard")
        kwargs["plugins"] = [*(given.plugins or []), WholeFiles()]
        return super().instantiate_trainer(callbacks=[*(given.callbacks or []), *callbacks], **kwargs)

    def fit(self, model: LightningModule, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train, from the last state in the run's folder if it has one."""
        folder = Path(self.trainer.default_root_dir)
        if self.trainer.is_global_zero:
            if not (folder / CHECKPOINT).exists() or not self._get(self.config_init, "resume"):
                (folder / CONFIG).unlink(missing_ok=True)
            kept = {name: self.config_dump[name] for name in ("seed_everything", "model", "data")}
            claim_settings(folder / CONFIG, kept)
        if ckpt_path is None and self._get(self.config_init, "resume") and (folder / CHECKPOINT).exists():
            ckpt_path = str(_readable(folder / CHECKPOINT))
        self.trainer.fit(model, ckpt_path=ckpt_path, **kwargs)

    def after_fit(self) -> None:
        """Test the state that the configuration names."""
        best = str(Path(self.trainer.default_root_dir) / "best.ckpt")
        tested = best if self._get(self.config_init, "test_best") else None
        shown = self.trainer.logger is not None
        self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=tested, verbose=shown)


def _readable(path: Path) -> Path:
    """Return the path of a checkpoint that can be loaded."""
    try:
        torch.load(path, map_location="cpu", weights_only=False)  # our own file
    except Exception as error:  # torch.load raises another type for each way a file can be broken
        raise BadDataError(f"{path} cannot be read ({error}); delete it to begin the run anew") from error
    return path


class FitCLI(TrainCLI):
    """The same for runs of a grid, which only fit: a parser that is built in a third of the time."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Arguments of `Trainer.fit` that the command line does not take."""
        return {"fit": TrainCLI.subcommands()["fit"]}


def train(arguments: Sequence[str] | None, cli: type[TrainCLI] = TrainCLI) -> None:
    """Run the command line."""
    interrupts = signal.getsignal(signal.SIGINT)
    try:
        cli(
            Classifier,
            ClipData,
            save_config_callback=None,
            trainer_defaults={"use_distributed_sampler": False, "num_sanity_val_steps": 0},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            args=None if arguments is None else list(arguments),
        )
    except ValueError as error:  # settings that do not go together; what constructors raise names them
        raise BadDataError(str(error)) from error
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, interrupts)  # Lightning has it ignored from here on, and exits
        raise KeyboardInterrupt from end


def train_quietly(arguments: Sequence[str]) -> None:
    """Run the command line without a word, where nobody looks."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    train(arguments, FitCLI)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code."""
    return command(lambda: train(arguments), "experiments.train")


if __name__ == "__main__":
    sys.exit(main())
