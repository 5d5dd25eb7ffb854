"""Errors of features in half precision, against the same front-end in float64: by family and by preset.

Each front-end takes silence, a square wave at full scale and noise (standard deviation 0.1), two seconds each: in
float32; under autocast; with waveforms of a smaller type; and converted itself. The error is the largest of all
features, in units of the features' own standard deviation on the noise, so that logarithms, decibels and scaled
features compare. Nothing is timed. Writes precision.json and precision.md to --out.
"""

from __future__ import annotations

import copy
import math
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in benchmarks/frontends.py

import torch
from torch import Tensor

from benchmarks import measuring
from benchmarks.measuring import table
from learnable_frontends import (
    PCEN,
    CosGaussFilterbank,
    FreeFilterbank,
    FreeResponseFilterbank,
    Frontend,
    GaborFilterbank,
    GammatoneFilterbank,
    GaussianFilterbank,
    LearnableMelFilterbank,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
    presets,
)

RATE, FILTERS = 16000, 40
FAMILIES: dict[str, Callable[[], Frontend]] = {
    kind.__name__: lambda kind=kind: kind(RATE, FILTERS)  # type: ignore[misc]
    for kind in (
        MelFrontend,
        LearnableMelFilterbank,
        GaussianFilterbank,
        CosGaussFilterbank,
        SincFilterbank,
        GaborFilterbank,
        GammatoneFilterbank,
        FreeFilterbank,
        FreeResponseFilterbank,
    )
}
FAMILIES["MelFrontend, PCEN"] = lambda: MelFrontend(RATE, FILTERS, compression=PCEN(FILTERS))
FAMILIES["CosGaussFilterbank, 2 heads"] = lambda: MultiHeadRelevance(CosGaussFilterbank(RATE, FILTERS))
OTHERS = {"kaldi_framing", "povey_window"}  # of presets, which are no front-ends
PRESETS: dict[str, Callable[[], Frontend]] = {
    f"presets.{name}": getattr(presets, name) for name in presets.__all__ if name not in OTHERS
}
HALVES = (torch.float16, torch.bfloat16)


def sounds(sample_rate: float) -> dict[str, Tensor]:
    """Waveforms in float64, by name."""
    time = torch.arange(round(2 * sample_rate), dtype=torch.float64) / sample_rate
    noise = 0.1 * torch.randn(len(time), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {"silence": 0 * time, "square": torch.sin(2 * math.pi * 440 * time).sign(), "noise": noise}


def forms(frontend: Frontend) -> dict[str, Callable[[Tensor], Tensor]]:
    """Ways to call a front-end with less precision, on waveforms in float64."""
    calls: dict[str, Callable[[Tensor], Tensor]] = {"float32": lambda waveform: frontend(waveform.float())}

    def automatic(waveform: Tensor, dtype: torch.dtype) -> Tensor:
        with torch.autocast("cpu", dtype):
            features: Tensor = frontend(waveform.float())
        return features

    for dtype in HALVES:
        name, converted = str(dtype).removeprefix("torch."), copy.deepcopy(frontend).to(dtype)
        calls[f"autocast, {name}"] = lambda waveform, dtype=dtype: automatic(waveform, dtype)  # type: ignore[misc]
        calls[f"{name} waveform"] = lambda waveform, dtype=dtype: frontend(waveform.to(dtype))  # type: ignore[misc]
        calls[f"{name} module"] = lambda waveform, dtype=dtype, module=converted: module(waveform.to(dtype))  # type: ignore[misc]
    return calls


@torch.no_grad()
def errors(make: Callable[[], Frontend]) -> dict[str, float]:
    """Largest error of each form, infinite if a feature is not finite."""
    torch.manual_seed(0)
    frontend = make().eval()
    exact = copy.deepcopy(frontend).double()
    waveforms = sounds(frontend.sample_rate)
    expected = {name: exact(waveform) for name, waveform in waveforms.items()}
    unit, found = float(expected["noise"].std()), {}
    for form, run in forms(frontend).items():
        outputs = {name: run(waveform).double() for name, waveform in waveforms.items()}
        worst = max(float((outputs[name] - expected[name]).abs().max()) for name in waveforms)
        finite = all(bool(output.isfinite().all()) for output in outputs.values())
        found[form] = worst / unit if finite else math.inf
    return found


def tables(report: dict[str, Any]) -> str:
    """The table as Markdown."""
    names = list(report["rows"][0]["errors"])
    body = [[row["frontend"], *(f"{row['errors'][name]:.0e}" for name in names)] for row in report["rows"]]
    machine = measuring.described(report["machine"])
    return f"{table(['front-end', *names], body)}\n{machine}\n"


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = measuring.arguments(__doc__, rounds=1).parse_args(argv)
    chosen = dict([*FAMILIES.items()][:1]) if options.quick else FAMILIES | PRESETS
    rows = [{"frontend": name, "errors": errors(make)} for name, make in chosen.items()]
    report = {"machine": measuring.machine(), "rows": rows}
    measuring.write(options.out, "precision", report, tables(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
