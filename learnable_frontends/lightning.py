"""A Lightning callback that shows whether a front-end learns. Needs the extra ``[lightning]``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from learnable_frontends.analysis import OptimizerMonitor, movement
from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting import (
    plot_center_history,
    plot_frequency_responses,
    plot_movement,
    plot_summed_response,
)

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'learnable_frontends.lightning needs Lightning: pip install "learnable-frontends[lightning]"'
    ) from error

__all__ = ["FrontendMonitor"]


class FrontendMonitor(Callback):
    """Log how far filters move and how large their steps are, and draw them into TensorBoard.

    Numbers, once an epoch, to every logger: ``frontend/moved_bandwidths``, the median over the filters of the distance
    from where each started, in its own bandwidth now, and ``frontend/moved_bandwidths_most``, the largest; and for each
    parameter group of each optimizer the root mean square of its gradient and its step
    (``filters/gradient``, ``filters/step``; `learnable_frontends.analysis.OptimizerMonitor`).

    Pictures, into loggers that take figures: centers over the epochs so far, the distance that each filter moved,
    responses, and the summed response before and now. The centers of past epochs are in the checkpoint, so that the
    picture of a resumed run is whole.

    Args:
        frontend: Name of the module's attribute that holds the front-end; dots lead into submodules.
        every: Epochs from picture to picture; 0 draws none.

    Raises:
        ValueError: If ``every`` is negative.
        TypeError: In training, if the attribute is not a front-end.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[FrontendMonitor("frontend", every=5)], logger=False, accelerator="cpu")
    """

    def __init__(self, frontend: str = "frontend", every: int = 1) -> None:
        if every < 0:
            raise ValueError(f"every must be at least 0, got {every} (0 draws no pictures)")
        self.frontend, self.every = frontend, every
        self.centers: list[Tensor] = []
        self._monitors: list[OptimizerMonitor] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the centers before training, and begin to watch the optimizers."""
        if not self.centers:
            self.centers.append(self._find(pl_module).center_frequencies.detach().cpu())
        self._monitors = [OptimizerMonitor(optimizer) for optimizer in trainer.optimizers]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and draw an epoch."""
        frontend = self._find(pl_module)
        self.centers.append(frontend.center_frequencies.detach().cpu())
        moved = movement(frontend).bandwidths.abs()
        values = {
            "frontend/moved_bandwidths": float(moved.median()),
            "frontend/moved_bandwidths_most": float(moved.max()),
        }
        for monitor in self._monitors:
            for name, sizes in monitor.read().items():
                values |= {f"{name}/gradient": sizes.gradient, f"{name}/step": sizes.step}
        pl_module.log_dict(values, rank_zero_only=True)
        experiments = [getattr(logger, "experiment", None) for logger in trainer.loggers]
        writers: list[Any] = [experiment for experiment in experiments if hasattr(experiment, "add_figure")]
        if self.every and (trainer.current_epoch + 1) % self.every == 0 and trainer.is_global_zero and writers:
            from matplotlib import pyplot

            for name, figure in self.figures(trainer, pl_module):
                for writer in writers:
                    writer.add_figure(name, figure, trainer.current_epoch)
                pyplot.close(figure)  # not every logger does so

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching."""
        del trainer, pl_module
        for monitor in self._monitors:
            monitor.close()
        self._monitors = []

    def state_dict(self) -> dict[str, Any]:
        """Return the centers of the epochs so far, for a run that is resumed."""
        return {"centers": self.centers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.centers = list(state_dict["centers"])

    def figures(self, trainer: Trainer, pl_module: LightningModule) -> Iterator[tuple[str, Any]]:
        """Draw the pictures of an epoch, each with its name; a subclass may add others."""
        del trainer
        frontend = self._find(pl_module)
        yield "frontend/centers", plot_center_history(torch.stack(self.centers))[0]
        yield "frontend/movement", plot_movement(frontend)[0]
        yield "frontend/responses", plot_frequency_responses(frontend)[0]
        summed = {"before": frontend.as_initialized(), "now": frontend}
        yield "frontend/summed_response", plot_summed_response(summed)[0]

    def _find(self, module: LightningModule) -> Frontend:
        found: Any = module
        for name in self.frontend.split("."):
            found = getattr(found, name, None)
        if not isinstance(found, Frontend):
            raise TypeError(
                f"frontend must name a front-end in {type(module).__name__}, got {self.frontend!r}, "
                f"{'nothing' if found is None else type(found).__name__}"
            )
        return found
