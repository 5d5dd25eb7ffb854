import subprocess
import sys

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from small_runs import lines
from torch import nn
from torch.testing import assert_close

from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
from learnable_frontends.analysis import movement
from learnable_frontends.lightning import FrontendMonitor

PICTURES = ["frontend/centers", "frontend/movement", "frontend/responses", "frontend/summed_response"]


class Model(LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.ModuleDict({"end": MultiHeadRelevance(CosGaussFilterbank(8000, 6), context=2, hidden=3)})

    def training_step(self, batch):
        return self.front["end"](batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.front["end"].param_groups(lr=0.01, frontend_lr=0.02))


class Gallery(Logger):
    """A logger that takes figures, as TensorBoard's does."""

    name, version = "gallery", 0

    def __init__(self):
        super().__init__()
        self.drawn = []
        self.experiment = self

    def add_figure(self, name, figure, epoch):
        self.drawn.append((name, epoch, len(figure.axes[0].lines)))

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, *_):
        pass


def train(model, folder, callback, epochs, ckpt_path=None, loggers=()):
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[callback],
        logger=[CSVLogger(folder, "metrics"), *loggers],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    batches = torch.randn(3, 2, 4000, generator=torch.Generator().manual_seed(0))
    trainer.fit(model, torch.utils.data.DataLoader(batches, batch_size=None), ckpt_path=ckpt_path)
    return trainer


@pytest.mark.filterwarnings("ignore")
def test_a_monitor_logs_and_draws_what_filters_do(tmp_path):
    model, monitor, gallery = Model(), FrontendMonitor("front.end", every=2), Gallery()
    trainer = train(model, tmp_path, monitor, 2, loggers=[gallery])
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    assert [(name, epoch) for name, epoch, _ in gallery.drawn] == [(name, 1) for name in PICTURES]
    assert gallery.drawn[0][2] == 6
    row = [row for row in lines(tmp_path / "metrics" / "version_0" / "metrics.csv") if row["filters/step"]][-1]
    moved = movement(model.front["end"]).bandwidths.abs()
    assert float(row["frontend/moved_bandwidths"]) == pytest.approx(float(moved.median()), rel=1e-5)
    assert float(row["frontend/moved_bandwidths_most"]) == pytest.approx(float(moved.max()), rel=1e-5)
    assert moved.max() > 0
    for group, rate in (("filters", 0.02), ("frontend", 0.01)):
        assert float(row[f"{group}/step"]) == pytest.approx(rate * float(row[f"{group}/gradient"]), rel=1e-3)

    # A run that goes on has the centers of all epochs, and of none twice.
    again = FrontendMonitor("front.end", every=0)
    train(Model(), tmp_path / "on", again, 3, ckpt_path=tmp_path / "two.ckpt")
    assert len(again.centers) == 4
    assert_close(torch.stack(again.centers[:3]), torch.stack(monitor.centers))
    assert_close(again.centers[0], Model().front["end"].center_frequencies.detach())


@pytest.mark.filterwarnings("ignore")
def test_a_monitor_refuses_what_is_no_front_end(tmp_path):
    with pytest.raises(ValueError, match=r"^every must be at least 0, got -1 \(0 means no plots\)$"):
        FrontendMonitor(every=-1)
    for name, what in (("frontend", "nothing"), ("front", "ModuleDict")):
        with pytest.raises(TypeError, match=f"^frontend must name a front-end in Model, got '{name}', {what}$"):
            train(Model(), tmp_path, FrontendMonitor(name), 1)


def test_without_lightning_the_extra_is_named():
    code = "import sys; sys.modules['lightning'] = None; import learnable_frontends.lightning"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "learnable-frontends[lightning]"' in result.stderr
