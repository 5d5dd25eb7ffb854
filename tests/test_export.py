"""Front-ends in compiled, exported and ONNX form: every family, bare and behind relevance heads."""

import os
import shutil
import sys

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.testing import assert_close

from learnable_frontends import (
    CosGaussFilterbank,
    GaborFilterbank,
    LearnableMelFilterbank,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
)

# What torch's own exporters and compilers warn of does not concern us.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

FAMILIES = [MelFrontend, SincFilterbank, CosGaussFilterbank]
CLOSE = {"rtol": 1e-5, "atol": 2e-5}


def compiler():
    """The C++ compiler that inductor would use, or none."""
    candidates = [os.environ.get("CXX"), "g++", "clang++"]
    return next((name for name in candidates if name and shutil.which(name)), None)


needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or compiler() is None, reason="inductor needs a C++ compiler, and finds none here"
)


def make(family, heads, sample_rate=8000, n_filters=8):
    torch.manual_seed(1)
    frontend = family(sample_rate, n_filters)
    return frontend if heads is None else MultiHeadRelevance(frontend, context=3, **heads)


# Heads see features, whatever these come from: each family bare, and each kind of heads behind one of them.
CASES = [(family, None) for family in FAMILIES]
CASES += [(MelFrontend, {}), (SincFilterbank, {"first_layer": "conv"}), (CosGaussFilterbank, {"gate": "softmax"})]


def named(value):
    """An id of a family, of heads or of another argument."""
    if isinstance(value, dict):
        return "-".join(value.values()) or "heads"
    return "bare" if value is None else getattr(value, "__name__", str(value))


cases = pytest.mark.parametrize(("family", "heads"), CASES, ids=named)


def batches():
    generator = torch.Generator().manual_seed(2)
    for batch, time in ((2, 9000), (3, 5001), (5, 8007), (4, 3333), (2, 2480)):
        yield torch.randn(batch, time, generator=generator)


with_heads = pytest.mark.parametrize(("family", "heads"), [case for case in CASES if case[1] is not None], ids=named)


@with_heads
def test_one_graph_serves_every_batch_and_length(family, heads):
    torch._dynamo.reset()
    frontend = make(family, heads)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(frontend, fullgraph=True, dynamic=True, backend=counter)
    counts = []
    for waveform in batches():
        assert_close(compiled(waveform), frontend(waveform), **CLOSE)
        compiled(waveform, torch.full(waveform.shape[:1], 3000))
        counts.append(counter.frame_count)
    assert len(set(counts[1:])) == 1  # nothing is compiled anew after the second shape


