"""A stream gives, chunk by chunk, the frames of the offline call on the whole."""

import copy
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import default_dtype, families
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from learnable_frontends import (
    PCEN,
    CosGaussFilterbank,
    Decibels,
    Frontend,
    KernelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    RelevanceWeighting,
)
from learnable_frontends.compression.pcen import smooth
from learnable_frontends.streaming import StreamingFrontend

RATE, FILTERS = 8000, 6
# Rounding of sums in another order; log energies reach some 10.
EXACT = {"rtol": 1e-9, "atol": 1e-11}
SINGLE = {"rtol": 1e-6, "atol": 1e-5}

HEADS = {
    "sigmoid": [{"context": 3}],
    "no context": [{"context": 0}],
    "conv": [{"context": 4, "first_layer": "conv"}],
    "softmax": [{"context": 2, "gate": "softmax"}],
    "softmax, conv": [{"context": 2, "gate": "softmax", "first_layer": "conv"}],
    "even-odd": [{"context": 2, "split": "even-odd", "skip": False}],
    "nested": [{"context": 3}, {"context": 1, "n_heads": 3}],
    "softmax inside": [{"context": 1, "gate": "softmax"}, {"context": 2}],
    "softmax outside": [{"context": 2}, {"context": 1, "gate": "softmax"}, {"context": 3, "gate": "softmax"}],
}
COMPRESSIONS = {
    "log": Log,
    "energies": nn.Identity,
    "decibels": lambda: Decibels(top_db=None),
    "pcen": lambda: PCEN(FILTERS, smoothing=0.3),
}


def build(family=CosGaussFilterbank, heads=(), dtype=torch.float64, *, center=False, **settings):
    """A small front-end, the same one at every call."""
    with torch.random.fork_rng(), default_dtype(dtype):
        torch.manual_seed(0)
        if "compression" in settings:
            settings["compression"] = settings["compression"]()
        settings = {"win_length": 80, "hop_length": 40, "center": center, **settings}
        frontend = family(RATE, FILTERS, **settings)
        for level in heads:
            frontend = MultiHeadRelevance(frontend, **{"n_heads": 2, "hidden": 3, **level})
    return frontend


def stream_all(stream, chunks):
    return torch.cat([*(stream(chunk) for chunk in chunks), stream.flush()], dim=-1)


def offline(frontend, waveform):
    with torch.no_grad():
        return frontend(waveform)


def held(stream):
    """Numbers that a stream keeps, with all of their memory."""
    return sum(tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in tensors_of(stream._state))


def tensors_of(state):
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in tensors_of(value)]
    return [state] if isinstance(state, torch.Tensor) else []


@st.composite
def chunkings(draw, longest=2000):
    """Sizes of chunks that follow each other: small and large ones, empty ones too."""
    sizes = draw(st.lists(st.one_of(st.integers(0, 90), st.integers(0, 700)), min_size=1, max_size=12))
    while sum(sizes) > longest:
        sizes.pop()
    return [*sizes, max(0, 200 - sum(sizes))]  # enough for an offline call


# Equal to offline

CASES = {name: (heads, Log) for name, heads in HEADS.items()}
CASES |= {name: ([], compression) for name, compression in COMPRESSIONS.items()}
CASES["pcen and heads"] = (HEADS["nested"], COMPRESSIONS["pcen"])


@pytest.mark.parametrize(("heads", "compression"), CASES.values(), ids=CASES)
@given(sizes=chunkings())
def test_any_chunks_give_the_frames_of_the_whole(noise, heads, compression, sizes):
    waveform = noise(sum(sizes), dtype=torch.float64)
    settings = {"heads": heads, "compression": compression}
    stream = StreamingFrontend(build(center=True, **settings))  # its own center does not count
    assert_close(stream_all(stream, waveform.split(sizes)), offline(build(**settings), waveform), **EXACT)


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "heads"])
@given(
    sizes=chunkings(),
    win_length=st.integers(1, 90),
    hop_length=st.integers(1, 130),
    kernel_size=st.integers(1, 20).map(lambda half: 2 * half + 1),
    padding=st.sampled_from(["full", "valid"]),
)
def test_every_family_and_any_lengths(family, noise, wrapped, sizes, win_length, hop_length, kernel_size, padding):
    settings = {"win_length": win_length, "hop_length": hop_length}
    if issubclass(family, KernelFilterbank):
        win_length = max(win_length, kernel_size)
        settings |= {"win_length": win_length, "kernel_size": kernel_size, "padding": padding}
    heads = [{"context": 2}] if wrapped else []
    frontend, waveform = build(family, heads, **settings), noise(sum(sizes), dtype=torch.float64)
    needed = getattr(frontend, "frontend", frontend).framing.span
    got = stream_all(StreamingFrontend(frontend), waveform.split(sizes))
    if len(waveform) < needed:
        assert got.shape == (FILTERS, 0)  # offline refuses it
    else:
        assert_close(got, offline(frontend, waveform), **EXACT)


