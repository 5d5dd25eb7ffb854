import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt, welch
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import compare_frontends
import levers
import paired
import torch
from experiment import _cells, build_parser
from frontends import build_frontend
from overlap import neighbor_overlap
from planted_sounds import TASKS, plant
from schedules import SCHEDULES
from sound_folders import SoundSet
from starts import choose_start
from torch.testing import assert_close
from training import Cell, Recipe, Settings, train
from triangles import TriangularMelFilterbank

from learnable_frontends import CosGaussFilterbank, Frontend, MelFrontend

RATE, COUNT = 16000, 12


@pytest.fixture(scope="module", params=list(TASKS))
def planted(request):
    """Name and task, its clips and their classes."""
    clips, names = plant(request.param, RATE, 1.0, COUNT, seed=0)
    return request.param, TASKS[request.param], clips.astype(float), np.arange(len(clips)) // COUNT, names


def guess(clips, low, high, rates):
    """Class by the strongest of the modulation rates in what a band-pass filter lets through."""
    band = butter(4, (low, high), "bandpass", fs=RATE, output="sos")
    envelopes = np.abs(hilbert(sosfiltfilt(band, clips, axis=-1), axis=-1))
    spectra = np.abs(np.fft.rfft(envelopes - envelopes.mean(-1, keepdims=True), axis=-1))  # bins of 1 Hz
    return spectra[:, list(map(int, rates))].argmax(-1)


def test_the_narrow_band_tells_the_class_and_a_wide_one_does_not(planted):
    _, task, clips, labels, _ = planted
    narrow = guess(clips, task.target - task.width / 2, task.target + task.width / 2, task.rates)
    assert (narrow == labels).mean() > 0.95
    everything = min(task.others) - task.width / 2, max(task.others) + task.width / 2
    assert (guess(clips, *everything, task.rates) == labels).mean() < 0.8
    for other in task.others:
        wrong = guess(clips, other - task.width / 2, other + task.width / 2, task.rates)
        assert (wrong == labels).mean() < 0.6


def test_the_spectrum_does_not_tell_the_class(planted):
    _, task, clips, labels, _ = planted
    frequency, power = welch(clips / clips.std(-1, keepdims=True), RATE, nperseg=RATE // 8)
    near = np.abs(frequency - task.target) < task.width / 2
    levels = 10 * np.log10(power[:, near].mean(-1))
    means = [levels[labels == label].mean() for label in range(4)]
    assert max(means) - min(means) < 2 * levels.std()


def test_clips_are_the_same_for_a_seed_and_have_a_peak_of_one(planted):
    name, _, clips, _, names = planted
    again, _ = plant(name, RATE, 1.0, COUNT, seed=0)
    np.testing.assert_array_equal(again, clips.astype(np.float32))
    assert not np.array_equal(plant(name, RATE, 1.0, COUNT, seed=1)[0], again)
    np.testing.assert_allclose(np.abs(clips).max(-1), 1.0, rtol=1e-6)
    assert len(set(names)) == 4


def test_a_rate_too_low_for_the_task_is_refused():
    with pytest.raises(ValueError, match=r"^sample_rate must be more than 15800 Hz for planted-high, got 8000$"):
        plant("planted-high", 8000, 1.0, 1, seed=0)


def test_a_run_writes_its_tables_and_goes_on(tmp_path, capsys):
    words = f"--out {tmp_path} --synthetic planted-low --limit 10 --epochs 1 --folds 1 2 --variants mel".split()
    chosen = ["mel", "cos-gauss", "cos-gauss, fixed"]
    assert levers.main([*words, *chosen[1:]]) == 0
    assert "in band" in capsys.readouterr().out
    cells = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.pt")}
    assert len(cells) == 6
    assert levers.main([*words, *chosen[1:], "cos-gauss, PCEN"]) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in cells.items())
    with (tmp_path / "levers.csv").open(newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*chosen, "cos-gauss, PCEN"]
    assert rows["mel"]["difference"] == rows["mel"]["p"] == rows["mel"]["q"] == ""
    cell = {
        (c["variant"], c["fold"]): c["accuracy"] for c in json.loads((tmp_path / "levers.json").read_text())["cells"]
    }
    differences = [cell["cos-gauss", fold] - cell["mel", fold] for fold in (1, 2)]
    if differences[0] != differences[1]:
        assert float(rows["cos-gauss"]["difference"]) == pytest.approx(sum(differences) / 2)
    assert (tmp_path / "levers.md").read_text().startswith("| front-end |")
    assert (tmp_path / "levers.png").stat().st_size > 5000
    written = json.loads((tmp_path / "levers.json").read_text())["cells"]
    centers = {(cell["variant"], cell["fold"]): cell["centers"] for cell in written}
    assert centers["cos-gauss, fixed", 1] == centers["cos-gauss, fixed", 2]
    assert centers["cos-gauss", 1] != centers["cos-gauss", 2]
    config = json.loads((tmp_path / "config.json").read_text())["arguments"]
    assert (config["win_length"], config["hop_length"], config["kernel_size"]) == (1600, 400, 1001)
    assert (config["n_filters"], config["mixup"]) == (8, 0.0)