def test_gradients_of_the_compiled_graph_are_the_same():
    torch._dynamo.reset()
    frontend = make(SincFilterbank, {})
    compiled = torch.compile(frontend, fullgraph=True, dynamic=True, backend="aot_eager")
    for waveform in list(batches())[:2]:
        results = []
        for module in (compiled, frontend):
            frontend.zero_grad()
            leaf = waveform.clone().requires_grad_()
            module(leaf).square().mean().backward()
            results.append([leaf.grad, *(p.grad.clone() for p in frontend.parameters())])
        for mine, expected in zip(*results, strict=True):
            assert_close(mine, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@needs_compiler
def test_inductor_gives_the_same_features_and_gradients():
    torch._dynamo.reset()
    frontend = make(SincFilterbank, None)
    compiled = torch.compile(frontend, fullgraph=True, dynamic=True)
    for waveform in list(batches())[:2]:
        gradients = []
        for module in (compiled, frontend):
            frontend.zero_grad()
            module(waveform).square().mean().backward()
            gradients.append([p.grad.clone() for p in frontend.parameters()])
        assert_close(compiled(waveform), frontend(waveform), **CLOSE)
        for mine, expected in zip(*gradients, strict=True):
            assert_close(mine, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def ops_of(graph):
    calls = {str(node.target) for node in graph.nodes if node.op == "call_function"}
    return {name for name in calls if name.startswith("learnable_frontends")}


@pytest.mark.parametrize("gradients", [False, True], ids=["inference", "training"])
def test_on_a_cpu_and_without_gradients_steps_are_called_as_they_are(gradients):
    torch._dynamo.reset()
    frontend, graphs = make(CosGaussFilterbank, {}).eval(), []
    compiled = torch.compile(
        frontend, fullgraph=True, dynamic=True, backend=lambda module, _: graphs.append(module) or module
    )
    with torch.set_grad_enabled(gradients):
        for waveform in batches():
            assert_close(compiled(waveform), frontend(waveform), **CLOSE)
    found = set().union(*(ops_of(module.graph) for module in graphs))
    steps = {"learnable_frontends.energies.default", "learnable_frontends.head_logits.default"}
    assert found == (set() if gradients else steps)
    program = torch.export.export(frontend, (torch.randn(2, 4000),), strict=True)
    assert not ops_of(program.graph)  # other programs do not have them


def test_a_spectrum_of_a_users_own_is_traced():
    class Louder(MelFrontend):
        def spectrum(self, frames):
            return 2 * super().spectrum(frames)

    torch._dynamo.reset()
    frontend, waveform = Louder(8000, 8), torch.randn(2, 4000)
    compiled = torch.compile(frontend, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert_close(compiled(waveform), frontend(waveform), **CLOSE)


@pytest.mark.parametrize(
    ("family", "heads", "frozen", "transform"),
    [(*case, case[1] != {}, "fft") for case in CASES if case[1] is not None]
    + [
        (SincFilterbank, None, True, "fft"),
        (MelFrontend, None, False, "matmul"),
        (CosGaussFilterbank, None, True, "matmul"),
    ],
    ids=named,
)
def test_an_exported_program_is_saved_and_loaded(family, heads, frozen, transform, tmp_path):
    frontend = make(family, heads).eval().set_transform(transform)
    if frozen:
        frontend.freeze()
    dynamic = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(frontend, (torch.randn(2, 4000),), dynamic_shapes=dynamic)
    torch.export.save(program, tmp_path / "frontend.pt2")
    loaded = torch.export.load(tmp_path / "frontend.pt2").module()
    for waveform in batches():
        assert_close(loaded(waveform), frontend(waveform), **CLOSE)


def run_onnx(module, waveforms, path):
    """Export with dynamic batch and time, and run on each of ``waveforms``."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    pytest.importorskip("onnxscript", reason="needs the extra [onnx]")
    dynamic = ({0: "batch", 1: "time"},)
    program = torch.onnx.export(
        module, (torch.randn(2, 4000),), dynamo=True, dynamic_shapes=dynamic, verbose=False, external_data=False
    )
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    operators = {node.op_type for node in program.model_proto.graph.node}
    return [torch.from_numpy(session.run(None, {name: waveform.numpy()})[0]) for waveform in waveforms], operators


@pytest.mark.parametrize("family", [LearnableMelFilterbank, SincFilterbank, GaborFilterbank])
def test_onnx_with_its_own_transform_is_close(family, tmp_path):
    frontend = make(family, None, 16000, 40).eval()
    waveforms = list(batches())
    results, operators = run_onnx(frontend, waveforms, tmp_path / "frontend.onnx")
    assert "DFT" in operators
    for waveform, result in zip(waveforms, results, strict=True):
        assert_close(result, frontend(waveform).detach(), rtol=0, atol=2e-3)


@cases
def test_a_call_never_waits_for_the_device(family, heads):
    """Tensors without values, not on a CPU: whatever looks at one (``.item()``, ``if tensor``) raises."""
    frontend = make(family, heads)
    named = list(frontend.named_parameters())
    with FakeTensorMode():
        state = {
            name: torch.empty(value.shape, dtype=value.dtype, device="meta", requires_grad=value.requires_grad)
            for name, value in named
        }
        waveform = torch.empty(2, 8000, device="meta", requires_grad=True)
        features = functional_call(frontend, state, (waveform,))
        assert features.shape == (2, 8, 101)
        lengths = torch.empty(2, dtype=torch.int64, device="meta")
        with_lengths, frames = functional_call(frontend, state, (waveform, lengths))
        assert with_lengths.shape == features.shape
        assert frames.shape == (2,)
        (features.sum() + with_lengths.sum()).backward()


def test_a_look_at_a_value_is_seen():
    class Looks(nn.Module):
        def forward(self, energies):
            return energies / energies.max().item()

    frontend = MelFrontend(8000, 8, compression=Looks())
    with FakeTensorMode(), pytest.raises(RuntimeError, match="_local_scalar_dense"):
        frontend(torch.empty(2, 8000))
