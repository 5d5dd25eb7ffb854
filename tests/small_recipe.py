# What the tests of the recipes share: small settings, a network without batch statistics, a kill at a given step.
import csv
import multiprocessing
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path

import torch
import yaml
from lightning.pytorch import Callback
from torch import nn

# Libraries are loaded once, not by every process: that takes longer than the small recipes do.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["lightning.pytorch.cli", "tensorboard", "matplotlib.pyplot", "learnable_frontends"])
EXAMPLES = Path(__file__).parents[1] / "examples"
RATE = 8000
FILTERBANK = {
    "class_path": "learnable_frontends.CosGaussFilterbank",
    "init_args": {"sample_rate": RATE, "n_filters": 20, "win_length": 200, "hop_length": 80},
}
FRONTEND = {
    "class_path": "learnable_frontends.MultiHeadRelevance",
    "init_args": {"n_heads": 2, "context": 2, "hidden": 4, "frontend": FILTERBANK},
}
CNNLSTM = {
    "class_path": "networks.CNNLSTM",
    "init_args": {"n_classes": 10, "n_filters": 20, "maps": 4, "hidden": 8},
}
FCN = {"class_path": "networks.FCN", "init_args": {"n_classes": 10, "width": 4}}


class MeanOverTime(nn.Module):
    """Softmax regression on the mean over time: clips do not depend on each other, as they do in batch norm."""

    def __init__(self, n_classes: int = 10, n_filters: int = 20) -> None:
        super().__init__()
        self.classify = nn.Linear(n_filters, n_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classify(features.mean(-1))


class KillAt(Callback):
    """SIGKILL to oneself before a step of an epoch, counted from 0."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = (epoch, step)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):  # noqa: ARG002
        if (trainer.current_epoch, batch_idx) == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


def settings(root, **model):
    return {
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_model_summary": False},
        "data": {"root": str(root), "cache": None, "workers": 0, "batch_size": 30, "sample_rate": RATE},
        "model": {"frontend": FRONTEND, **model},
    }


def start(recipe, command, folder, config, *arguments):
    """The entry script in a process of its own, writing into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "given.yaml"
    path.write_text(yaml.safe_dump(config))
    line = [str(EXAMPLES / recipe / "train.py"), command, f"--config={path}", f"--run_dir={folder}", *arguments]
    process = SERVER.Process(target=run, args=(line, folder / "printed.txt"))
    process.printed = folder / "printed.txt"
    process.start()
    return process


def run(line, printed):
    """Run a script as a command line would, in this process, which has loaded the libraries already."""
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    os.environ.update(PYTHONPATH=paths, OMP_NUM_THREADS="1")  # for processes that the script starts
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with printed.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.argv = line
    sys.path.insert(0, str(Path(line[0]).parent))
    runpy.run_path(line[0], run_name="__main__")


def finish(process, code=0):
    """Wait for a process and give what it printed."""
    process.join(timeout=300)
    text = process.printed.read_text()
    assert process.exitcode == code, text[-4000:]
    return text


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]


def lines(path, delimiter=","):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))
