"""Time and memory of every front-end on a device, eager and compiled: what ``benchmarks.frontends --device`` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import MODES, call, interleave, milliseconds, peak_bytes, ratio, spread, table

__all__ = ["described_device", "device_rows", "device_tables"]

FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "eager": lambda module: module,
    "torch.compile": lambda module: torch.compile(module),  # type: ignore[dict-item, return-value]
}


def device_rows(
    modules: dict[str, nn.Module], waveform: Tensor, reference: str, rounds: int, forms: tuple[str, ...] = tuple(FORMS)
) -> list[dict[str, Any]]:
    """Measure modules on the device of the waveform, which they are moved to.

    Args:
        modules: By name.
        waveform: What each of them is called with.
        reference: The module that ratios are to; its eager form for both.
        rounds: Rounds of each measurement, in which all run in turn.
        forms: Names of ``FORMS``.

    Returns:
        A row for each form and module: ratios and milliseconds by mode, and peak memory in MiB.
    """
    device, rows = waveform.device, []
    modules = {name: module.to(device) for name, module in modules.items()}
    for form in forms:
        made = {name: FORMS[form](module) for name, module in modules.items()}
        baseline = f"{reference}, eager"
        together = {**made, baseline: modules[reference]}
        times = {
            mode: interleave({n: _waited(call(m, waveform, mode), device) for n, m in together.items()}, rounds)
            for mode in MODES
        }
        for name, module in made.items():
            row: dict[str, Any] = {"form": form, "frontend": name}
            row["peak_mib"] = _peak(call(module, waveform, MODES[1]), device) / 2**20
            for mode in MODES:
                row[mode] = {"ratio": ratio(times[mode], name, baseline), "ms": milliseconds(times[mode], name)}
            rows.append(row)
    return rows


def device_tables(report: dict[str, Any]) -> str:
    """All tables as Markdown."""
    parts = []
    for form in dict.fromkeys(row["form"] for row in report["rows"]):
        head = ["front-end", *(f"{mode}, ratio" for mode in MODES), *(f"{mode}, ms" for mode in MODES), "MiB"]
        body = [
            [
                row["frontend"],
                *(f"{row[mode]['ratio']:.3g}" for mode in MODES),
                *(spread(row[mode]["ms"]) for mode in MODES),
                f"{row['peak_mib']:.4g}",
            ]
            for row in report["rows"]
            if row["form"] == form
        ]
        parts.append(f"**{form}**: {report['workload']}\n\n{table(head, body)}")
    parts.append(
        f"{report['device']}, torch {report['machine']['torch']}, {report['machine']['date']}. Ratios are to the eager "
        "reference, medians over rounds in which all ran in turn; milliseconds are medians with quartiles; memory is "
        "the peak of what torch had allocated in forward+backward.\n"
    )
    return "\n".join(parts)


def described_device(device: torch.device) -> str:
    """Name a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _waited(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """Run, and wait until the device has done all of it."""

    def run_and_wait() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run_and_wait


def _peak(run: Callable[[], object], device: torch.device) -> int:
    if device.type != "cuda":
        return peak_bytes(run)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)
