"""Time of front-ends in deployed forms, as ratios to torch's own call, and how close they come to it.

Forward pass without gradients: frozen filters, spectra by matrix products, the compiled graph, and ONNX in onnxruntime
with its own transform and with matrix products. Every round runs all forms once, in random order; a ratio is the median
over the rounds. Needs the extra [onnx] and, for the compiled graph, a C++ compiler. Prints the tables; writes
export.json and export.md to --out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in benchmarks/frontends.py

import torch
from torch import Tensor

from benchmarks import measuring
from benchmarks.frontends import WORKLOADS, Workload, cos_gauss
from benchmarks.measuring import interleave, milliseconds, ratio, table, threads
from learnable_frontends import Frontend, LearnableMelFilterbank, MelFrontend, MultiHeadRelevance

EAGER = "torch"
FRONTENDS = ("mel", "learnable mel", "cos-Gauss", "cos-Gauss + 2 heads")
QUICK = {"W1": Workload(2, 4000, 8000, 8, 200, 80, 129)}


def build(name: str, size: Workload) -> Frontend:
    """Make one of the front-ends of the tables."""
    if name in ("mel", "learnable mel"):
        family = MelFrontend if name == "mel" else LearnableMelFilterbank
        return family(size.sample_rate, size.n_filters, win_length=size.win_length, hop_length=size.hop_length)
    return cos_gauss(size) if name == "cos-Gauss" else MultiHeadRelevance(cos_gauss(size))


def in_onnx(frontend: Frontend, waveform: Tensor, n: int, folder: Path) -> Callable[[], Tensor]:
    """Export, and give a call that runs it in onnxruntime."""
    import onnxruntime

    path = folder / "frontend.onnx"
    dynamic = ({0: "batch", 1: "time"},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own
        program = torch.onnx.export(frontend, (waveform,), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    program.save(path)  # type: ignore[union-attr]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: waveform.numpy()}
    return lambda: torch.from_numpy(session.run(None, inputs)[0])


def forms(name: str, size: Workload, n: int, folder: Path, *, compiled: bool) -> dict[str, Callable[[], Tensor]]:
    """Every form of a front-end as a call on the same audio, torch's own first."""
    waveform = size.waveform()

    def call(module: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        return lambda: module(waveform)

    plain = build(name, size).eval()
    state = plain.state_dict()

    def same() -> Frontend:
        frontend = build(name, size).eval()
        frontend.load_state_dict(state)
        return frontend

    calls = {EAGER: call(plain), "frozen": call(same().freeze())}
    calls["frozen, matmul"] = call(same().freeze().set_transform("matmul"))
    if compiled:
        torch._dynamo.reset()
        calls["compiled"] = call(torch.compile(same(), fullgraph=True, dynamic=True))
    calls["ONNX, fft"] = in_onnx(same().freeze(), waveform, n, folder)
    calls["ONNX, matmul"] = in_onnx(same().freeze().set_transform("matmul"), waveform, n, folder)
    return calls


@torch.no_grad()
def compare(workloads: dict[str, Workload], numbers: list[int], rounds: int, *, quick: bool) -> list[dict[str, Any]]:
    """Rows of the tables; ``quick`` leaves out what takes long to compile."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for label, size in workloads.items():
            for n in numbers:
                torch.set_num_threads(n)
                for name in FRONTENDS[-1:] if quick else FRONTENDS:
                    calls = forms(name, size, n, Path(folder), compiled=not quick)
                    expected = calls[EAGER]()
                    errors = {form: float((run() - expected).abs().max()) for form, run in calls.items()}
                    times = interleave({**calls}, rounds)
                    rows += [
                        {
                            "workload": label,
                            "threads": n,
                            "frontend": name,
                            "form": form,
                            "ratio": ratio(times, form, EAGER),
                            "ms": milliseconds(times, form),
                            "error": errors[form],
                        }
                        for form in calls
                    ]
    return rows


def tables(report: dict[str, Any]) -> str:
    """All tables as Markdown."""
    machine, parts = report["machine"], []
    for workload, n in dict.fromkeys((row["workload"], row["threads"]) for row in report["rows"]):
        rows = [row for row in report["rows"] if (row["workload"], row["threads"]) == (workload, n)]
        names = list(dict.fromkeys(row["frontend"] for row in rows))
        body = []
        for form in dict.fromkeys(row["form"] for row in rows):
            own = [row for row in rows if row["form"] == form]
            body.append([form, *(f"{row['ratio']:.3g}" for row in own), f"{max(row['error'] for row in own):.0e}"])
        title = f"**{workload}, {threads(n)}**: {report['workloads'][workload]}; time / torch's"
        parts.append(f"{title}\n\n{table(['form', *names, 'largest difference'], body)}")
    parts.append(
        f"{measuring.described(machine, onnxruntime=report['onnxruntime'])} Ratios are medians over {report['rounds']} "
        "rounds in which all ran in turn; differences are of log features.\n"
    )
    return "\n".join(parts)


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = measuring.arguments(__doc__, rounds=30).parse_args(argv)
    import onnxruntime

    workloads, numbers, rounds = WORKLOADS, options.threads, options.rounds
    if options.quick:
        workloads, numbers, rounds = QUICK, [1], 2
    report: dict[str, Any] = {
        "machine": measuring.machine(),
        "onnxruntime": onnxruntime.__version__,
        "workloads": {label: str(size) for label, size in workloads.items()},
        "rounds": rounds,
        "rows": compare(workloads, numbers, rounds, quick=options.quick),
    }
    measuring.write(options.out, "export", report, tables(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
