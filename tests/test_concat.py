"""Front-ends side by side: the rows of each are what it computes alone, in every way of calling."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

from learnable_frontends import (
    PCEN,
    ConcatFrontend,
    CosGaussFilterbank,
    Decibels,
    GaussianFilterbank,
    LearnableMelFilterbank,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
)
from learnable_frontends.plotting import plot_center_frequencies
from learnable_frontends.pretrained import from_pretrained, save_pretrained
from learnable_frontends.streaming import StreamingFrontend

RATE = 8000


def parts(**settings):
    low = GaussianFilterbank(RATE, 5, f_max=1000.0, win_length=512, hop_length=80, **settings)
    high = SincFilterbank(RATE, 7, f_min=1000.0, win_length=128, hop_length=80, **settings)
    return [low, high]


def heads(frontend, **settings):
    torch.manual_seed(0)
    return MultiHeadRelevance(frontend, 2, context=2, hidden=3, **settings)


def test_rows_are_those_of_the_parts_and_centers_ascend(noise):
    bank, waveform = ConcatFrontend(parts()), noise(2, 3, 4000)
    for call in ("forward", "energies"):
        rows = torch.cat([getattr(part, call)(waveform) for part in parts()], dim=-2)
        assert_close(getattr(bank, call)(waveform), rows, rtol=0, atol=0)
    assert (bank.n_filters, bank.hop_length, bank.sample_rate, bank.f_min, bank.f_max) == (12, 80, RATE, 0.0, 4000.0)
    assert (bank.center_frequencies.diff() > 0).all()
    assert bank.bandwidths.shape == (12,)
    assert bank.power_response(1024).shape == (12, 513)
    assert bank.n_fft == bank.span == 512


def test_lengths_give_each_clip_its_own_features(noise):
    bank, clips = ConcatFrontend(parts()), noise(2, 4000)
    features, frames = bank(clips, torch.tensor([4000, 1500]))
    assert frames.tolist() == bank.output_lengths(torch.tensor([4000, 1500])).tolist() == [51, 19]
    assert_close(features[1, :, :19], bank(clips[1, :1500]), rtol=1e-5, atol=1e-5)
    assert not features[1, :, 19:].any()


@pytest.mark.parametrize("chunk", [1, 77, 600, 5000])
def test_a_stream_has_the_frames_whose_middles_the_parts_share(noise, chunk):
    low, high = parts(center=True)
    bank, waveform = ConcatFrontend([heads(low), heads(high)]), noise(5000)
    stream = StreamingFrontend(bank)
    features = torch.cat([*(stream(piece) for piece in waveform.split(chunk)), stream.flush()], dim=-1)
    alone = []
    for part, start in ((0, 0), (1, (512 - 128) // 2)):
        frontend = heads(parts(center=False)[part])
        frontend.load_state_dict(bank.parts[part].state_dict())
        alone.append(frontend(waveform[start:]))
    frames = 1 + (5000 - 512) // 80
    assert features.shape == (12, frames)
    # Heads of the short windows saw frames beyond the last of the long ones; in a stream they see as many.
    assert_close(features, torch.cat([rows[:, :frames] for rows in alone]), rtol=1e-4, atol=1e-5)
    assert stream.latency == 2 * 80


def test_frames_in_a_stream_have_the_middles_of_the_offline_call():
    click = torch.zeros(4000)
    click[256 + 20 * 80] = 1.0  # the middle of the twentieth frame of the stream
    energies = StreamingFrontend(ConcatFrontend(parts())).frontend.resume(click)[0].exp()
    time = torch.arange(energies.shape[-1])
    centroids = (energies * time).sum(-1) / energies.sum(-1)
    assert_close(centroids[:5], torch.full((5,), 20.0), rtol=0, atol=0.6)
    assert energies.argmax(-1).tolist() == [20] * 12


def test_frames_without_a_common_middle_cannot_be_streamed():
    odd = GaussianFilterbank(RATE, 5, win_length=511, n_fft=511, hop_length=80, center=False)
    other = SincFilterbank(RATE, 5, win_length=511, hop_length=80, center=False)
    assert StreamingFrontend(ConcatFrontend([odd, other])).latency == 0
    bank = ConcatFrontend([SincFilterbank(RATE, 5, win_length=w, hop_length=80) for w in (200, 301)])
    with pytest.raises(
        ValueError, match=r"^frontends must have frames with a common middle to be streamed, got frames"
    ):
        StreamingFrontend(bank)


def test_it_learns_freezes_is_copied_and_shared(noise, tmp_path):
    waveform = noise(2, 4000)
    bank = heads(ConcatFrontend([parts()[0], LearnableMelFilterbank(RATE, 7, hop_length=80, compression=PCEN(7))]))
    bank(waveform).sum().backward()
    assert all(parameter.grad is not None for parameter in bank.parameters())
    assert {group["name"] for group in bank.param_groups(1e-3, 1e-2)} == {"filters", "free", "frontend"}
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter += 0.1
    expected = bank(waveform).detach()
    assert not torch.allclose(bank.as_initialized()(waveform), expected)
    for other in (copy.deepcopy(bank), pickle.loads(pickle.dumps(bank))):
        assert_close(other(waveform).detach(), expected, rtol=0, atol=0)
    save_pretrained(bank, tmp_path)
    assert_close(from_pretrained(tmp_path)(waveform).detach(), expected, rtol=0, atol=0)
    assert bank.freeze().is_frozen
    assert_close(bank(waveform).detach(), expected, rtol=0, atol=0)
    _, ax = plot_center_frequencies({"both": bank})
    assert len(ax.lines[0].get_xdata()) == 12


def test_it_exports_with_a_dynamic_length(noise):
    bank, dynamic = ConcatFrontend(parts()), torch.export.Dim.DYNAMIC
    program = torch.export.export(bank, (noise(2, 4000),), dynamic_shapes=({0: dynamic, 1: dynamic},)).module()
    assert_close(program(noise(3, 2777)), bank(noise(3, 2777)), rtol=1e-5, atol=1e-5)


def test_it_is_built_without_memory_and_then_loaded(noise):
    saved = ConcatFrontend(parts())
    with torch.device("meta"):
        bank = ConcatFrontend(parts())
    bank.load_state_dict(saved.state_dict(), assign=True)
    assert_close(bank(noise(4000)), saved(noise(4000)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("frontends", "error", "message"),
    [
        (list, ValueError, r"^frontends must be one front-end or more, got none$"),
        (lambda: [MelFrontend(RATE, 4), Decibels()], TypeError, r"^frontends must be front-ends, got Decibels$"),
        (
            lambda: [MelFrontend(RATE, 4), MelFrontend(16000, 4)],
            ValueError,
            r"^frontends must have the same sample_rate, got \[8000, 16000\]$",
        ),
        (
            lambda: [MelFrontend(RATE, 4), MelFrontend(RATE, 4, hop_length=10)],
            ValueError,
            r"^frontends must have the same hop_length, got \[10, 80\]$",
        ),
        (
            lambda: [MelFrontend(RATE, 4, center=False), MelFrontend(RATE, 4, n_fft=512, center=False)],
            ValueError,
            r"^frontends must have the same first_frame_center, got \[128.0, 256.0\]$",
        ),
        (
            lambda: [MelFrontend(RATE, 4, n_fft=256), MelFrontend(RATE, 4, n_fft=257)],
            ValueError,
            r"^frontends must have the same number of frames, got \[1, 0\] for 0 samples \(center=True and an even",
        ),
    ],
)
def test_front_ends_that_do_not_fit_are_refused(frontends, error, message):
    with pytest.raises(error, match=message):
        ConcatFrontend(frontends())


def test_windows_of_one_length_need_no_center(noise):
    bank = ConcatFrontend([CosGaussFilterbank(RATE, 4, center=False), SincFilterbank(RATE, 4, center=False)])
    assert bank(noise(1000)).shape == (8, 11)