def test_families_are_those_of_the_package():
    assert {family.__name__ for family in families(Frontend)} >= {"CosGaussFilterbank", "MelFrontend", "SincFilterbank"}


@pytest.mark.parametrize("hop_length", [81, 200, 1000])
@pytest.mark.parametrize("size", [1, 7, 80, 333, 5000])
def test_hops_longer_than_frames(noise, hop_length, size):
    frontend = build(heads=[{"context": 1}], hop_length=hop_length)
    waveform = noise(3, 3500, dtype=torch.float64)
    got = stream_all(StreamingFrontend(frontend), waveform.split(size, dim=-1))
    assert_close(got, offline(frontend, waveform), **EXACT)


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_streams_side_by_side_are_those_alone(noise, lead, compression):
    frontend = build(heads=HEADS["softmax inside"], compression=compression)
    waveform = noise(*lead, 900, dtype=torch.float64)
    got = stream_all(StreamingFrontend(frontend), waveform.split(130, dim=-1))
    assert_close(got, offline(frontend, waveform), **EXACT)
    flat = got.reshape(-1, FILTERS, got.shape[-1])
    for item, alone in zip(flat, waveform.reshape(-1, 900), strict=True):
        assert_close(item, stream_all(StreamingFrontend(frontend), alone.split(77)), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(("heads", "compression"), CASES.values(), ids=CASES)
def test_chunks_of_every_type_as_offline(noise, dtype, compression, heads):
    frontend = build(heads=heads, dtype=torch.float32, compression=compression)
    waveform = noise(2, 1600).to(dtype)
    got = stream_all(StreamingFrontend(frontend), waveform.split(100, dim=-1))
    expected = offline(frontend, waveform)
    assert got.dtype == expected.dtype == dtype
    # In 16 bits, float32 rounding may tip a feature over to the neighboring number, and masks again.
    loose = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 4 * torch.finfo(dtype).eps}
    assert_close(got, expected, **(SINGLE if dtype == torch.float32 else loose))


def test_autocast_leaves_features_alone(noise):
    stream, waveform = StreamingFrontend(build(heads=HEADS["sigmoid"], dtype=torch.float32)), noise(800)
    expected = stream_all(stream, waveform.split(100))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(stream_all(stream, waveform.split(100)), expected, rtol=0, atol=0)


@given(frames=st.integers(1, 150), first=st.integers(0, 150))
def test_smoothing_goes_on_from_a_mean(frames, first):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, 3, first + frames, generator=generator, dtype=torch.float64)
    share = torch.tensor([0.02, 0.3, 0.9], dtype=torch.float64)
    whole = smooth(values, share)
    start = whole[..., first - 1] if first else values[..., 0]
    assert_close(smooth(values[..., first:], share, start), whole[..., first:], **EXACT)


# When frames come


@pytest.mark.parametrize("heads", [[], *HEADS.values()], ids=["bare", *HEADS])
@pytest.mark.parametrize("hop_length", [10, 25])
def test_latency_is_the_longest_that_a_frame_waits_for(noise, heads, hop_length):
    frontend = build(heads=heads, win_length=20, hop_length=hop_length, kernel_size=5)
    stream, waits, frame = StreamingFrontend(frontend), [], 0
    for arrived, sample in enumerate(noise(1500, dtype=torch.float64).split(1)):
        for _ in range(stream(sample).shape[-1]):
            waits.append(arrived - (frame * hop_length + 19))
            frame += 1
    assert max(waits) == stream.latency
    assert frame >= 20


