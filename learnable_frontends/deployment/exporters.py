"""Exporters, one for each kind of file: each writes a frozen model and returns a function that runs the file."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["EXPORTERS", "Guarded", "flat", "quietly"]

MOST_CLIPS, MOST_SECONDS = 4096, 3600.0  # largest batch that a package takes; the compiler requires limits


class Guarded(nn.Module):
    """A model whose file stops at a clip that is too short for it; a graph alone would read what is not there."""

    ends: Tensor

    def __init__(self, model: nn.Module, shortest: int, shortest_length: int = 0) -> None:
        super().__init__()
        self.model, self.shortest_length = model, shortest_length
        self.register_buffer("ends", torch.tensor([0, shortest - 1]))  # two: compilers know a single number

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Any:
        """Read the last sample that the model needs by a computed index, which runtimes check, and change nothing."""
        absent = waveform.index_select(1, self.ends).isnan().any(1, keepdim=True)
        if lengths is not None:  # of which none may be too short, or longer than the waveforms
            last = torch.where(lengths < self.shortest_length, waveform.shape[1], lengths - 1)
            absent = absent | waveform.gather(1, last[:, None]).isnan()
        waveform = waveform.masked_fill(absent & ~absent, 0.0)
        return self.model(waveform) if lengths is None else self.model(waveform, lengths)


def flat(output: Any) -> list[Tensor]:
    """Return all tensors of an output, in order."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if hasattr(output, "values") else output
    return [tensor for value in values if value is not None for tensor in flat(value)]


def _to_onnx(
    model: nn.Module, inputs: Sequence[Tensor], path: Path, metadata: dict[str, str], _: float
) -> Callable[..., list[Tensor]]:
    import onnxruntime

    names = ["waveform", "lengths"][: len(inputs)]
    axes: tuple[dict[int, str], ...] = ({0: "batch", 1: "time"}, {0: "batch"})
    program: Any = torch.onnx.export(
        model, tuple(inputs), dynamo=True, dynamic_shapes=axes[: len(inputs)], input_names=names, verbose=False
    )
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> list[Tensor]:
        feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(output) for output in session.run(None, feeds)]

    return run


def _to_program(
    model: nn.Module, inputs: Sequence[Tensor], path: Path, metadata: dict[str, str], _: float
) -> Callable[..., list[Tensor]]:
    dynamic = torch.export.Dim.DYNAMIC
    axes = ({0: dynamic, 1: dynamic}, {0: dynamic})
    program = torch.export.export(model, tuple(inputs), dynamic_shapes=axes[: len(inputs)])
    torch.export.save(program, path, extra_files={"frontend.json": json.dumps(metadata)})
    loaded = torch.export.load(path).module()
    return lambda *inputs: flat(loaded(*inputs))


def _to_package(
    model: nn.Module, inputs: Sequence[Tensor], path: Path, metadata: dict[str, str], sample_rate: float
) -> Callable[..., list[Tensor]]:
    batch = torch.export.Dim("batch", min=1, max=MOST_CLIPS)
    time = torch.export.Dim("time", min=inputs[0].shape[1] // 2, max=round(MOST_SECONDS * sample_rate))
    axes: tuple[dict[int, Any], ...] = ({0: batch, 1: time}, {0: batch})
    program = torch.export.export(model, tuple(inputs), dynamic_shapes=axes[: len(inputs)])
    settings = {"aot_inductor.metadata": metadata}
    torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=settings)
    loaded = torch._inductor.aoti_load_package(str(path))
    return lambda *inputs: flat(loaded(*inputs))


EXPORTERS = {"onnx": _to_onnx, "program": _to_program, "package": _to_package}


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the warnings of exporters about their own limitations and deprecations, and compute no gradients."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
