"""Batch normalization over the clips of all processes, on CPUs too: there torch's own refuses to."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from lightning.pytorch.plugins import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):
    """`torch.nn.BatchNorm2d` whose statistics in training are of the inputs of all processes.

    Processes may have inputs of different sizes.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize each map: ``(batch, maps, ...)`` to the same shape."""
        if not self.training:
            normal: Tensor = super().forward(input)
            return normal
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.dim())]
        values = input.float()
        count = values.new_tensor(float(values.numel() // values.shape[1]))
        total = _SumOverProcesses.apply(torch.cat([values.sum(axes), count[None]]))  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean = total[:-1] / count
        centered = values - mean.view(shape)
        variance = _SumOverProcesses.apply(centered.square().sum(axes)) / count  # type: ignore[no-untyped-call]
        batches, running_mean, running_var = self.num_batches_tracked, self.running_mean, self.running_var
        if batches is not None and running_mean is not None and running_var is not None:
            with torch.no_grad():
                batches += 1
                share = 1 / float(batches) if self.momentum is None else self.momentum
                running_mean.lerp_(mean, share)
                running_var.lerp_(variance * count / (count - 1), share)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shift = torch.zeros_like(scale) if self.bias is None else self.bias
        return torch.addcmul(shift.view(shape), centered, scale.view(shape)).to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"input must be (batch, maps, ...), got shape {tuple(input.shape)}")


class SyncBatchNorms(TorchSyncBatchNorm):
    """What ``--trainer.sync_batchnorm true`` does: torch's own layers on accelerators, `SyncBatchNorm` on CPUs."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace every batch normalization of a model."""
        if any(parameter.device.type != "cpu" for parameter in model.parameters()):
            return super().apply(model)
        for name, child in model.named_children():
            if isinstance(child, _BatchNorm):
                affine, tracked = child.affine, child.track_running_stats
                layer = SyncBatchNorm(child.num_features, child.eps, child.momentum, affine, tracked)
                for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                    setattr(layer, tensor, getattr(child, tensor))
                setattr(model, name, layer.train(child.training))
            else:
                self.apply(child)
        return model


class _SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        total = tensor.detach().clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total