def test_every_variant_is_a_front_end_of_its_own():
    parser = build_parser(None, "")
    args = parser.parse_args(["--sample-rate", "8000", "--n-filters", "8"])
    folds = torch.arange(4)
    sounds = SoundSet(torch.randn(4, 4000), folds, folds, list("abcd"), list("abcd"), 8000, [])
    shown = set()
    for cell in _cells(args, sounds, list(levers.VARIANTS.values()))[: len(levers.VARIANTS)]:
        frontend = build_frontend(cell.frontend, cell.config)
        assert frontend(sounds.waveforms).shape[:2] == (4, 8)
        numbers = [*frontend.center_frequencies.tolist(), *frontend.bandwidths.tolist()]
        free = [tuple(parameter.shape) for parameter in frontend.parameters()]
        shown.add(
            (
                repr(frontend),
                cell.recipe,
                *getattr(frontend, "frontend", frontend)._constants["window"].tolist(),
                *numbers,
                *free,
            )
        )
    assert len(shown) == len(levers.VARIANTS)


def test_other_sounds_say_how_far_the_median_filter_moved(tmp_path, capsys):
    words = f"--out {tmp_path} --synthetic urban --limit 5 --seconds 0.5 --epochs 1 --folds 1 --n-filters 6"
    assert levers.main([*words.split(), "--batch-size", "8", "--variants", "mel", "sinc"]) == 0
    assert "how far the median filter" in capsys.readouterr().out
    rows = {row["variant"]: row for row in json.loads((tmp_path / "levers.json").read_text())["rows"]}
    assert rows["mel"]["moved_bandwidths"] == 0 < rows["sinc"]["moved_bandwidths"]


def test_comparisons_are_those_of_the_paired_differences():
    values, reference = ({(fold, 0): value for fold, value in enumerate(v)} for v in ((0.9, 0.8, 1.0), (0.5, 0.6, 0.7)))
    differences = np.array([0.4, 0.2, 0.3])
    error = differences.std(ddof=1) / 3**0.5
    found = paired.compare(values, {**reference, (7, 0): 0.1})
    half = student.ppf(0.975, 2) * error
    expected = (0.3, 0.3 - half, 0.3 + half, 2 * student.sf(0.3 / error, 2))
    assert found == pytest.approx(expected)
    assert paired.compare(reference, reference) is None
    assert paired.interval_text(None) == paired.p_text(None) == "-"
    assert paired.interval_text(paired.Comparison(0.1, -0.05, 0.25, 0.2)) == "+10.0 [-5.0, +25.0]"


def test_the_smallest_p_counts_as_often_as_there_are_comparisons():
    comparisons = [paired.Comparison(0, 0, 0, p) for p in (0.01, 0.5, 0.04)]
    assert paired.corrected([comparisons[0], None, *comparisons[1:]]) == pytest.approx([0.03, None, 0.5, 0.06])
    assert paired.corrected([None]) == [None]