@pytest.mark.parametrize(("gate", "frames"), [("sigmoid", 10), ("softmax", 20)])
def test_latency_is_counted_in_samples(gate, frames):
    stream = StreamingFrontend(MultiHeadRelevance(MelFrontend(16000, 40), context=10, gate=gate))
    assert stream.latency == frames * 160


def test_flush_gives_what_heads_wait_with_and_starts_anew(noise):
    frontend = build(heads=[{"context": 3}])
    stream, waveform = StreamingFrontend(frontend), noise(80 + 9 * 40 + 39, dtype=torch.float64)
    expected = offline(frontend, waveform)
    for _ in range(2):
        assert_close(stream(waveform), expected[:, :7], **EXACT)
        assert_close(stream.flush(), expected[:, 7:], **EXACT)
    assert stream(noise(2, 80, dtype=torch.float64)).shape == (2, FILTERS, 0)
    assert stream.flush().shape == (2, FILTERS, 1)


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("hop_length", [40, 500])
def test_reset_forgets_everything(noise, compression, hop_length):
    frontend = build(heads=HEADS["softmax outside"], compression=compression, hop_length=hop_length)
    stream, waveform = StreamingFrontend(frontend), noise(1333, dtype=torch.float64)
    stream(noise(4, 777, dtype=torch.float64, seed=1))
    stream.reset()
    assert held(stream) == 0
    assert_close(stream_all(stream, waveform.split(200)), offline(frontend, waveform), **EXACT)


# State


@pytest.mark.parametrize(("heads", "compression"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("hop_length", [40, 120])
def test_what_is_held_does_not_grow(noise, heads, compression, hop_length):
    frontend = build(heads=heads, compression=compression, hop_length=hop_length)
    stream, waveform = StreamingFrontend(frontend), noise(20_000, dtype=torch.float64)
    frames = sum(2 * level["context"] + 1 for level in heads)
    most = 80 + FILTERS * (1 + frames)
    for size in (1, 33, 80, 1000, 10_000):
        for chunk in waveform.split(size)[:120]:
            stream(chunk)
            assert held(stream) <= most


def test_streams_are_not_in_the_state_dict(noise):
    frontend = build(heads=HEADS["nested"], compression=COMPRESSIONS["pcen"])
    stream = StreamingFrontend(frontend)
    stream(noise(500, dtype=torch.float64))
    assert set(stream.state_dict()) == {f"frontend.{name}" for name in frontend.state_dict()}
    assert held(stream) > 0
    stream.frontend.load_state_dict(frontend.state_dict())


def test_copies_and_pickles_go_on_by_themselves(noise):
    frontend, waveform = build(heads=HEADS["nested"], compression=COMPRESSIONS["pcen"]), noise(900, dtype=torch.float64)
    stream = StreamingFrontend(frontend)
    start = stream(waveform[:400])
    for other in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream)), stream):
        rest = torch.cat([other(waveform[400:]), other.flush()], -1)
        assert_close(torch.cat([start, rest], -1), offline(frontend, waveform), **EXACT)


def test_streams_move_with_the_module(noise):
    frontend, waveform = build(heads=HEADS["sigmoid"], dtype=torch.float32), noise(900)
    stream = StreamingFrontend(frontend)
    start = stream(waveform[:400])
    stream.double()
    rest = torch.cat([stream(waveform[400:].double()), stream.flush()], -1)
    assert_close(torch.cat([start.double(), rest], -1), offline(frontend, waveform).double(), rtol=1e-5, atol=1e-5)


def test_the_front_end_that_was_given_is_left_alone(noise):
    frontend, waveform = build(heads=HEADS["sigmoid"]).train(), noise(900, dtype=torch.float64)
    expected = offline(frontend, waveform)
    stream = StreamingFrontend(frontend)
    assert frontend.training
    assert not frontend.is_frozen
    assert all(parameter.requires_grad for parameter in frontend.parameters())
    with torch.no_grad():
        for parameter in frontend.parameters():
            parameter.mul_(2)
    assert_close(stream_all(stream, [waveform]), expected, **EXACT)


