"""The function that copies a model, freezes and exports the copy, and runs the file to compare it with the model."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from learnable_frontends._checks import number
from learnable_frontends.deployment.description import describe
from learnable_frontends.deployment.exporters import EXPORTERS, Guarded, flat, quietly
from learnable_frontends.frontend import Frontend

__all__ = ["Deployed", "deploy"]

KINDS = {"onnx": ".onnx", "program": ".pt2", "package": ".pt2"}  # suffixes of the files
EXTRA = 'onnx, onnxruntime and onnxscript are needed: pip install "learnable-frontends[onnx]"'


@dataclass(frozen=True)
class Deployed:
    """A file that `deploy` wrote, and how it compares with the model.

    Attributes:
        path: The file.
        kind: ``"onnx"``, ``"program"`` or ``"package"``.
        difference: Largest absolute difference between the outputs of the file and those of the model. If the largest
            number of an output exceeds one, the difference of that output is divided by it.
        shapes: Shapes of the waveforms on which they were compared.
        metadata: Metadata in the file, by name.
    """

    path: Path
    kind: str
    difference: float
    shapes: tuple[tuple[int, int], ...]
    metadata: dict[str, str]

    def __str__(self) -> str:
        clips = ", ".join(f"{batch} x {time}" for batch, time in self.shapes)
        return f"{self.path}: differs from the model by at most {self.difference:.1e} (clips x samples: {clips})"


def deploy(
    model: nn.Module,
    path: str | Path,
    kind: str | None = None,
    *,
    lengths: bool = False,
    seconds: float = 1.0,
    tolerance: float = 1e-3,
) -> Deployed:
    """Export a model that takes waveforms to a file, run the file on waveforms of other lengths, and compare.

    A copy of the model, on the CPU, in evaluation mode and with frozen filters, is exported for any number of clips and
    samples. For ONNX, spectra are computed by matrix products, since the transform of onnxruntime is slow and inexact.
    The model itself does not change. A file whose outputs differ from the model's is not kept. A clip that is too short
    for the model is an error of the runtime, of an index that is out of bounds; ``min_samples`` in the metadata is the
    shortest.

    Args:
        model: A front-end, or any module with front-ends inside, from ``(batch, time)`` to a tensor, or to a tuple,
            list or dictionary of tensors.
        path: File to write.
        kind: ``"onnx"``, for onnxruntime and others; ``"program"``, for `torch.export.load`; or ``"package"``, for
            `torch._inductor.aoti_load_package`: machine code of AOTInductor, which needs a C++ compiler. ``None``
            chooses by the suffix: ``.onnx``, or ``.pt2`` for a program.
        lengths: Whether the file takes the number of samples of each clip as a second input, like `Frontend.forward`.
        seconds: Length of the waveforms that are traced. The file is run on waveforms of up to twice this length. For a
            model that takes only one length, give that length.
        tolerance: Largest difference that is accepted; see `Deployed.difference`.

    Returns:
        The file, its difference and its metadata, which are the sample rate, the input, its shortest clip, and the
        bands and hop of each front-end. An ONNX file holds them as ``metadata_props``, a program as an extra file
        ``frontend.json``.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If the model has no front-end, front-ends of several sample rates, or parameters that are not
            float32; or if another argument breaks its rule.
        ModuleNotFoundError: If ``kind="onnx"`` and the extra ``[onnx]`` is not installed.
        RuntimeError: If the model cannot be exported for any number of clips and samples; or if the outputs of the
            file differ by more than ``tolerance``, or are not finite where the model's are.

    Example:
        >>> import tempfile
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, n_filters=40)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     deployed = deploy(bank, f"{folder}/frontend.pt2")
        >>> deployed.kind, deployed.difference < 1e-5, deployed.metadata["sample_rate"]
        ('program', True, '16000')
    """
    path = Path(path)
    kind = _kind(path, kind)
    frontends, sample_rate = _frontends(model)
    seconds = number("seconds", seconds, above=0, hint="of the waveforms that are traced")
    tolerance = number("tolerance", tolerance, above=0)
    copied = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, Frontend):
            module.freeze()
            if kind == "onnx" and getattr(module, "padding", None) != "valid":  # which convolves
                module._set_transform("matmul")
    traced = _inputs(2, round(seconds * sample_rate), lengths=lengths)
    copied(*traced)  # an error in the model or the length is raised by the model itself
    least = _shortest(copied, traced)
    metadata = describe(frontends, least)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".deploy-") as folder:
        made = Path(folder, path.name)
        with quietly():
            try:
                run = EXPORTERS[kind](Guarded(copied, *least), traced, made, metadata, sample_rate)
            except Exception as error:  # each exporter, and each version of it, raises errors of its own
                raise RuntimeError(
                    f"{type(model).__name__} cannot be exported as {kind} for any number of clips and samples; torch "
                    f"raised: {error}"
                ) from error
            difference, shapes = _compare(copied, run, round(seconds * sample_rate), lengths=lengths)
        if not difference <= tolerance:
            raise RuntimeError(
                f"the {kind} of {type(model).__name__} must differ from the model by at most {tolerance}, "
                f"got {difference:.2e} (nothing is written)"
            )
        made.replace(path)
    return Deployed(path, kind, difference, shapes, metadata)


def _kind(path: Path, kind: str | None) -> str:
    of_suffix = {suffix: name for name, suffix in reversed(KINDS.items()) if name != "package"}
    if kind is None:
        if path.suffix not in of_suffix:
            raise ValueError(f"path must end in {' or '.join(of_suffix)}, got {str(path)!r} (or name a kind)")
        kind = of_suffix[path.suffix]
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if path.suffix != KINDS[kind]:
        raise ValueError(f"path must end in {KINDS[kind]} with kind={kind!r}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"path must be in an existing folder, got {str(path)!r}")
    if kind == "onnx":
        try:
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{EXTRA} (no module named {error.name})", name=error.name) from error
    return kind


def _frontends(model: nn.Module) -> tuple[dict[str, Frontend], float]:
    """Return the outermost front-ends of a model by name, and their sample rate."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    found: dict[str, Frontend] = {}
    for name, module in model.named_modules():
        if isinstance(module, Frontend) and not any(name.startswith(f"{outer}.") or not outer for outer in found):
            found[name] = module
    if not found:
        raise ValueError(f"model must be or have a front-end, got {type(model).__name__} without one")
    if len(rates := {frontend.sample_rate for frontend in found.values()}) > 1:
        raise ValueError(f"model must have front-ends of one sample rate, got {sorted(rates)} Hz")
    others = {p.dtype for p in model.parameters() if p.is_floating_point() and p.dtype != torch.float32}
    if others:
        raise ValueError(f"model must be float32, got {', '.join(sorted(map(str, others)))} (model.float())")
    return found, float(rates.pop())


