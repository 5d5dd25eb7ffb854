"""The command line of a recipe: train and test, go on with a run that was stopped, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from recipes.batch_norm import SyncBatchNorms
from recipes.callbacks import Complexity, Pictures, ResumeNotice, RunRecord
from recipes.catalog import BadDataError
from recipes.classifier import Classifier
from recipes.data import RecipeData
from recipes.results import WriteResults
from recipes.settings import flatten


class RecipeCLI(LightningCLI):
    """Lightning's command line with a folder for each run.

    ``fit`` goes on from ``checkpoints/last.ckpt`` where the run's folder has one, and tests at the end. Everything of
    the run is in that folder: config.yaml, run.json, checkpoints, metrics, TensorBoard's files, test.json,
    predictions.csv.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is the run's own, and hand the seed and the folder on."""
        parser.add_argument("--run_dir", type=str, default="runs/recipe", help="Folder of the run.")
        parser.add_argument("--resume", type=bool, default=True, help="Go on where a run in that folder was stopped.")
        parser.add_argument("--test_best", type=bool, default=False, help="Test the epoch best on val_fold.")
        parser.add_argument("--patience", type=int | None, default=None, help="Stop after so many epochs without gain.")
        parser.add_argument("--pictures", type=int, default=1, help="Epochs from picture to picture, 0 for none.")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("run_dir", "trainer.default_root_dir")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer with the run's callbacks and loggers."""
        folder, validated = Path(self._get(self.config_init, "run_dir")), self.datamodule.val_fold is not None
        patience, test_best = (self._get(self.config_init, name) for name in ("patience", "test_best"))
        if (patience is not None or test_best) and not validated:
            raise SystemExit("error: data.val_fold must be given with patience or test_best (it chooses the epoch)")
        if test_best and self.datamodule.val_fold == self.datamodule.test_fold:
            raise SystemExit("error: data.val_fold must not be data.test_fold with test_best (the test would choose)")
        each_epoch: dict[str, Any] = {
            "dirpath": folder / "checkpoints",
            "save_on_train_epoch_end": True,
            "enable_version_counter": False,
        }
        callbacks: list[Callback] = [Complexity(), ResumeNotice(), WriteResults()]
        callbacks.append(Pictures(every=self._get(self.config_init, "pictures")))
        if validated:
            callbacks.append(ModelCheckpoint(filename="best", monitor="val_accuracy", mode="max", **each_epoch))
        if patience is not None:
            callbacks.append(
                EarlyStopping("val_accuracy", mode="max", patience=patience, check_on_train_epoch_end=True)
            )
        # Last: what is before it belongs to the epoch that it saves.
        callbacks.append(ModelCheckpoint(filename="last", **each_epoch))
        given = self._get(self.config_init, "trainer")
        if given.sync_batchnorm:
            kwargs["plugins"] = [*(given.plugins or []), SyncBatchNorms()]
        if given.logger is not False:
            callbacks.append(LearningRateMonitor(logging_interval="epoch"))
        if given.logger is None:
            # A version for each start: the metrics of a run that goes on are in the files of all of them.
            kwargs["logger"] = [TensorBoardLogger(folder, name="", version="tensorboard"), CSVLogger(folder, "metrics")]
        return super().instantiate_trainer(callbacks=[*(given.callbacks or []), *callbacks], **kwargs)

    def fit(self, model: LightningModule, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train, from the last checkpoint of the run's folder if it has one."""
        last = Path(self.trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        if ckpt_path is None and self._get(self.config_init, "resume") and last.exists():
            self._refuse_other_settings(last.parent.parent)
            ckpt_path = str(last)
        self.trainer.fit(model, ckpt_path=ckpt_path, **kwargs)

    def _refuse_other_settings(self, folder: Path) -> None:
        """Stop where a run would go on with another model, other data or another seed than it began with."""
        began = folder / "config.yaml"
        if not began.exists():
            return
        text = self._parser(str(self.subcommand)).dump(self.config.get(str(self.subcommand)), skip_none=False)
        before, now = (flatten(yaml.safe_load(content)) for content in (began.read_text(encoding="utf-8"), text))
        changed = [
            f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
            for name in sorted(before.keys() | now.keys())
            if name.startswith(("model.", "data.", "seed_everything")) and before.get(name) != now.get(name)
        ]
        if changed := [line for line in changed if not line.startswith(("data.workers:", "data.cache:"))]:
            lines = "\n  ".join(changed)
            raise SystemExit(f"error: {folder} has a run with other settings (another --run_dir):\n  {lines}")

    def after_fit(self) -> None:
        """Test the checkpoint that the configuration names."""
        if self.trainer.interrupted or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        name = "best.ckpt" if self._get(self.config_init, "test_best") else "last.ckpt"
        checkpoint = Path(self.trainer.default_root_dir) / "checkpoints" / name
        self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=str(checkpoint))


def main(recipe: Path) -> None:
    """Run the command line of a recipe.

    Args:
        recipe: Its folder, whose ``recipe.yaml`` holds the defaults.
    """
    default = {"default_config_files": [str(recipe / "recipe.yaml")]}
    try:
        RecipeCLI(
            Classifier,
            RecipeData,
            save_config_callback=RunRecord,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"use_distributed_sampler": False, "num_sanity_val_steps": 0},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_kwargs=dict.fromkeys(RecipeCLI.subcommands(), default),
        )
    except BadDataError as problem:
        raise SystemExit(f"error: {problem}") from None
