# What experiments.levers trains and reports, and what is done with the runs of a grid afterwards: masks and mismatch.
import csv
import json
from functools import partial
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.signal import butter, hilbert, sosfiltfilt, welch
from small_runs import RATE, write_sounds
from torch.testing import assert_close

from experiments import levers, masks, mismatch
from experiments.data.module import ClipData
from experiments.data.planted import TASKS, plant
from experiments.files import BadDataError
from experiments.lever_variants import LEVERS, make_variants
from experiments.runs import instantiate, open_test_clips, read_results
from experiments.starts import choose_start
from experiments.training.classifier import Classifier
from experiments.training.networks import SmallCNN
from experiments.training.overlap import neighbor_overlap
from experiments.training.rates import SCHEDULES
from experiments.training.triangles import TriangularMelFilterbank
from learnable_frontends import CosGaussFilterbank, Filterbank, Frontend, MelFrontend, MultiHeadRelevance

COUNT = 12
CHOSEN = ["mel", "cos-gauss, heads"]


@pytest.fixture(scope="module", params=list(TASKS))
def planted(request):
    """A task, its clips and their classes."""
    clips, _ = plant(request.param, 16000, 1.0, COUNT, seed=0)
    return TASKS[request.param], clips.astype(float), np.arange(len(clips)) // COUNT


def guess(clips, low, high, rates):
    """Class by the strongest of the modulation rates in what a band-pass filter lets through."""
    band = butter(4, (low, high), "bandpass", fs=16000, output="sos")
    envelopes = np.abs(hilbert(sosfiltfilt(band, clips, axis=-1), axis=-1))
    spectra = np.abs(np.fft.rfft(envelopes - envelopes.mean(-1, keepdims=True), axis=-1))  # bins of 1 Hz
    return spectra[:, list(map(int, rates))].argmax(-1)


def test_the_narrow_band_tells_the_class_and_a_wide_one_does_not(planted):
    task, clips, labels = planted
    narrow = guess(clips, task.target - task.width / 2, task.target + task.width / 2, task.rates)
    assert (narrow == labels).mean() > 0.95
    everything = min(task.others) - task.width / 2, max(task.others) + task.width / 2
    assert (guess(clips, *everything, task.rates) == labels).mean() < 0.8
    for other in task.others:
        wrong = guess(clips, other - task.width / 2, other + task.width / 2, task.rates)
        assert (wrong == labels).mean() < 0.6


def test_the_spectrum_does_not_tell_the_class(planted):
    task, clips, labels = planted
    frequency, power = welch(clips / clips.std(-1, keepdims=True), 16000, nperseg=2000)
    near = np.abs(frequency - task.target) < task.width / 2
    levels = 10 * np.log10(power[:, near].mean(-1))
    means = [levels[labels == label].mean() for label in range(4)]
    assert max(means) - min(means) < 2 * levels.std()


