import argparse
import ast
import contextlib
import io
import json
import re
import runpy
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import needs
from torch import nn
from torch.testing import assert_close

from learnable_frontends import PCEN, CosGaussFilterbank, GaussianFilterbank, MelFrontend, MultiHeadRelevance, presets
from learnable_frontends.analysis import movement
from learnable_frontends.pretrained import from_pretrained, save_pretrained

EXAMPLES = Path(__file__).parent.parent / "examples"
# What each script needs beside torch, numpy, matplotlib and the package.
NEEDS = {
    "swap_frontend.py": set(),
    "train_on_folder.py": {"soundfile"},
    "plot_filters.py": set(),
    "variable_lengths.py": set(),
    "live_classifier.py": {"soundfile", "soxr"},
    "pretrained_model.py": {"soundfile", "transformers"},
}
RATE = 8000


def run(script, *arguments):
    """Run a script as ``python examples/<script>`` does, but without loading torch again."""
    out, err, threads, code, names = io.StringIO(), io.StringIO(), torch.get_num_threads(), 0, {}
    torch.set_num_threads(1)  # enough for models this small, and much faster on a busy machine
    try:
        with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
            patch.setattr(sys, "argv", [str(EXAMPLES / script), *map(str, arguments)])
            patch.setattr(sys, "path", [path for path in sys.path if Path(path).resolve() != EXAMPLES])
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                names = runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    finally:
        torch.set_num_threads(threads)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    return SimpleNamespace(code=code or 0, out=out.getvalue(), err=err.getvalue(), names=names)


def succeed(script, *arguments):
    done = run(script, *arguments)
    assert done.code == 0, done.err
    return done


def refuse(message, script, *arguments):
    """Run a script that shall end with one line that has the message."""
    done = run(script, *arguments)
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last.startswith(f"{script}: error: ")
    assert re.search(message, last), last
    return done


def test_every_script_is_listed_here_and_in_the_readme():
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == set(NEEDS)
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`examples/(\w+\.py)`", readme)) == set(NEEDS)


@pytest.mark.parametrize("script", NEEDS)
def test_a_script_is_short_and_stands_alone(script):
    text = (EXAMPLES / script).read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) < 80 if script == "train_on_folder.py" else len(lines) <= 120
    assert max(map(len, lines)) <= 120
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.partition(".")[0])
    own = imported - sys.stdlib_module_names - {"torch", "numpy", "matplotlib", "learnable_frontends"}
    assert own == NEEDS[script]
    assert "sys" not in imported


@pytest.mark.parametrize("script", NEEDS)
def test_help_has_the_true_defaults_and_fits_a_screen(script, monkeypatch):
    needs(*NEEDS[script])
    seen = []
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda parser: seen.append(parser))
    assert run(script, "--help").code == 0
    monkeypatch.setenv("COLUMNS", "80")
    assert len(seen[0].format_help().splitlines()) <= 40
    monkeypatch.setenv("COLUMNS", "200")  # no default is cut in two
    text = seen[0].format_help()
    for action in seen[0]._actions:
        if action.default not in (None, False, argparse.SUPPRESS):
            words = " ".join(text[text.index(f"  {action.option_strings[0]} ") :].split())
            assert re.search(r"\(default: (\S+)\)", words)[1] == str(action.default)


def test_swapping_the_front_end_trains_both_models_alike_every_time():
    first, second = succeed("swap_frontend.py", "--steps", 2), succeed("swap_frontend.py", "--steps", 2)
    assert first.out == second.out
    _, mel, learned, added = first.out.splitlines()
    row = r"(.+?) +(\d+) +(\d+\.\d+) +(\d+\.\d) %"
    sizes = [int(re.fullmatch(row, line)[2]) for line in (mel, learned)]
    # 40 centers, and two heads of 21 -> 50 -> 1: 1151 each.
    assert sizes[1] - sizes[0] == 40 + 2 * 1151
    assert f"added {sizes[1] - sizes[0]} parameters" in added
    refuse("--steps must be at least 1, got 0", "swap_frontend.py", "--steps", 0)


