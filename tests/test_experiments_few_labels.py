# Adapting a trained classifier to another channel, and the channels.
import json
from functools import partial

import numpy as np
import pytest
import torch
from scipy.signal import welch
from small_runs import RATE, WORDS, lines, write_sounds

from experiments import few_labels, levers
from experiments.channels import colored, faster
from experiments.data.module import collate
from experiments.files import BadDataError
from experiments.runs import load_model, read_results

NAMES = ("mel", "learnable mel")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("few")
    data, out = write_sounds(root / "sounds", clips=4), root / "out"
    assert levers.main([*WORDS.split(), "--data", str(data), "--out", str(out), "--variants", *NAMES]) == 0
    return out


@pytest.fixture
def adapt(out):
    return partial(few_labels.main, [str(out), "--counts", "2", "6", "--steps", "2", "--channels", "speed"])


@pytest.fixture
def model(out):
    return load_model(next(result.folder for result in read_results(out) if result.variant == NAMES[1]))


@pytest.fixture
def few():
    waveforms = np.random.default_rng(3).standard_normal((6, 4000)).astype(np.float32)
    return collate([(0.1 * waveform, k % 3, k) for k, waveform in enumerate(waveforms)])


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        (few_labels.STATISTICS, ("running_mean", "running_var", "num_batches_tracked")),
        (few_labels.LAST, ("classify.1.weight", "classify.1.bias")),
        (few_labels.FRONTEND, ("frontend.raw_displacements",)),
    ],
)
def test_what_is_named_is_adapted_and_nothing_else(model, few, what, changed):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    few_labels.adapt(model, what, few, steps=3, frontend_lr=1e-2, lr=1e-3)
    after = model.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {name for name in before if name.endswith(changed)}
    assert not any(module.training for module in model.network.modules())


@pytest.mark.parametrize("what", [few_labels.LAST, few_labels.FRONTEND])
def test_adapting_lowers_the_loss_of_its_clips(model, few, what):
    def loss():
        with torch.no_grad():
            return torch.nn.functional.nll_loss(model(few["waveform"], few["lengths"]), few["label"])

    before = loss()
    few_labels.adapt(model, what, few, steps=20, frontend_lr=1e-2, lr=1e-2)
    assert loss() < 0.98 * before


def test_statistics_are_those_of_the_clips(model, few):
    few_labels.adapt(model, few_labels.STATISTICS, few, steps=1, frontend_lr=1.0, lr=1.0)
    with torch.no_grad():
        features = model.frontend(few["waveform"])
    torch.testing.assert_close(model.network.normalize.running_mean, features.mean((0, 2)))


def test_classes_take_turns_and_few_are_the_first_of_many():
    labels = [0] * 9 + [1] * 5 + [2]
    many, few = (few_labels.classes_in_turn(labels, count, seed=4) for count in (9, 4))
    assert many[:4] == few
    assert len(set(many)) == 9
    assert sorted(labels[k] for k in few)[:3] in ([0, 0, 1], [0, 1, 1])
    assert [labels[k] for k in many].count(2) == 1
    assert few != few_labels.classes_in_turn(labels, 4, seed=5)
    with pytest.raises(BadDataError, match="--counts must be at most the 15 training clips, got 16"):
        few_labels.classes_in_turn(labels, 16, seed=0)


def test_runs_are_adapted_compared_and_resumed(adapt, out, capsys):
    assert adapt() == 0
    files = sorted((out / "few_labels").glob("fold*.json"))
    assert len(files) == 2
    first, rows = json.loads(files[0].read_text("utf-8")), lines(out / "few_labels.csv")
    assert set(first["accuracies"]) == {"nothing", *(f"{what}, {n}" for what in few_labels.WHAT for n in (2, 6))}
    gains = [first["accuracies"]["front-end, 6"] - first["accuracies"]["nothing"] for first in map(_read, files)]
    row = next(r for r in rows if (r["adapted"], r["clips"], r["minus"]) == ("front-end", "6", "nothing"))
    assert float(row["difference"]) == pytest.approx(np.mean(gains))
    times = [path.stat().st_mtime_ns for path in files]
    table = capsys.readouterr().out
    assert adapt() == 0
    assert times == [path.stat().st_mtime_ns for path in files]
    assert capsys.readouterr().out == table
    assert few_labels.main([str(out), "--counts", "2", "--channels", "speed"]) == 2
    assert "was begun with other settings" in capsys.readouterr().err


def _read(path):
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--variant", "mel"], "--variant must have a front-end that can learn, got 'mel' without a parameter"),
        (["--variant", "sinc"], "--variant must be among learnable mel, mel, got sinc"),
        (["--channels", "noise", "noise"], "--channels"),
        (["--channels", "rain"], "--channels must be among band, microphone, noise, speed, got rain"),
    ],
)
def test_what_cannot_be_adapted_is_refused(out, options, message, capsys):
    assert few_labels.main([str(out), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_microphone_changes_levels_and_not_the_time():
    clip = np.random.default_rng(1).standard_normal(8 * RATE)
    frequency, before = welch(clip, RATE, nperseg=1024)
    change = 10 * np.log10(welch(colored(clip, RATE, 0, 10.0), RATE, nperseg=1024)[1] / before)
    place = [int(np.abs(frequency - f).argmin()) for f in (1000, 1000 * 2**0.75, 1000 / 2**0.75)]
    np.testing.assert_allclose(change[place], [0, 10, -10], atol=0.7)
    impulse = np.eye(1, 1001, 500)[0]
    assert np.abs(colored(impulse, RATE, 0, 10.0)).argmax() == 500


def test_a_faster_clip_is_higher_and_as_long():
    time = np.arange(RATE) / RATE
    fast = faster(np.sin(2 * np.pi * 1000 * time), RATE, 0, 15)
    assert len(fast) == RATE
    assert not fast[round(RATE / 1.15) + 2 :].any()
    frequency, power = welch(fast[: RATE // 2], RATE, nperseg=2048)
    np.testing.assert_allclose(frequency[power.argmax()], 1150, atol=RATE / 2048)
