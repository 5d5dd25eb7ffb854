import copy
import json
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import probes
from benchmarks.adapters import LIBRARIES, Library
from benchmarks.relevance import judge

ROOT = Path(__file__).parents[1]
FRONTENDS = {
    "reference mel",
    "reference mel, real² + imag²",
    "floor",
    "mel",
    "learnable mel",
    "Gaussian",
    "cos-Gauss",
    "sinc",
    "Gabor",
    "cos-Gauss, n_fft=win_length",
    "sinc, n_fft=win_length",
    "Gabor, n_fft=win_length",
    "cos-Gauss + 2 heads",
    "literal convolution",
}


def run(name, out, *options, file=None):
    # A process of its own: the scripts set how OpenMP waits, which counts only before torch is imported.
    command = [sys.executable, "-W", "error", "-m", f"benchmarks.{name}", "--quick", "--out", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads((out / f"{file or name}.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return run("frontends", tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def relevance(tmp_path_factory):
    return run("relevance", tmp_path_factory.mktemp("relevance"))


def test_benchmark_has_a_row_for_each_front_end_workload_and_number_of_threads(written):
    _, report, _ = written
    rows = {(row["workload"], row["threads"], row["frontend"]) for row in report["rows"]}
    assert rows == {(w, n, name) for w in ("W1", "W2") for n in (1, 2) for name in FRONTENDS}
    assert all(row[mode]["ms"][1] > 0 for row in report["rows"] for mode in ("forward", "forward+backward"))
    for n in ("1", "2"):
        assert list(report["taps"][n]) == ["705", "1001", "1501", "2001", "3001", "4001"]
        assert list(report["short taps"][n]) == list(report["taps"][n])
        assert list(report["doubled"][n]) == ["nothing", "samples", "n_filters", "batch"]


def test_benchmark_memory_of_the_literal_layer_holds_its_activation(written):
    _, report, _ = written
    literal = next(row for row in report["rows"] if row["frontend"] == "literal convolution")
    frames, filters, outputs = 1 + 1600 // 160, 40, 400 + 401 - 1  # W1 with --quick: one clip of 1600 samples
    assert literal["peak_mib"] >= frames * filters * outputs * 4 / 2**20


def test_benchmark_judges_every_target_and_prints_what_it_writes(written):
    out, report, printed = written
    # Time and memory of two exact families and of two drawn ones, time of three short ones; literal; taps, twice.
    assert len(report["targets"]) == 2 * 2 * (4 + 4 + 3) + 2 + 2 * 2
    assert (out / "frontends.md").read_text() in printed
    assert (out / "frontends.svg").stat().st_size > 0


def test_benchmark_on_a_device_has_a_row_for_each_front_end(tmp_path):
    _, report, printed = run("frontends", tmp_path, "--device", "cpu", file="frontends-cpu")
    assert {row["frontend"] for row in report["rows"]} == FRONTENDS - {"literal convolution"}
    assert all(row["peak_mib"] > 0 and row["forward+backward"]["ms"][1] > 0 for row in report["rows"])
    assert (tmp_path / "frontends-cpu.md").read_text() in printed


def test_relevance_benchmark_measures_each_allocator_in_a_process_that_has_it(relevance):
    _, report, _ = relevance
    settings = report["settings"]
    places = [(allocator, n) for allocator in ("default", "retaining") for n in (1, 2)]
    assert [(row["allocator"], row["threads"]) for row in settings] == places
    retaining = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    assert [row["environment"] for row in settings] == [{}, {}, retaining, retaining]


def test_relevance_benchmark_compares_equal_things(relevance):
    _, report, _ = relevance
    for row in report["settings"][2:]:
        assert len(row["variants"]) == 7
        assert max(variant["difference"] for variant in row["variants"].values()) < 1e-5  # float32, sums of 50 terms


def test_relevance_benchmark_memory_of_the_plain_formulation_holds_its_hidden_units(relevance):
    _, report, _ = relevance
    clips, bands, frames, hidden = 2, 80, 43, 50  # with --quick
    for row in report["settings"]:
        assert row["heads"]["mib"]["plain"] >= clips * bands * frames * hidden * 4 / 2**20


def test_relevance_benchmark_judges_every_target_and_prints_what_it_writes(relevance):
    out, report, printed = relevance
    assert len(report["targets"]) == 4 * 3 + 2 * 4  # time, memory, front-end; with one allocator, one head and doubled
    assert report["targets"] == judge(report["settings"])
    assert (out / "relevance.md").read_text() in printed
    assert (out / "relevance.svg").stat().st_size > 0


@pytest.mark.parametrize(
    ("place", "keys", "name", "limit", "at_least"),
    [
        (0, ("heads", "forward+backward", "plain_to_ours"), "time, plain / ours >= 3", 3, True),
        (2, ("heads", "forward+backward", "plain_to_ours"), "time, plain / ours >= 1.5", 1.5, True),
        (0, ("heads", "memory_ratio"), "peak memory, ours / plain <= 0.1", 0.1, False),
        (0, ("frontend", "ratio"), "time, front-end with 2 heads / filterbank <= 1.8", 1.8, False),
        (2, ("variants", "80 heads", "to_one_head"), "time, 80 heads / 1 head <= 2", 2, False),
        (2, ("doubled", "frames"), "time, twice the frames / once <= 2.3", 2.3, False),
    ],
)
def test_relevance_benchmark_judges_by_the_numbers(relevance, place, keys, name, limit, at_least):
    _, report, _ = relevance
    for value, met in ((0.99 * limit, not at_least), (limit, True), (1.01 * limit, at_least)):
        row = copy.deepcopy(report["settings"][place])
        reduce(getitem, keys[:-1], row)[keys[-1]] = value
        judged = {target["target"]: target for target in judge([row])}[name]
        assert (judged["value"], judged["met"]) == (value, met)


def test_the_classifier_is_timed_by_its_number_of_filters(tmp_path):
    _, report, printed = run("classifier", tmp_path, "--threads", "1")
    assert [row["filters"] for row in report["rows"]] == [8, 16, 32, 64]
    few, more = report["rows"][1], report["rows"][3]
    assert all(row[mode]["ms"][0] > 0 for row in report["rows"] for mode in ("forward", "forward+backward"))
    assert few["forward"]["ratio"] > 0
    assert "ratio" not in more["forward"]
    assert (tmp_path / "classifier.md").read_text() in printed


def test_precision_is_measured_in_every_form(tmp_path):
    _, report, printed = run("precision", tmp_path)
    (row,) = report["rows"]
    assert row["frontend"] == "MelFrontend"
    assert 0 < row["errors"]["float32"] < 1e-5
    assert row["errors"]["autocast, bfloat16"] < 1e-5
    assert 1e-3 < row["errors"]["float16 waveform"] < row["errors"]["bfloat16 module"] < 0.1
    assert "| MelFrontend | " in printed


def test_deployed_forms_are_measured_and_agree(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    _, report, printed = run("export", tmp_path)
    forms = {row["form"] for row in report["rows"]}
    assert forms == {"torch", "frozen", "frozen, matmul", "ONNX, fft", "ONNX, matmul"}
    assert all(row["error"] < (2e-3 if row["form"] == "ONNX, fft" else 1e-4) for row in report["rows"])
    assert all(row["ratio"] == 1 for row in report["rows"] if row["form"] == "torch")
    assert "largest difference" in printed


class Sorted(nn.Module):
    """Features that depend on the rest of the clip and on the number of clips: what a probe has to find."""

    def __init__(self):
        super().__init__()
        self.centers = nn.Parameter(torch.linspace(100.0, 7000.0, 40))

    def forward(self, waveform):
        frames = waveform.unfold(-1, 400, 160).square().mean(-1, keepdim=True).mT
        return frames / waveform.abs().amax(-1)[:, None, None] + self.centers[:, None] / len(waveform)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    return run("libraries", tmp_path_factory.mktemp("libraries"))


def test_libraries_are_compared_or_left_out_with_a_reason(libraries):
    out, report, printed = libraries
    assert {*report["libraries"], *report["skipped"]} == set(LIBRARIES)
    assert all(reason for reason in report["skipped"].values())
    for rows in (report["features"], report["deployment"]):
        assert all(list(cells) == report["libraries"] for cells in rows.values())
    assert (out / "libraries.md").read_text() in printed


def test_libraries_probes_find_what_this_package_promises(libraries):
    _, report, _ = libraries
    ours = {row: cells["learnable_frontends"] for row, cells in (report["features"] | report["deployment"]).items()}
    lacks = {"constant-Q transform", "resampling", "ONNX of any length"}  # the last needs the extra [onnx]
    assert {row for row, (cell, _) in ours.items() if cell == "no"} <= lacks
    assert all(row["forward+backward"]["ms"][1] > 0 for row in report["cost"])


def test_libraries_probes_tell_no_from_yes():
    wrong = Library("json", "numpy", Sorted, {}, centers=lambda module: module.centers)
    assert probes.padded(wrong)[0] == "no"
    assert probes.centers_stay(wrong) == ("no", "ascending: False, in band: False")
    assert probes.streams(wrong)[0] == "no"
    assert probes.starts_as_mel(wrong)[0] == "no"
    assert probes.defined(r"JSOND\w+")(wrong) == ("yes", "JSONDecodeError, JSONDecoder")
    assert probes.defined("Resample")(wrong) == ("no", "")


def test_libraries_probe_that_raises_is_a_no_with_the_error():
    def broken(_):
        raise ValueError("first line\nsecond")

    assert probes.ask(broken, None) == ("no", "ValueError: first line")
