"""The probes of benchmarks/libraries.py: one a row, from a library's entry in benchmarks/adapters.py to a cell."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.adapters import FILTERS, HOP, RATE, WINDOW, Library
from learnable_frontends import MelFrontend

__all__ = ["DEPLOYMENT", "FEATURES", "INSTALLED", "ask", "quiet"]

CLOSE = 1e-3  # of the standard deviation of the features: rounding of float32 and of ONNX's transform stays below
Cell = tuple[str, str]  # what stands in the table, and a note
Probe = Callable[[Library], Cell]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of libraries, and what the exporter prints from C++, off the screen."""
    screen = os.dup(1)
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
        warnings.simplefilter("ignore")
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(screen, 1)
            os.close(screen)


def noise(batch: int, samples: int) -> Tensor:
    """Make white noise, the same in each run."""
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


def differ(a: Tensor, b: Tensor) -> float:
    """Return the largest difference in units of the deviation of ``b``."""
    return float((a - b).abs().max() / b.std()) if a.shape == b.shape else float("inf")


def agree(a: Tensor, b: Tensor) -> Cell:
    """Judge whether features are the same numbers."""
    return "yes" if differ(a, b) < CLOSE else "no", f"largest difference {differ(a, b):.0e} deviations"


def ask(probe: Callable[[Any], Cell], asked: Any) -> Cell:
    """Run a probe; an error is a no."""
    try:
        with quiet():
            return probe(asked)
    except Exception as raised:
        error: BaseException = raised
        while error.__cause__ is not None:
            error = error.__cause__
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        return "no", f"{type(error).__name__}: {first[:120]}"


def clips(features: Tensor, library: Library) -> Tensor:
    """Move the axis of time last."""
    return features.movedim(library.time_axis, -1)


def defined(pattern: str) -> Probe:
    """Make a probe for public names that are defined in a library's source."""

    def probe(library: Library) -> Cell:
        spec = util.find_spec(library.package)
        source = "\n".join(path.read_text() for path in Path(str(spec and spec.origin)).parent.rglob("*.py"))
        names = set(re.findall(rf"^(?:class|def) ({pattern})\b", source, re.MULTILINE))
        if library.scope is not None:
            names &= set(library.scope(library.learned()))
        found = sorted(name for name in names if not name.startswith("_"))
        return "yes" if found else "no", ", ".join(found)

    return probe


def learns(library: Library) -> Cell:
    """Tell whether an argument or class of the library makes its filters learn."""
    return "yes" if library.learns else "no", "" if library.learns else "below, its matrix was made a parameter by hand"


def numbers(library: Library) -> Cell:
    """Count what a bank of 40 filters learns."""
    module = library.learned()
    return f"{sum(p.numel() for p in module.parameters() if p.requires_grad):,}", type(module).__name__


def starts_as_mel(library: Library) -> Cell:
    """Compare the weights of the learned bank at its start with the triangles of HTK's mel scale."""
    if library.matrix is None:
        return "no", "no weights of a spectrum"
    weights = library.matrix(library.learned()).detach()
    error = float((weights - MelFrontend(RATE, FILTERS).power_response(WINDOW)).abs().max())
    return "yes" if error < 1e-4 else "no", f"largest difference of a weight {error:.1g} of a peak of 1"


def centers_stay(library: Library) -> Cell:
    """Move parameters by 1 to 1000 of their own deviations and see whether centers ascend within the band."""
    if library.centers is None:
        return "no", "a free matrix has no centers"
    ascend = inside = True
    for seed in range(20):
        generator, module = torch.Generator().manual_seed(seed), library.learned()
        with torch.no_grad():
            for parameter in module.parameters():
                size = 10.0 ** (seed % 4) * parameter.std()
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))
            centers = library.centers(module)
        ascend &= bool((centers.diff() > 0).all())
        inside &= bool(((centers >= 0) & (centers <= RATE / 2)).all())
    return "yes" if ascend and inside else "in band" if inside else "no", f"ascending: {ascend}, in band: {inside}"


@torch.no_grad()
def padded(library: Library) -> Cell:
    """Compare features of a clip in a padded batch with those of the clip alone, frame by frame."""
    alone = noise(1, 9000)
    batch = torch.cat([nn.functional.pad(alone, (0, 7000)), noise(1, 16000)])
    cell: Cell = ("no", "")
    for make in (library.learned, library.zero_padded):
        if make is None:
            continue
        module = make()
        expected = clips(module(alone), library)
        together = module(batch, torch.tensor([9000, 16000]))[0] if library.lengths else module(batch)
        same, note = agree(clips(together[:1], library)[..., : expected.shape[-1]], expected)
        if same == "yes":
            return same if make is library.learned else "zero padding", note
        cell = cell if cell[1] else (same, note)
    return cell


