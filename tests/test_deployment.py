"""One call from a trained model to a file: ONNX, an exported program, a compiled package."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from learnable_frontends import (
    PCEN,
    ConcatFrontend,
    CosGaussFilterbank,
    GaussianFilterbank,
    LearnableMelFilterbank,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
    WaveformModel,
    presets,
)
from learnable_frontends.deployment import deploy, exporters

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

RATE = 16000


def onnx_runtime():
    pytest.importorskip("onnxscript", reason="needs the extra [onnx]")
    return pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")


class Classifier(nn.Module):
    """A front-end with a classifier behind it, of clips of their own lengths if these are given."""

    def __init__(self, frontend):
        super().__init__()
        torch.manual_seed(0)
        self.frontend, self.normalize = frontend, nn.BatchNorm1d(frontend.n_filters)
        self.network = nn.Conv1d(frontend.n_filters, 5, 3)

    def forward(self, waveform, lengths=None):
        if lengths is None:
            return self.network(self.normalize(self.frontend(waveform))).amax(-1)
        features, frames = self.frontend(waveform, lengths)
        return {"logits": self.network(self.normalize(features)).mean(-1), "frames": frames}


def waveforms():
    generator = torch.Generator().manual_seed(2)
    return [0.3 * torch.randn(batch, time, generator=generator) for batch, time in ((1, 5001), (3, 9999), (7, 2480))]


def heads():
    torch.manual_seed(1)
    return MultiHeadRelevance(CosGaussFilterbank(RATE, 20), context=3)


MODELS = {
    "learned filters that moved": lambda: moved(LearnableMelFilterbank(44100, 40, win_length=2048, hop_length=1024)),
    "a hop that divides nothing": lambda: SincFilterbank(22050, 20, win_length=551, hop_length=221),
    "classifier with heads": lambda: Classifier(heads()),
    "softmax heads": lambda: MultiHeadRelevance(MelFrontend(RATE, 20), context=3, gate="softmax"),
    "PCEN": lambda: Classifier(CosGaussFilterbank(RATE, 20, compression=PCEN(20))),
    "literal convolution": lambda: CosGaussFilterbank(RATE, 4, kernel_size=65, padding="valid"),
    "two windows": lambda: ConcatFrontend(
        [MelFrontend(RATE, 8, win_length=length, hop_length=160, f_max=4000.0) for length in (400, 1024)]
    ),
    "preset": lambda: WaveformModel(presets.ast(learn=True), nn.Linear(128, 3), frames_first=True),
}


def moved(frontend):
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in frontend.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return frontend


@pytest.mark.parametrize("name", MODELS)
def test_an_onnx_file_has_the_outputs_of_the_model_at_lengths_never_seen(name, tmp_path):
    onnxruntime, model = onnx_runtime(), MODELS[name]().eval()
    deployed = deploy(model, tmp_path / "model.onnx")
    assert deployed.difference < 2e-5
    assert len({time for _, time in deployed.shapes}) > 2
    assert str(deployed).startswith(f"{tmp_path / 'model.onnx'}: differs from the model by at most ")
    session = onnxruntime.InferenceSession(deployed.path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["waveform"]
    shortest = int(deployed.metadata["min_samples"])
    for waveform in (*waveforms(), 0.3 * torch.randn(2, shortest)):
        (output,) = session.run(None, {"waveform": waveform.numpy()})
        expected = model(waveform).detach()
        assert_close(torch.from_numpy(output), expected, rtol=0, atol=3e-5 * max(1.0, float(expected.abs().max())))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    short = torch.randn(2, shortest - 1)
    with pytest.raises((ValueError, RuntimeError)):
        model(short)
    with pytest.raises(Exception, match=rf"indices element out of data bounds, idx={shortest - 1}\b"):
        session.run(None, {"waveform": short.numpy()})


def test_an_onnx_file_of_clips_of_several_lengths(tmp_path):
    onnxruntime, model = onnx_runtime(), Classifier(heads()).eval()
    deployed = deploy(model, tmp_path / "model.onnx", lengths=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for waveform in waveforms():
        lengths = torch.linspace(waveform.shape[1], waveform.shape[1] // 2, len(waveform)).long()
        logits, frames = session.run(None, {"waveform": waveform.numpy(), "lengths": lengths.numpy()})
        expected = model(waveform, lengths)
        assert_close(torch.from_numpy(logits), expected["logits"].detach(), rtol=0, atol=3e-5)
        assert frames.tolist() == expected["frames"].tolist()
    assert deployed.metadata["lengths"] == "int64, (batch,), samples of each clip, at least 201"
    for wrong in (200, 0, -5, 2001):
        with pytest.raises(ValueError, match="lengths must be at"):
            model(torch.zeros(2, 2000), torch.tensor([2000, wrong]))
        with pytest.raises(Exception, match=r"[Oo]ut of range"):
            session.run(None, {"waveform": torch.zeros(2, 2000).numpy(), "lengths": np.array([2000, wrong])})


def test_the_model_stays_as_it_is(tmp_path):
    model = Classifier(moved(heads())).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    deploy(model, tmp_path / "model.pt2")
    assert model.training
    assert not model.frontend.is_frozen
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_an_onnx_file_says_how_to_feed_it_and_what_its_rows_are(tmp_path):
    onnx_runtime()
    onnx = pytest.importorskip("onnx")
    bank = GaussianFilterbank(22050, 12, f_min=100.0, hop_length=300)
    deployed = deploy(Classifier(bank), tmp_path / "model.onnx", seconds=0.5)
    said = {entry.key: entry.value for entry in onnx.load(deployed.path).metadata_props}
    assert said == deployed.metadata
    assert (said["sample_rate"], said["sample_rate_unit"]) == ("22050", "Hz")
    assert said["waveform"] == "float32, (batch, time), full scale -1 to 1"
    frontend = json.loads(said["frontend.frontend"])
    assert frontend["family"] == "GaussianFilterbank"
    assert (frontend["hop_length_samples"], frontend["f_min_hz"], frontend["f_max_hz"]) == (300, 100.0, 11025.0)
    assert frontend["center_frequencies_hz"] == pytest.approx(bank.center_frequencies.tolist(), abs=1e-2)


def test_a_program_is_loaded_and_says_the_same(tmp_path):
    model = Classifier(heads()).eval()
    deployed = deploy(model, tmp_path / "model.pt2", lengths=True)
    assert deployed.kind == "program"
    files = {"frontend.json": ""}
    loaded = torch.export.load(tmp_path / "model.pt2", extra_files=files).module()
    assert json.loads(files["frontend.json"]) == deployed.metadata
    assert deployed.metadata["lengths"] == "int64, (batch,), samples of each clip, at least 201"
    for waveform in waveforms():
        lengths = torch.full((len(waveform),), waveform.shape[1] - 7)
        assert_close(loaded(waveform, lengths), model(waveform, lengths), rtol=1e-5, atol=2e-5)
    short = torch.randn(1, int(deployed.metadata["min_samples"]) - 1)
    with pytest.raises(AssertionError, match="Guard failed"):
        loaded(short, torch.tensor([short.shape[1]]))
    for wrong in (200, 0, 2001):
        with pytest.raises(RuntimeError, match="out of bounds"):
            loaded(torch.zeros(2, 2000), torch.tensor([2000, wrong]))


@pytest.mark.skipif(
    sys.platform != "linux" or not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))),
    reason="inductor needs a C++ compiler, and finds none here",
)
def test_a_package_is_loaded_and_says_the_same(tmp_path):
    model = heads().eval()
    deployed = deploy(model, tmp_path / "model.pt2", "package", seconds=0.25)
    loaded = torch._inductor.aoti_load_package(str(tmp_path / "model.pt2"))
    assert deployed.metadata.items() <= loaded.get_metadata().items()
    for waveform in waveforms():
        assert_close(loaded(waveform), model(waveform).detach(), rtol=1e-5, atol=2e-5)
    for too_short in (int(deployed.metadata["min_samples"]) - 1, 1):
        with pytest.raises(RuntimeError, match=r"index out of bounds|API call failed"):
            loaded(torch.randn(1, too_short))


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch):
    def wrong(*args):
        run = exporters._to_program(*args)
        return lambda *inputs: [output + 0.02 for output in run(*inputs)]

    monkeypatch.setitem(exporters.EXPORTERS, "program", wrong)
    (tmp_path / "model.pt2").write_text("the last one")
    with pytest.raises(RuntimeError, match=r"program of MelFrontend must differ .* at most 0\.001, got \d.* \(nothing"):
        deploy(MelFrontend(RATE, 8), tmp_path / "model.pt2")
    assert (tmp_path / "model.pt2").read_text() == "the last one"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    assert 1e-3 < deploy(MelFrontend(RATE, 8), tmp_path / "model.pt2", tolerance=0.1).difference <= 0.02


def test_numbers_that_are_finite_on_one_side_alone_are_a_difference(tmp_path, monkeypatch):
    monkeypatch.setitem(
        exporters.EXPORTERS, "program", lambda model, *_: lambda *inputs: [model(*inputs).fill_(torch.nan)]
    )
    with pytest.raises(RuntimeError, match="got inf"):
        deploy(MelFrontend(RATE, 8), tmp_path / "model.pt2")


def test_a_model_of_one_length_is_compared_at_that_length(tmp_path):
    model = nn.Sequential(MelFrontend(RATE, 8), nn.Flatten(), nn.Linear(8 * 51, 2))
    deployed = deploy(model, tmp_path / "model.pt2", seconds=0.5)
    assert deployed.shapes == ((2, 8000), (1, 8000))


def test_a_model_that_looks_at_its_numbers_is_refused(tmp_path):
    class Looks(nn.Module):
        def forward(self, features):
            return features if features.mean() > 0 else -features

    with pytest.raises(RuntimeError, match="Sequential cannot be exported as program for any number of clips and samp"):
        deploy(nn.Sequential(MelFrontend(RATE, 8), Looks()), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "arguments", "error", "said"),
    [
        (lambda: "mel", {}, TypeError, "model must be a torch.nn.Module, got str"),
        (lambda: nn.Linear(2, 2), {}, ValueError, "model must be or have a front-end, got Linear without one"),
        (
            lambda: nn.ModuleList([MelFrontend(8000), MelFrontend(16000)]),
            {},
            ValueError,
            r"model must have front-ends of one sample rate, got \[8000, 16000\] Hz",
        ),
        (lambda: heads().half(), {}, ValueError, r"model must be float32, got torch.float16 \(model.float\(\)\)"),
        (heads, {"path": "a.bin"}, ValueError, "path must end in .pt2 or .onnx, got '.*a.bin' "),
        (heads, {"path": "a.pt2", "kind": "tflite"}, ValueError, "kind must be one of onnx, program, package, got 'tf"),
        (heads, {"path": "a.pt2", "kind": "onnx"}, ValueError, "path must end in .onnx with kind='onnx', got "),
        (heads, {"path": "no/a.pt2"}, ValueError, "path must be in an existing folder, got "),
        (heads, {"seconds": 0}, ValueError, "seconds must be positive and finite, got 0"),
        (heads, {"tolerance": float("nan")}, ValueError, "tolerance must be positive and finite, got nan"),
        (heads, {"seconds": 1e-4}, ValueError, "waveform must have at least"),
    ],
)
def test_what_cannot_be_deployed_is_refused(model, arguments, error, said, tmp_path):
    arguments = {"path": "model.pt2", **arguments}
    path = tmp_path / arguments.pop("path")
    with pytest.raises(error, match=said):
        deploy(model(), path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "learnable-frontends\[onnx\]"'):
        deploy(MelFrontend(RATE), tmp_path / "model.onnx")