def _inputs(batch: int, time: int, *, lengths: bool) -> tuple[Tensor, ...]:
    """Return noise at several levels, so that no floor or ceiling hides a difference, and lengths if asked for."""
    generator = torch.Generator().manual_seed(time)
    waveform = 0.1 * torch.randn(batch, time, generator=generator)
    waveform *= torch.tensor([1.0, 1e-2, 3.0, 0.0]).repeat(batch)[:batch, None]
    shares = torch.linspace(1.0, 0.75, batch)
    return (waveform, (shares * time).long()) if lengths else (waveform,)


def _shortest(model: nn.Module, traced: tuple[Tensor, ...]) -> list[int]:
    """Return how many samples waveforms must have, and how many each clip's own length must be, if it is an input."""
    waveform, *lengths = traced
    time = waveform.shape[1]
    found = [_least(lambda n: model(waveform[:1, :n], *([torch.tensor([n])] if lengths else [])), time)]
    if lengths:
        found.append(_least(lambda n: model(waveform, torch.tensor([time, n])), time))
    return found


def _least(run: Callable[[int], object], most: int) -> int:
    """Return the smallest number that a function takes, at most ``most``, which it takes."""
    refused, taken = 0, most
    with torch.no_grad():
        while taken - refused > 1:
            middle = (refused + taken) // 2
            try:
                run(middle)
            except (ValueError, RuntimeError):
                refused = middle
            else:
                taken = middle
    return taken


def _compare(
    model: nn.Module, run: Callable[..., list[Tensor]], time: int, *, lengths: bool
) -> tuple[float, tuple[tuple[int, int], ...]]:
    """Run model and file on the traced shape and on others; return the largest difference, and the shapes."""
    worst, shapes = 0.0, []
    for batch, factor in ((2, 1.0), (1, 1.0), (3, 1.37), (5, 0.83), (1, 2.0)):
        inputs = _inputs(batch, max(1, round(factor * time)), lengths=lengths)
        try:
            expected = flat(model(*inputs))
        except (ValueError, RuntimeError):
            continue  # some models take only one length, or none this short
        shapes.append((batch, inputs[0].shape[-1]))
        outputs = run(*inputs)
        for output, value in zip(outputs, expected, strict=True):
            if output.shape != value.shape or not bool((output.isfinite() == value.isfinite()).all()):
                return math.inf, tuple(shapes)
            own = (output - value).double().abs().nan_to_num(0.0)  # NaN where neither is finite
            scale = max(1.0, float(value.double().nan_to_num(0.0, 0.0, 0.0).abs().amax())) if value.numel() else 1.0
            worst = max(worst, float(own.amax()) / scale if own.numel() else 0.0)
    return worst, tuple(shapes)
