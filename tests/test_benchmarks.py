import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "frontends.py"
FRONTENDS = {
    "reference mel",
    "reference mel, real² + imag²",
    "floor",
    "mel",
    "cos-Gauss",
    "sinc",
    "cos-Gauss + 2 heads",
    "literal convolution",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    # A process of its own: the script sets how OpenMP waits, which counts only before torch is imported.
    out = tmp_path_factory.mktemp("benchmark")
    command = [sys.executable, "-W", "error", str(SCRIPT), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads((out / "frontends.json").read_text()), done.stdout


def test_benchmark_has_a_row_for_each_front_end_workload_and_number_of_threads(written):
    _, report, _ = written
    rows = {(row["workload"], row["threads"], row["frontend"]) for row in report["rows"]}
    assert rows == {(w, n, name) for w in ("W1", "W2") for n in (1, 2) for name in FRONTENDS}
    assert all(row[mode]["ms"][1] > 0 for row in report["rows"] for mode in ("forward", "forward+backward"))
    for n in ("1", "2"):
        assert list(report["taps"][n]) == ["705", "1001", "1501", "2001", "3001", "4001"]
        assert list(report["doubled"][n]) == ["nothing", "samples", "n_filters", "batch"]


def test_benchmark_memory_of_the_literal_layer_holds_its_activation(written):
    _, report, _ = written
    literal = next(row for row in report["rows"] if row["frontend"] == "literal convolution")
    frames, filters, outputs = 1 + 1600 // 160, 40, 400 + 401 - 1  # W1 with --quick: one clip of 1600 samples
    assert literal["peak_mib"] >= frames * filters * outputs * 4 / 2**20


def test_benchmark_judges_every_target_and_prints_what_it_writes(written):
    out, report, printed = written
    assert len(report["targets"]) == 2 * 2 * 4 + 2 + 2  # time and memory of two families; literal; taps
    assert (out / "frontends.md").read_text() in printed
    assert (out / "frontends.svg").stat().st_size > 0