def streams(library: Library) -> Cell:
    """Feed chunks of 100 ms and compare with the whole clip."""
    if library.stream is None:
        return "no", ""
    with torch.no_grad():
        return agree(*library.stream(library.learned(), noise(1, 16000).split(10 * HOP, dim=-1)))


def first_that_works(library: Library, *ways: Callable[[nn.Module], Cell]) -> Cell:
    """Try each way on the learned bank, then on its variant, if it has one; the name of the variant is the cell."""
    errors = []
    for label, make in (("yes", library.learned), *([library.variant] if library.variant else [])):
        for way in ways:
            cell, note = ask(way, make())
            if cell != "no":
                return label if label != "yes" else cell, note
            errors.append(note)
    return "no", "; ".join(dict.fromkeys(errors))


def compiles(library: Library) -> Cell:
    """Compile forward and backward pass as one graph."""

    def way(module: nn.Module) -> Cell:
        waveform = noise(2, 8000)
        expected = module(waveform)
        torch._dynamo.reset()
        features = torch.compile(module, fullgraph=True)(waveform)
        features.sum().backward()
        return agree(features.detach(), expected.detach())

    return first_that_works(library, way)


def on_meta(library: Library) -> Cell:
    """Build without memory, load with ``assign=True`` and run."""
    original, waveform = library.learned(), noise(1, 16000)
    with torch.device("meta"):
        module = library.learned()
    module.load_state_dict(original.state_dict(), assign=True)
    return agree(module(waveform).detach(), original(waveform).detach())


@torch.no_grad()
def export(module: nn.Module, *, dynamo: bool) -> Cell:
    """Export to ONNX and run in onnxruntime with another number of clips and samples."""
    import onnxruntime

    waveform, other, axes = noise(2, 16000), noise(3, 12345), {0: "batch", 1: "time"}
    dynamic: dict[str, Any] = {"dynamic_shapes": (axes,)} if dynamo else {"dynamic_axes": {"waveform": axes}}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "model.onnx"))
        names = ["waveform"]
        torch.onnx.export(module.eval(), (waveform,), path, input_names=names, dynamo=dynamo, verbose=False, **dynamic)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        features = torch.from_numpy(session.run(None, {"waveform": other.numpy()})[0])
    cell, note = agree(features, module(other))
    return cell if dynamo or cell == "no" else "older exporter", note


def exports(library: Library) -> Cell:
    """Export with either of torch's exporters."""
    return first_that_works(library, partial(export, dynamo=True), partial(export, dynamo=False))


def release(library: Library) -> Cell:
    """Read the version that is installed."""
    return metadata.version(library.distribution), ""


def licensed(library: Library) -> Cell:
    """Read the license from what is installed."""
    about = metadata.metadata(library.distribution)
    classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or [] if c.startswith("License")]
    return str(about["License-Expression"] or about["License"] or (classifiers or ["?"])[0].replace(" License", "")), ""


INSTALLED: dict[str, Probe] = {"version": release, "license": licensed}
FEATURES: dict[str, Probe] = {
    "filters learn": learns,
    "numbers that 40 learn": numbers,
    "start exactly as mel": starts_as_mel,
    "sinc or Gabor filters": defined(r"\w*(?:Sinc|Gabor|CosGauss)\w*"),
    "PCEN that learns": defined(r"\w*PCEN"),
    "centers ordered, in band": centers_stay,
    "features of trained models": defined(r"\w*(?:[wW]hisper|BEATs|beats|panns|vggish|yamnet|clap|RNNTBundle)"),
    "plots of filters": defined(r"plot_\w*(?:filter|frequenc|response|kernel)\w*"),
    "constant-Q transform": defined(r"\w*(?:CQT|VQT)\w*"),
    "resampling": defined(r"Resampl\w*"),
    "back to a waveform": defined(r"(?i:griffin_?lim|istft|invert)"),
}
DEPLOYMENT: dict[str, Probe] = {
    "padded batch equals clips": padded,
    "stream equals clip": streams,
    "compiles to one graph": compiles,
    "built on meta": on_meta,
    "ONNX of any length": exports,
}