def run(out, *variants):
    words = f"--out {out} --synthetic planted-low --limit 5 --epochs 1 --folds 1 2 --batch-size 8 --variants".split()
    return levers.main([*words, *variants])


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Two variants on two folds of a planted task, trained for an epoch."""
    out = tmp_path_factory.mktemp("levers")
    assert run(out, *CHOSEN) == 0
    return out


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_experiment_leaves_its_tables_and_resumes_with_more_variants(grid, capsys):
    results = {path: path.stat().st_mtime_ns for path in grid.glob("*/*/result.json")}
    assert len(results) == 4
    assert run(grid, *CHOSEN, "cos-gauss, fixed") == 0
    shown = capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in results.items())  # finished runs are not run again
    rows = {row["variant"]: row for row in rows_of(grid / "levers.csv")}
    assert list(rows) == [*CHOSEN, "cos-gauss, fixed"]
    assert rows["mel"]["difference"] == rows["mel"]["p"] == rows["mel"]["q"] == ""
    written = json.loads((grid / "levers.json").read_text())["runs"]
    accuracy = {(run["variant"], run["fold"]): run["accuracy"] for run in written}
    differences = [accuracy["cos-gauss, heads", fold] - accuracy["mel", fold] for fold in "12"]
    assert float(rows["cos-gauss, heads"]["difference"]) == pytest.approx(sum(differences) / 2)
    centers = {(run["variant"], run["fold"]): run["centers"] for run in written}
    assert centers["cos-gauss, fixed", "1"] == centers["cos-gauss, fixed", "2"]
    assert centers["cos-gauss, heads", "1"] != centers["cos-gauss, heads", "2"]
    assert (grid / "levers.md").read_text("utf-8").startswith("| front-end |")
    assert "in band: filters of a run with a center within 24 Hz of 120 Hz" in " ".join(shown.split())
    assert (grid / "levers.png").stat().st_size > 5000


def test_generated_sounds_have_the_defaults_that_the_help_tells(grid, capsys):
    used = json.loads((grid / "command.json").read_text())["arguments"]
    assert (used["win_length"], used["hop_length"], used["kernel_size"]) == (1600, 400, 1001)
    expected = {"sample_rate": 16000, "seconds": 1.0, "n_filters": 8, "mixup": 0.0, "frontend_lr": 0.03}
    assert {name: used[name] for name in expected} == expected
    with pytest.raises(SystemExit):
        levers.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for words in (
        "filters (default: 80 with --data, else 8)",
        "generated: 1)",
        "generated: 100)",
        "planted-low: 100 ms)",
        "passes over the clips (default: 25 with --data, else 30)",
        "filters: highest (default: 0.03)",
        "(default: planted-high)",
    ):
        assert words in told
    assert levers.GENERATED["epochs"] == 30
    with pytest.raises(SystemExit) as end:
        levers.main(["--list"])
    assert (end.value.code, capsys.readouterr().out.splitlines()) == (0, list(LEVERS))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--variants mel mel", "variants must differ, got mel more than once"),
        ("--variants mel --lr nan", "must be positive and finite, got nan"),
        ("--variants mel --mixup -1", "must be 0 or more and finite, got -1"),
        ("--variants mel --seeds -1", "must be at least 0, got -1"),
        ("--variants mel --frontend-lr inf", "must be 0 or more and finite, got inf"),
        ("--variants mel --seeds 1 1", "seeds must differ, got 1 more than once"),
        ("--variants mel --lr 0.1", "lr: 0.002 before, 0.1 now"),
        ("--variants none", "argument --variants: invalid choice: 'none'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before(grid, capsys, words, message):
    try:
        code = run(grid, *words.split()[1:])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


def build(settings):
    """What a parser builds of nested settings, without its checks."""
    if isinstance(settings, str) and settings.startswith("torch."):
        return getattr(torch, settings.removeprefix("torch."))
    if isinstance(settings, list):
        return [build(value) for value in settings]
    if not isinstance(settings, dict):
        return settings
    module, _, name = settings["class_path"].rpartition(".")
    return getattr(import_module(module), name)(**{k: build(v) for k, v in settings.get("init_args", {}).items()})


def test_every_variant_is_a_front_end_or_a_training_of_its_own():
    parser = levers.build_parser(None, "")
    args = parser.parse_args(
        ["--sample-rate", "8000", "--n-filters", "8", "--kernel-size", "129", "--frontend-lr", "0.03"]
    )
    shown = set()
    for variant in make_variants(list(LEVERS), args, 4):
        model = variant.settings(0, "1")["model"]
        frontend = build(model.pop("frontend"))
        assert frontend(torch.randn(2, 4000)).shape[:2] == (2, 8)
        numbers = [*frontend.center_frequencies.tolist(), *frontend.bandwidths.tolist()]
        free = [tuple(parameter.shape) for parameter in frontend.parameters()]
        first = next(module for module in frontend.modules() if isinstance(module, Filterbank))
        window = first._constants["window"].tolist()
        shown.add((repr(frontend), json.dumps(model), *window, *numbers, *free))
    assert len(shown) == len(LEVERS)
    (random,) = make_variants(["cos-gauss, random start"], args, 4)
    assert random.settings(0, "1")["model"]["frontend"] != random.settings(1, "1")["model"]["frontend"]


def test_variants_of_every_kind_are_built_by_the_parser_too():
    args = levers.build_parser(None, "").parse_args(["--sample-rate", "8000", "--n-filters", "8"])
    names = ["mel, PCEN", "mel, Hamming window", "learnable mel, triangles", "Gaussian", "sinc, Hann window"]
    names += ["cos-gauss, learned offset", "cos-gauss, random start", "cos-gauss, learned from spacing, heads"]
    for variant in make_variants(names, args, 4):
        settings = variant.settings(0, "1")["model"]["frontend"]
        built, expected = instantiate(Frontend, settings), build(settings)
        assert type(built) is type(expected)
        assert_close(built.power_response(512), expected.power_response(512))


def test_starts_are_ascending_in_the_band_and_drawn_anew_for_each_seed():
    assert choose_start("erb", 8, 16000, 0) == "erb"
    drawn = [choose_start("random", 80, 22050, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for centers in (*drawn, choose_start("bad", 80, 22050, 0)):
        frontend = CosGaussFilterbank(22050, 80, init=centers)
        assert_close(frontend.center_frequencies, torch.tensor(centers), rtol=1e-4, atol=0.1)
    assert min(centers) > 0.8 * 11025


@pytest.mark.parametrize("norm", [None, "slaney"])
def test_triangles_of_the_control_start_as_mels_and_move_as_triangles(norm):
    bank, mel = TriangularMelFilterbank(16000, 12, norm=norm, n_fft=1024), MelFrontend(16000, 12, norm=norm)
    assert_close(bank.power_response(1024), mel.power_response(1024), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        bank.raw_displacements += 0.3
    gains, (low, high) = bank.power_response(4096).detach(), bank.edges.detach()[5]
    inside = torch.arange(2049) * (16000 / 4096)
    inside = (inside > low) & (inside < high)
    assert (gains[5, inside] > 0).all()
    assert not gains[5, ~inside].any()
    assert_close(gains[5].argmax() * (16000 / 4096), bank.center_frequencies[5].detach(), rtol=0, atol=4.0)


@pytest.fixture
def train(tmp_path):
    """Function that trains a front-end with heads on twelve clips, and returns its state before and after."""

    def train_one(epochs=1, **training):
        torch.manual_seed(0)
        frontend = MultiHeadRelevance(CosGaussFilterbank(RATE, 6), 2, context=1)
        before = {name: value.clone() for name, value in frontend.state_dict().items()}
        optimizer = partial(torch.optim.AdamW, lr=1e-2)
        model = Classifier(frontend, SmallCNN(3, 6), optimizer=optimizer, frontend_lr=1e-2, **training)
        root = write_sounds(tmp_path / "sounds", folds=3, clips=2)
        data = ClipData(root, test_fold="3", sample_rate=RATE, cache=tmp_path / "cache", batch_size=4)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **quiet)
        trainer.fit(model, datamodule=data)
        return before, frontend.state_dict()

    return train_one


CENTER = "frontend.raw_center"
quietly = pytest.mark.filterwarnings("ignore")  # Lightning's advice to those who watch a training


def heads_moved(before, after):
    return not all(torch.equal(before[name], after[name]) for name in before if name.startswith("relevance"))


@quietly
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_filters_and_heads_both_learn_in_the_end(train, schedule):
    before, after = train(2, schedule=schedule)
    assert not torch.equal(before[CENTER], after[CENTER])
    assert heads_moved(before, after)


@quietly
def test_rates_of_a_stage_are_zero_while_it_is_not_on(train, monkeypatch):
    monkeypatch.setattr(Classifier, "_first_share", lambda _: 2.0)  # the first stage never ends
    before, after = train(schedule="filters-first")
    assert not torch.equal(before[CENTER], after[CENTER])
    assert not heads_moved(before, after)
    before, after = train(schedule="filters-last")
    assert torch.equal(before[CENTER], after[CENTER])
    assert heads_moved(before, after)


@quietly
def test_repulsion_keeps_neighbors_apart(train, monkeypatch):
    # Measured from a start where they are less alike, so that the penalty acts from the first step, and strongly.
    monkeypatch.setattr(Frontend, "as_initialized", lambda _: CosGaussFilterbank(RATE, 6, init="linear"))
    overlaps = []
    for repulsion in (0.0, 1e4):
        bank = CosGaussFilterbank(RATE, 6)
        bank.raw_center.data.copy_(train(4, repulsion=repulsion)[1][CENTER])
        overlaps.append(float(neighbor_overlap(bank).detach().mean()))
    assert overlaps[1] < 0.9 * overlaps[0]


def test_clean_clips_are_classified_as_in_the_test_and_changed_ones_beside(grid, capsys):
    assert mismatch.main([str(grid)]) == 0
    shown = capsys.readouterr().out
    assert "minus mel" in shown
    rows = rows_of(grid / "mismatch.csv")
    trained = {run["variant"]: [] for run in json.loads((grid / "levers.json").read_text())["runs"]}
    for result in read_results(grid):
        trained[result.variant].append(result.accuracy)
    assert len(rows) == len(trained) * len(mismatch.CONDITIONS)
    clean = {row["variant"]: float(row["accuracy"]) for row in rows if row["condition"] == "as they are"}
    assert clean == pytest.approx({name: np.mean(values) for name, values in trained.items()})
    assert (grid / "mismatch.md").read_text("utf-8").count("\n|---|") == 2


def test_masks_are_measured_and_drawn_on_the_clips_that_were_held_out(grid, tmp_path, capsys):
    runs = [grid / "cos-gauss, heads" / f"fold{fold}-seed0" for fold in (1, 2)]
    assert masks.main([*map(str, runs), "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    stems = [f"cos-gauss, heads-{run.name}" for run in runs]
    # The clip that is drawn, the first of fold 1, is not among those of fold 2.
    pictures = {f"mean_masks_{stem}.png" for stem in stems} | {f"masks_{stems[0]}.png"}
    assert {path.name for path in tmp_path.iterdir()} == pictures | {"statistics.csv", "classes.csv"}
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert plt.get_fignums() == []
    rows = rows_of(tmp_path / "statistics.csv")
    assert [(row["run"], row["head"], row["heads"]) for row in rows] == [
        (stem, head, kind) for stem in stems for kind in ("trained", "untrained") for head in "12"
    ]
    for row in rows:
        assert float(row["between_classes"]) <= 1.001 * float(row["between_clips"])  # in float32
        assert f"{float(row['mean']):.3f}  {float(row['total']):.3f}" in shown
    weights = rows_of(tmp_path / "classes.csv")
    assert len(weights) == 2 * 2 * 4
    assert sum(float(row["more"]) for row in weights[:4]) == pytest.approx(0, abs=1e-6)
    assert shown.count(" ± ") > 20  # over the two folds
    # A clip can be chosen, if it was held out.
    first = read_results(grid)[0].predictions()[0]["file"]
    assert masks.main([str(runs[1]), "--out", str(tmp_path), "--clip", first]) == 2
    assert "--clip must be one that a run was tested on, as 12 Hz/2-" in capsys.readouterr().err
    assert masks.main([str(runs[1]), str(runs[1]), "--out", str(tmp_path)]) == 2
    assert "runs must differ, got cos-gauss, heads-fold2-seed0 more than once" in capsys.readouterr().err
    assert masks.main([str(grid / "mel" / "fold1-seed0"), "--out", str(tmp_path)]) == 2
    assert "mel/fold1-seed0 has no relevance heads" in capsys.readouterr().err


def test_clips_that_are_others_by_now_are_refused(grid):
    result = read_results(grid)[0]
    assert len(open_test_clips(result)) == 4
    result.values["test_clips"] = "others"
    with pytest.raises(BadDataError, match=r"was tested on other clips than fold 1 of .* has now"):
        open_test_clips(result)