def test_starts_are_ascending_in_the_band_and_drawn_anew_for_each_seed():
    assert choose_start("erb", 8, 16000, 0) == "erb"
    drawn = [choose_start("random", 80, 22050, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for centers in (*drawn, choose_start("bad", 80, 22050, 0)):
        frontend = build_frontend(
            "cos-gauss", {"sample_rate": 22050, "n_filters": 80, "init": centers, "log_offset": 1}
        )
        torch.testing.assert_close(frontend.center_frequencies, torch.tensor(centers), rtol=1e-4, atol=0.1)
    assert min(centers) > 0.8 * 11025


def test_schedules_say_who_learns_when():
    shares = {
        name: [[schedule(group, done) for done in (0.0, 0.15, 0.49, 0.5, 1.0)] for group in ("filters", "frontend")]
        for name, schedule in SCHEDULES.items()
    }
    assert shares == {
        "jointly": [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
        "warm-up": [[0, 0.5, 1, 1, 1], [1, 1, 1, 1, 1]],
        "filters-first": [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]],
        "filters-last": [[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]],
    }
    assert all(schedule("classifier", done) == 1 for schedule in SCHEDULES.values() for done in (0.0, 1.0))


def train_one(tmp_path, recipe, epochs):
    """A front-end with heads, as built and as trained on four clips."""
    config = {"sample_rate": 8000, "n_filters": 6, "log_offset": 1e-3, "heads": {"n_heads": 2, "context": 1}}
    labels = torch.arange(8) % 2
    sounds = SoundSet(
        torch.randn(8, 2000, generator=torch.Generator().manual_seed(0)),
        labels,
        1 + torch.arange(8) // 6,
        ["a", "b"],
        [""] * 8,
        8000,
        [],
    )
    cell = Cell("cos-gauss+heads", config, fold=2, seed=0, variant="x", recipe=recipe)
    tmp_path.mkdir(exist_ok=True)
    result = train(cell, sounds, Settings(epochs, 2, 1e-2, 1e-2, 0.0), tmp_path)
    torch.manual_seed(0)
    return build_frontend("cos-gauss+heads", config).state_dict(), result["frontend_state"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_filters_and_heads_both_learn_in_the_end(tmp_path, schedule):
    before, after = train_one(tmp_path, Recipe(schedule=schedule), 1)
    assert not torch.equal(before["frontend.raw_center"], after["frontend.raw_center"])
    assert not all(torch.equal(before[name], after[name]) for name in before if name.startswith("relevance"))


def test_rates_of_a_stage_are_zero_while_it_is_not_on(tmp_path, monkeypatch):
    monkeypatch.setattr("schedules.STAGE", 2.0)  # the first stage never ends
    before, after = train_one(tmp_path / "a", Recipe(schedule="filters-first"), 1)
    assert not torch.equal(before["frontend.raw_center"], after["frontend.raw_center"])
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("relevance"))
    before, after = train_one(tmp_path / "b", Recipe(schedule="filters-last"), 1)
    assert torch.equal(before["frontend.raw_center"], after["frontend.raw_center"])


def test_repulsion_keeps_neighbors_apart(tmp_path, monkeypatch):
    # Measured from a start where they are less alike, so that the penalty acts from the first step, and strongly.
    monkeypatch.setattr(Frontend, "as_initialized", lambda _: CosGaussFilterbank(8000, 6, init="linear"))
    _, free = train_one(tmp_path / "a", Recipe(), 4)
    _, repelled = train_one(tmp_path / "b", Recipe(repulsion=1e4), 4)
    banks = [CosGaussFilterbank(8000, 6) for _ in range(2)]
    for bank, state in zip(banks, (free, repelled), strict=True):
        bank.raw_center.data.copy_(state["frontend.raw_center"])
    overlaps = [float(neighbor_overlap(bank).detach().mean()) for bank in banks]
    assert overlaps[1] < 0.9 * overlaps[0]


def test_planted_sounds_are_compared_too(tmp_path, capsys):
    words = f"--out {tmp_path} --synthetic planted-high --limit 5 --seconds 0.5 --epochs 1 --folds 1 --n-filters 6"
    assert (
        compare_frontends.main([*words.split(), "--frontends", "cos-gauss", "--learn-width", "--batch-size", "8"]) == 0
    )
    assert "12" in capsys.readouterr().out  # a center and a width for each filter


@pytest.mark.parametrize("norm", [None, "slaney"])
def test_triangles_of_the_control_start_as_mels_and_move_as_triangles(norm):
    bank = TriangularMelFilterbank(16000, 12, norm=norm, n_fft=1024)
    assert_close(
        bank.power_response(1024), MelFrontend(16000, 12, norm=norm).power_response(1024), rtol=1e-4, atol=1e-5
    )
    with torch.no_grad():
        bank.raw_displacements += 0.3
    gains, (low, high) = bank.power_response(4096).detach(), bank.edges.detach()[5]
    inside = torch.arange(2049) * (16000 / 4096)
    inside = (inside > low) & (inside < high)
    assert (gains[5, inside] > 0).all()
    assert not gains[5, ~inside].any()
    assert_close(gains[5].argmax() * (16000 / 4096), bank.center_frequencies[5].detach(), rtol=0, atol=4.0)