def test_there_are_no_gradients(noise):
    stream = StreamingFrontend(build(heads=HEADS["sigmoid"], compression=COMPRESSIONS["pcen"]))
    features = stream_all(stream, noise(900, dtype=torch.float64).requires_grad_().split(300))
    assert not features.requires_grad
    assert not stream(noise(900, dtype=torch.float64).requires_grad_()).requires_grad
    assert not any(state.requires_grad for state in stream.buffers())


# Refusals


class Halves(nn.Module):
    def forward(self, energies):
        return energies / 2


class KnownHalves(Halves):
    frame_by_frame = True


class OtherLog(Log):
    pass


def test_a_compression_says_that_it_works_frame_by_frame(noise):
    waveform = noise(900, dtype=torch.float64)
    says_so = Halves()
    says_so.frame_by_frame = True
    for compression in (KnownHalves(), says_so):
        frontend = build(compression=lambda made=compression: made)
        got = stream_all(StreamingFrontend(frontend), waveform.split(100))
        assert_close(got, frontend.energies(waveform).detach() / 2, **EXACT)
    for compression in (Halves(), OtherLog()):
        hint = r"\(if its features of a frame do not depend on other frames, give it an attribute frame_by_frame = True"
        name = type(compression).__name__
        with pytest.raises(ValueError, match=rf"^compression must work frame by frame, got {name} {hint}\)$"):
            StreamingFrontend(MelFrontend(8000, 6, compression=compression))


def test_decibels_below_the_loudest_bin_of_a_clip_are_refused():
    with pytest.raises(ValueError, match=r"got Decibels\(.*top_db=80.0\), .* whole clip \(use top_db=None\)"):
        StreamingFrontend(MultiHeadRelevance(MelFrontend(8000, 6, compression=Decibels())))


@pytest.mark.parametrize("frontend", [nn.Identity(), RelevanceWeighting(6)], ids=lambda module: type(module).__name__)
def test_what_is_no_front_end_is_refused(frontend):
    name = type(frontend).__name__
    with pytest.raises(TypeError, match=rf"^frontend must be a Frontend such as CosGaussFilterbank, got {name}$"):
        StreamingFrontend(frontend)


def test_chunks_that_do_not_belong_to_the_streams_are_refused(noise):
    stream, chunk = StreamingFrontend(build(dtype=torch.float32)), noise(2, 100)
    stream(chunk)
    before = stream(noise(2, 0))
    assert before.shape == (2, FILTERS, 0)
    again = r"\(flush\(\) or reset\(\) starts new streams\)$"
    with pytest.raises(
        ValueError, match=rf"^chunk must have the leading axes \(2,\), as before, got shape \(100,\) {again}"
    ):
        stream(noise(100))
    with pytest.raises(TypeError, match=rf"^chunk must be of type torch.float32, as before, got torch.float64 {again}"):
        stream(chunk.double())
    with pytest.raises(ValueError, match=rf"^chunk must be on cpu, as before, got meta {again}"):
        stream(chunk.to("meta"))
    stream.reset()
    assert stream(noise(100).double()).dtype == torch.float64


def test_what_is_no_chunk_is_refused():
    stream = StreamingFrontend(build())
    with pytest.raises(TypeError, match=r"^chunk must be a floating-point tensor, got torch.int16 .*32768.0\)$"):
        stream(torch.zeros(10, dtype=torch.int16))
    with pytest.raises(TypeError, match=r"^chunk must be a floating-point tensor, got list"):
        stream([0.0])
    with pytest.raises(ValueError, match=r"^chunk must have a time axis, got a tensor without axes"):
        stream(torch.tensor(1.0))


def test_flush_without_a_chunk_is_refused(noise):
    stream = StreamingFrontend(build())
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^flush must follow a chunk, got none since the start"):
            stream.flush()
        stream(noise(1, dtype=torch.float64))
        stream.flush()


# Benchmark


def test_benchmark_runs_and_finds_a_bounded_state(tmp_path):
    root = Path(__file__).parents[1]
    command = [sys.executable, "-W", "error", "-m", "benchmarks.streaming", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "streaming.json").read_text())
    assert all(math.isfinite(row["ratio"]) and row["ratio"] > 0 for row in report["rows"])
    assert all(row["state_last"] <= row["state_most"] <= row["state_bound"] for row in report["long"])
    assert (tmp_path / "streaming.md").read_text() in done.stdout
    assert (tmp_path / "streaming.svg").stat().st_size > 0
