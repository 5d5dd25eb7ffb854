"""A Lightning callback that shows whether a front-end learns. It needs the extra ``[lightning]``."""

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
    """Log how far filters move and how large their steps are, and plot both in TensorBoard.

    After each epoch the callback logs to every logger:

    - ``frontend/moved_bandwidths``, the median over the filters of the distance that each has moved from its start, in
      units of its current bandwidth, and ``frontend/moved_bandwidths_most``, the largest distance;
    - for each parameter group of each optimizer, the root mean square of its gradients and of its steps, such as
      ``filters/gradient`` and ``filters/step`` (`learnable_frontends.analysis.OptimizerMonitor`).

    Loggers that accept figures also get four plots: the centers over the epochs so far, the distance that each filter
    has moved, the responses, and the summed response before training and now. The centers of past epochs are saved in
    the checkpoint, so that the plots of a resumed run are complete.

    Args:
        frontend: Name of the module's attribute that holds the front-end; dots lead into submodules.
        every: Number of epochs from plot to plot; 0 means no plots.

    Raises:
        ValueError: If ``every`` is negative.
        TypeError: If the attribute is not a front-end when training starts.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> monitor = FrontendMonitor("frontend", every=5)
        >>> trainer = Trainer(callbacks=[monitor], logger=False, accelerator="cpu")
    """

    def __init__(self, frontend: str = "frontend", every: int = 1) -> None:
        if every < 0:
            raise ValueError(f"every must be at least 0, got {every} (0 means no plots)")
        self.frontend, self.every = frontend, every
        self.centers: list[Tensor] = []
        self._monitors: list[OptimizerMonitor] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store the centers before training, and start to watch the optimizers."""
        if not self.centers:
            self.centers.append(self._find(pl_module).center_frequencies.detach().cpu())
        self._monitors = [OptimizerMonitor(optimizer) for optimizer in trainer.optimizers]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the numbers of an epoch and draw its plots."""
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
                pyplot.close(figure)  # not every logger closes it

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching the optimizers."""
        del trainer, pl_module
        for monitor in self._monitors:
            monitor.close()
        self._monitors = []

    def state_dict(self) -> dict[str, Any]:
        """Return the centers of the epochs so far, for the checkpoint."""
        return {"centers": self.centers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the centers of the epochs so far from a checkpoint."""
        self.centers = list(state_dict["centers"])

    def figures(self, trainer: Trainer, pl_module: LightningModule) -> Iterator[tuple[str, Any]]:
        """Yield the plots of an epoch, each with its name. A subclass may add others."""
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