def test_clips_of_different_lengths_are_classified_alike_in_a_batch_and_alone():
    clips, accuracy, difference = succeed("variable_lengths.py", "--clips", 60).out.splitlines()
    shortest, longest = map(int, re.fullmatch(r"200 unseen clips of (\d+) to (\d+) samples", clips).groups())
    assert 4000 <= shortest < longest <= 8000
    assert re.fullmatch(r"accuracy \d+\.\d %", accuracy)
    assert float(difference.rpartition(" ")[2]) < 1e-5
    refuse("--clips must be at least 1, got 0", "variable_lengths.py", "--clips", 0)


def tone(frequency, seconds, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Folder of two classes, low and high tones, in several formats, and of what is not a sound."""
    folder = tmp_path_factory.mktemp("sounds")
    for name, first in (("low", 200), ("high é", 2000)):
        (folder / name / "deep er").mkdir(parents=True)
        for i in range(5):
            soundfile.write(folder / name / f"{i}.wav", tone(first + 20 * i, 0.5), RATE)
        both = np.stack([tone(first, 0.5, 44100), np.zeros(22050)], axis=1)  # loud on the left, silent on the right
        soundfile.write(folder / name / "deep er" / "5.FLAC", both, 44100, format="FLAC")
        soundfile.write(folder / name / "6.ogg", tone(first + 40, 0.7), RATE)
        soundfile.write(folder / name / "7.aif", tone(first + 60, 0.3), RATE, format="AIFF")
    soundfile.write(folder / "low" / "8.mp3", tone(300, 0.5, 16000), 16000)
    (folder / "low" / "link.wav").symlink_to(folder / "low" / "0.wav")
    (folder / "low" / "notes.txt").write_text("not a sound", encoding="utf-8")
    (folder / "low" / "broken.wav").write_bytes(b"RIFF but not really")
    soundfile.write(folder / "low" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "low" / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "low" / "short.wav", tone(200, 0.05), RATE)
    soundfile.write(folder / "low" / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    for hidden in ("low/._0.wav", "__MACOSX/low/0.wav", ".trash/0.wav", "low/.trash/0.wav", "low/.DS_Store"):
        (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / hidden, tone(200, 0.5), RATE, format="WAV")
    return folder


@pytest.fixture(scope="module")
def trained(sounds, tmp_path_factory):
    """What a training printed, its variables, and where it wrote."""
    out = tmp_path_factory.mktemp("trained") / "a" / "b"
    return succeed("train_on_folder.py", sounds, "--sample-rate", RATE, "--out", out), out


def test_training_on_a_folder_learns_and_names_what_it_left_out(trained, sounds):
    done, _ = trained
    lines = done.out.splitlines()
    assert lines[0] == "18 sounds, 6 files left out"
    left_out = {Path(line.partition(": ")[0].strip()).name: line.partition(": ")[2] for line in lines[1:7]}
    bad = "shorter than 0.1 s, silent, or not finite"
    assert left_out == {
        **dict.fromkeys(["notes.txt", "broken.wav"], "Format not recognised."),
        **dict.fromkeys(["silent.wav", "empty.wav", "short.wav", "nan.wav"], bad),
    }
    assert f"  {sounds / 'low' / 'notes.txt'}: Format not recognised." in lines
    assert lines[-1] == "accuracy on 4 held-out sounds: 100.0 % (less on other recordings)"


def test_a_fifth_of_each_class_is_held_out(trained):
    names = trained[0].names
    test, train, y = names["test"], names["train"], names["y"]
    assert sorted([*test.tolist(), *train.tolist()]) == list(range(18))
    assert y[test].bincount().tolist() == [2, 2]
    assert len(train) == 14


def test_sounds_are_resampled_mixed_and_cut_to_the_median_length(trained):
    x = trained[0].names["x"]  # of the high tones: 0.wav to 4.wav, 6.ogg, 7.aif, 5.FLAC
    assert x.shape == (18, RATE // 2)
    assert x[5, -100:].abs().max() > 0.5
    assert x[6, RATE * 3 // 10 :].abs().max() == 0
    # Whole periods at both rates, so that the tone at the lower one is known, up to 16 bits.
    expected = torch.from_numpy(tone(2000, 0.5)).float()
    assert_close(x[7], expected / expected.abs().max(), rtol=0, atol=1e-3)
    assert_close(x.abs().amax(-1), torch.ones(18), rtol=0, atol=0.01)  # a peak may have been cut off


def test_what_was_trained_loads_without_its_code(trained):
    done, out = trained
    assert {path.name for path in out.iterdir()} == {"frontend", "network.pt2", "classes.json", "movement.png"}
    about = json.loads((out / "classes.json").read_text(encoding="utf-8"))
    assert about == {"names": ["high é", "low"], "sample_rate": RATE, "seconds": 0.5}
    assert (out / "movement.png").read_bytes().startswith(b"\x89PNG")
    frontend, network = from_pretrained(out / "frontend"), torch.export.load(out / "network.pt2").module()
    assert movement(frontend).hz.abs().max() > 1
    assert all(parameter.requires_grad for parameter in frontend.parameters())
    x, model = done.names["x"], done.names["model"]
    with torch.no_grad():
        for batch in (x[:1], x[:5], x[:3, :900]):
            assert_close(network(frontend(batch)), model(batch))
    assert (network(frontend(x)).argmax(-1) == done.names["y"]).all()


@pytest.mark.parametrize("kind", ["whisper", "kaldi_fbank", "cos-gauss", "mel"])
def test_other_front_ends_train(kind, sounds, tmp_path):
    done = succeed("train_on_folder.py", sounds, "--frontend", kind, "--epochs", 1, "--out", tmp_path)
    loaded = from_pretrained(tmp_path / "frontend")
    moved = movement(loaded).hz.abs().max()
    assert moved == 0 if kind == "mel" else moved > 0
    if kind == "whisper":
        waveform = done.names["x"][:2]
        assert_close(loaded.as_initialized()(waveform), presets.whisper(seconds=None)(waveform))
    assert "accuracy on 4 held-out sounds" in done.out


def test_training_starts_from_a_saved_front_end(sounds, tmp_path):
    centers = torch.linspace(300, 3000, 12)
    save_pretrained(GaussianFilterbank(RATE, 12, init=centers), tmp_path / "start")
    succeed("train_on_folder.py", sounds, "--load", tmp_path / "start", "--epochs", 1, "--out", tmp_path)
    moved = movement(from_pretrained(tmp_path / "frontend"))
    assert_close(moved.initial.float(), centers)
    assert moved.hz.abs().max() > 0


def test_every_preset_of_the_training_takes_clips_of_any_length(trained):
    for make in trained[0].names["PRESETS"].values():
        frontend = make(learn=True)
        second = round(frontend.sample_rate)
        frames = frontend.output_lengths(torch.tensor([second // 10, second, 2 * second])).tolist()
        assert 0 < frames[0] < frames[1] < frames[2]
        assert list(frontend.parameters())


def test_training_refuses_what_it_cannot_use_before_it_trains(sounds, tmp_path):
    script, file = "train_on_folder.py", tmp_path / "file"
    file.touch()
    (tmp_path / "one" / "class").mkdir(parents=True)
    soundfile.write(tmp_path / "one" / "class" / "a.wav", tone(200, 1), RATE)
    new = ("--out", tmp_path / "new")
    for message, *arguments in (
        (rf"--out {file} cannot be used: .*Not a directory", sounds, "--out", file),
        (r"--sample-rate 10 .* cannot be used: win_length must be", sounds, "--sample-rate", 10, *new),
        (r"--epochs: invalid choice: 0", sounds, "--epochs", 0, *new),
        (r"none/<class>/<sound> must be 2 classes of 2 or more, got \[\]", tmp_path / "none", *new),
        (r"must be 2 classes of 2 or more, got \[1\]", tmp_path / "one", *new),
        (r"--frontend: invalid choice: 'clap'", sounds, "--frontend", "clap", *new),
        (r"--load .*nothing.* cannot be used: .*there is no such folder", sounds, "--load", tmp_path / "nothing", *new),
    ):
        assert "epoch" not in refuse(message, script, *arguments).out


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Files with the state of a bank behind heads, whose logits moved up by 0.1, and what is printed of it."""
    folder = tmp_path_factory.mktemp("states")
    torch.manual_seed(0)
    frontend = MultiHeadRelevance(CosGaussFilterbank(RATE, 6), n_heads=2)
    share = frontend.center_frequencies.detach() / (RATE / 2)
    with torch.no_grad():
        frontend.frontend.raw_center.add_(0.1)
    state = {f"frontend.{key}": value for key, value in frontend.state_dict().items()}
    lightning = {"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 3}
    torch.save(lightning, folder / "best.ckpt")
    torch.save({**lightning, "hyper_parameters": argparse.Namespace(lr=1)}, folder / "objects.ckpt")
    torch.save({"model": state, "optimizer": {"lr": 1.0}}, folder / "model.pt")
    torch.save(frontend.frontend.state_dict(), folder / "bare.pt")
    torch.save({"model": state, "ema": state}, folder / "two.pt")
    other = MultiHeadRelevance(CosGaussFilterbank(RATE, 6, compression=PCEN(6)))
    torch.save({"model_state_dict": other.state_dict()}, folder / "pcen.pt")
    save_pretrained(frontend, folder / "saved")
    moves = RATE / 2 * (torch.sigmoid(torch.logit(share) + 0.1) - share)
    return SimpleNamespace(folder=folder, median=float(moves.median()), farthest=float(moves.max()))


def constructor(n_filters=6, rate=RATE):
    return "--frontend", "CosGaussFilterbank", f"sample_rate={rate}", f"n_filters={n_filters}"


def check_moves(line, path, states):
    found = re.fullmatch(r"(.+): median move ([\d.]+) Hz, farthest (\d+) -> (\d+) Hz", line)
    assert found[1] == str(path)
    assert float(found[2]) == pytest.approx(states.median, rel=0.02, abs=0.1)
    assert int(found[4]) - int(found[3]) == pytest.approx(states.farthest, rel=0.02, abs=2)


@pytest.mark.parametrize("heads", [[], ["--heads"], ["--heads", "n_heads=2"]])
@pytest.mark.parametrize("name", ["best.ckpt", "model.pt"])
def test_filters_are_found_in_any_checkpoint(name, heads, states, tmp_path):
    path, out = states.folder / name, tmp_path / "filters.png"
    done = succeed("plot_filters.py", path, *constructor(), *heads, "--out", out)
    check_moves(done.out.strip(), path, states)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_several_checkpoints_and_folders_are_drawn_together(states, trained, tmp_path):
    paths = [states.folder / "saved", states.folder / "bare.pt", trained[1]]
    done = succeed("plot_filters.py", *paths, *constructor(), "--out", tmp_path / "filters.pdf")
    lines = done.out.splitlines()
    check_moves(lines[0], paths[0], states)
    check_moves(lines[1], paths[1], states)
    expected = movement(from_pretrained(trained[1] / "frontend")).hz.abs().median()
    assert lines[2].startswith(f"{paths[2]}: median move {expected:.1f} Hz, ")
    assert (tmp_path / "filters.pdf").read_bytes().startswith(b"%PDF")


def test_of_several_front_ends_a_prefix_chooses_and_compressions_do_not_count(states, tmp_path):
    out, two = ("--out", tmp_path / "a.svg"), states.folder / "two.pt"
    both = r"'ema\.frontend\.frontend\.' has .*; 'model\.frontend\.frontend\.' has .* \(--prefix chooses one\)"
    refuse(both, "plot_filters.py", two, *constructor(), *out)
    done = succeed("plot_filters.py", two, *constructor(), "--prefix", "ema.frontend.frontend.", *out)
    check_moves(done.out.strip(), two, states)
    done = succeed("plot_filters.py", states.folder / "pcen.pt", *constructor(), *out)
    assert "median move 0.0 Hz" in done.out


def test_objects_of_a_checkpoint_are_loaded_only_if_it_is_trusted(states, tmp_path):
    path, out = states.folder / "objects.ckpt", ("--out", tmp_path / "a.png")
    message = r"objects\.ckpt: file has an object that is not a tensor: argparse\.Namespace \(--trust loads it"
    refuse(message, "plot_filters.py", path, *constructor(), *out)
    check_moves(succeed("plot_filters.py", path, *constructor(), *out, "--trust").out.strip(), path, states)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_plotting_refuses_what_it_cannot_read(states, tmp_path):
    script, bare, text = "plot_filters.py", states.folder / "bare.pt", tmp_path / "text.pt"
    text.write_text("not a checkpoint", encoding="utf-8")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pt")
    torch.save(CosGaussFilterbank(RATE, 6, learn_width=True).state_dict(), tmp_path / "wide.pt")
    out = ("--out", tmp_path / "filters.png")
    for message, *arguments in (
        (r"text\.pt: file must be one that torch\.load reads", text, *constructor()),
        (r"none\.pt: file must be .* No such file", tmp_path / "none.pt", *constructor()),
        (r"config\.json must be a file, got none", tmp_path),
        (r"--frontend must name a class such as CosGaussFilterbank, got none \(a file needs it\)", bare),
        (
            r"--frontend must name a class such as CosGaussFilterbank, got WaveformModel",
            bare,
            "--frontend",
            "WaveformModel",
        ),
        (r"must be name=value, got x \(put checkpoints first\)", bare, "--frontend", "CosGaussFilterbank", "x"),
        (r"unexpected keyword argument 'n_mels'", bare, *constructor(), "n_mels=6"),
        (r"must have fingerprint, raw_center under one prefix, got none", tmp_path / "other.pt", *constructor()),
        (r"raw_width under one prefix, got '' has fingerprint, raw_center", bare, *constructor(), "learn_width=True"),
        (r"raw_center under one prefix, got '' has .*raw_width", tmp_path / "wide.pt", *constructor()),
        (r"size mismatch for raw_center", bare, *constructor(7)),
        (r"state must be of a CosGaussFilterbank with sample_rate=4000", bare, *constructor(rate=4000)),
    ):
        refuse(message, script, *arguments, *out)
    assert not out[1].exists()
    message = r"--out cannot be written: Format 'xyz' is not supported"
    refuse(message, script, bare, *constructor(), "--out", tmp_path / "a.xyz")
    refuse(r"--out cannot be written: .*No such file", script, bare, *constructor(), "--out", tmp_path / "no" / "a.png")


LIVE_SECONDS, LIVE_NAMES = 0.5, ["dog", "rain", "siren", "street music"]


@pytest.fixture(scope="module", params=["mel", "heads"])
def model(request, tmp_path_factory):
    """Folder as the training writes it, of an untrained model with 10 filters."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    frontend = MelFrontend(RATE, 10, n_fft=256)
    if request.param == "heads":
        frontend = MultiHeadRelevance(CosGaussFilterbank(RATE, 10), n_heads=2, context=2, hidden=3)
    network = nn.Sequential(nn.Conv1d(10, 4, 3, padding=1), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval()
    save_pretrained(frontend, folder / "frontend")
    dynamic = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(network, (torch.randn(2, 10, 20),), dynamic_shapes=dynamic)
    torch.export.save(program, folder / "network.pt2")
    about = {"names": LIVE_NAMES, "sample_rate": RATE, "seconds": LIVE_SECONDS}
    (folder / "classes.json").write_text(json.dumps(about), encoding="utf-8")
    return SimpleNamespace(folder=folder, heads=2 if request.param == "heads" else 0, network=network)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """2.2 s of a rising tone in noise, in 16 bits."""
    path = tmp_path_factory.mktemp("street") / "street.wav"
    noise = np.random.default_rng(0).normal(0, 0.02, round(2.2 * RATE))
    time_ = np.arange(len(noise)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 600 * time_) * time_) + noise, RATE)
    return path


def expected_percent(model, path, seconds, gain=1.0):
    """Percent of each class at a time, from the features of the whole sound."""
    samples, _ = soundfile.read(path, dtype="float32")
    frontend = from_pretrained(model.folder / "frontend")
    frames = int(frontend.output_lengths(torch.tensor(round(LIVE_SECONDS * RATE))))
    if model.heads:
        twin = MultiHeadRelevance(CosGaussFilterbank(RATE, 10, center=False), n_heads=2, context=2, hidden=3)
    else:
        twin = MelFrontend(RATE, 10, n_fft=256, center=False)
    twin.load_state_dict(frontend.state_dict())
    arrived = 1 + (round(seconds * RATE) - frontend.span) // frontend.hop_length - model.heads
    with torch.no_grad():
        features = twin(gain * torch.from_numpy(samples))[:, :arrived][:, -frames:]
        return 100 * model.network(features[None])[0].softmax(-1)


def lines_of(done):
    return [line for line in done.out.splitlines() if re.match(r" +[\d.]+ s ", line)]


@pytest.mark.parametrize("chunk", [10, 77, 3000])
def test_live_lines_are_those_of_the_offline_call(model, street, chunk):
    done = succeed("live_classifier.py", model.folder, street, "--speed", 0, "--chunk", chunk)
    lines = lines_of(done)
    assert len(lines) == (1 if chunk == 3000 else 3)
    at = [2.2] if chunk == 3000 else [1.0 if chunk == 10 else 1.001, 2.0 if chunk == 10 else 2.002, 2.2]
    for line, seconds in zip(lines, at, strict=True):
        percent = expected_percent(model, street, seconds)
        words = re.findall(r"  (\D+?) +(\d+) %", line.partition(" s")[2])
        assert [name for name, _ in words] == [LIVE_NAMES[i] for i in percent.topk(3).indices]
        assert [float(value) for _, value in words] == pytest.approx(percent.topk(3).values.tolist(), abs=0.51)
    factor, latency = done.out.splitlines()[-2:]
    assert float(re.match(r"real-time factor ([\d.]+): ", factor)[1]) > 0
    span = 32 if model.heads == 0 else 25 + 20
    assert latency.endswith(f": up to {chunk + span} ms ({chunk} ms chunk, {span} ms frame, 0 ms resampler)")


def test_live_keeps_time_and_gain_sets_the_level(model, street):
    started = time.perf_counter()
    loud = succeed("live_classifier.py", model.folder, street, "--speed", 4, "--gain", 20)
    assert time.perf_counter() - started >= 2.2 / 4
    values = [float(value) for value in re.findall(r"(\d+) %", lines_of(loud)[-1])]
    percent = expected_percent(model, street, 2.2, gain=10).topk(3).values.tolist()
    assert values == pytest.approx(percent, abs=0.51)


def test_live_converts_rates_and_channels_and_draws(model, street, tmp_path):
    samples, _ = soundfile.read(street)
    soundfile.write(tmp_path / "other.flac", np.stack([np.repeat(samples, 2)] * 2, axis=1), 2 * RATE)
    picture = tmp_path / "live.svg"
    done = succeed("live_classifier.py", model.folder, tmp_path / "other.flac", "--speed", 0, "--plot", picture)
    assert len(lines_of(done)) == 3
    assert re.search(r"[1-9]\d* ms resampler", done.out)
    drawn = picture.read_text(encoding="utf-8")
    assert drawn.count("<svg") == 1
    assert "time (s)" in drawn
    assert all(name in drawn for name in LIVE_NAMES)


def test_live_hears_what_was_trained(trained, sounds):
    done = succeed("live_classifier.py", trained[1], sounds / "high é" / "deep er" / "5.FLAC", "--speed", 0)
    assert lines_of(done)[-1].split()[2:4] == ["high", "é"]


def test_live_refuses_what_it_cannot_use_before_it_listens(model, street, tmp_path):
    script, corrupt = "live_classifier.py", tmp_path / "corrupt.flac"
    corrupt.write_bytes(b"fLaC but not really")
    (tmp_path / "model").mkdir()
    for message, *arguments in (
        (r"FOLDER must be from train_on_folder\.py, .* got .*model \(.*classes\.json", tmp_path / "model", street),
        (r"SOUND must be a file that libsndfile reads, got .*none\.wav", model.folder, tmp_path / "none.wav"),
        (r"SOUND must be .* got .*corrupt\.flac", model.folder, corrupt),
        (r"SOUND must be .* got", model.folder, tmp_path),
        (
            r"--plot must be a picture .*p\.xyz \(Format 'xyz' is not",
            model.folder,
            street,
            "--plot",
            tmp_path / "p.xyz",
        ),
        (r"--plot must be a picture .*No such file", model.folder, street, "--plot", tmp_path / "no" / "p.png"),
        (r"--speed must be 0 or more", model.folder, street, "--speed", -1),
        (r"--chunk more than 0", model.folder, street, "--chunk", 0),
        (r"--gain any number; all finite", model.folder, street, "--gain", "nan"),
    ):
        assert refuse(message, script, *arguments).out == ""


def test_live_refuses_sounds_without_a_frame_or_with_numbers_that_are_not_finite(model, tmp_path):
    for name, samples, message in (
        ("empty.wav", np.zeros(0), r"must last for 0\.05 s and a frame of features, got 0 s"),
        ("short.wav", np.zeros(100), r"must last for 0\.05 s and a frame of features, got 0\.0125 s"),
        ("nan.wav", np.where(np.arange(RATE) == 5000, np.nan, 0.1), r"must be finite, got others before 0\.7 s"),
    ):
        soundfile.write(tmp_path / name, samples, RATE, subtype="FLOAT")
        refuse(message, "live_classifier.py", model.folder, tmp_path / name, "--speed", 0)


def test_live_refuses_features_of_whole_clips(model, street, tmp_path):
    for name in ("network.pt2", "classes.json"):
        (tmp_path / name).write_bytes((model.folder / name).read_bytes())
    save_pretrained(presets.whisper(seconds=None), tmp_path / "frontend")
    message = r"with a front-end that streams, got .*compression must work frame by frame"
    refuse(message, "live_classifier.py", tmp_path, street)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """Folder of a small Audio Spectrogram Transformer that nobody trained, with numbers of its own."""
    needs("transformers")
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = ASTConfig(**small, max_length=128, id2label=dict(enumerate(["dog", "rain", "siren"])))
    network = ASTForAudioClassification(config).eval()
    with torch.no_grad():
        network.classifier.dense.weight.mul_(100)
    processor = ASTFeatureExtractor(max_length=128, mean=-5.0, std=3.0)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return SimpleNamespace(folder=folder, network=network, processor=processor)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_pretrained_model_takes_a_sound_file(transformer, street):
    done = succeed("pretrained_model.py", street, "--model", transformer.folder)
    lines = done.out.splitlines()
    # The script resamples all of the sound by one transform; so does this, in another library.
    from scipy.signal import resample

    samples = resample(soundfile.read(street)[0], round(2.2 * 16000)).astype(np.float32)
    features = transformer.processor(samples, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        percent = 100 * transformer.network(**features).logits[0].softmax(-1)
    expected = {transformer.network.config.id2label[i]: float(value) for i, value in enumerate(percent)}
    found = {line.partition("%  ")[2]: float(line.partition(" %")[0]) for line in lines[:3]}
    assert found == pytest.approx(expected, abs=0.06)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found["dog"] != pytest.approx(100 / 3, abs=1)
    assert float(re.fullmatch(r"largest difference from the processor's logits: (\S+)", lines[3])[1]) < 1e-3
    assert lines[4] == "with filters that learn: 0"
    sizes = {line.partition(":")[0]: int(line.split()[1]) for line in lines[5:]}
    others = sum(parameter.numel() for parameter in transformer.network.parameters())
    assert sizes == {"filters": 3 * 128, "network": others}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_pretrained_model_of_another_kind_and_what_is_no_sound_are_refused(street, tmp_path):
    needs("transformers")
    from transformers import WhisperConfig

    WhisperConfig().save_pretrained(tmp_path)
    script = "pretrained_model.py"
    refuse(r"--model must be an Audio .* \(it is of type whisper", script, street, "--model", tmp_path)
    refuse(r"--model must be an Audio .*, got /no/such", script, street, "--model", "/no/such")
    refuse(r"SOUND must be a file that libsndfile reads, got .*config", script, tmp_path / "config.json")
