import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parent))

from model_features import REFERENCES

from benchmarks.processors import KINDS, sound
from learnable_frontends import CosGaussFilterbank, Frontend, GaussianFilterbank, LearnableMelFilterbank, presets
from learnable_frontends.streaming import StreamingFrontend


def build(name, **more):
    given, _ = REFERENCES[name]
    return getattr(presets, name.split()[0])(**given, **more)


def test_every_preset_has_a_reference():
    named = {name for name in presets.__all__ if inspect.isfunction(getattr(presets, name))}
    assert {name.split()[0] for name in REFERENCES} == named - {"kaldi_framing", "povey_window"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFERENCES)
def test_features_are_those_of_the_model_in_float64(name, kind):
    frontend = build(name).double()
    waveform = sound(kind, frontend.sample_rate)
    with np.errstate(all="ignore"):  # silence has no deviation
        expected = torch.from_numpy(REFERENCES[name][1](waveform))
    features = frontend(torch.from_numpy(waveform))
    known = expected.isfinite()
    assert features.shape == expected.shape
    assert_close(features[known], expected[known], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", REFERENCES)
def test_float32_is_within_a_thousandth_of_the_spread(name):
    frontend = build(name)
    waveform = sound("speech", frontend.sample_rate)
    expected = torch.from_numpy(REFERENCES[name][1](waveform)).float()
    features = frontend(torch.from_numpy(waveform).float())
    assert (features - expected).abs().max() <= 1e-3 * expected.std()


@pytest.mark.parametrize("name", REFERENCES)
def test_a_bank_that_learns_starts_with_the_same_features(name, noise):
    frontend, learned = build(name), build(name, learn=True)
    assert isinstance(learned, LearnableMelFilterbank)
    waveform = noise(2, 20000)
    assert torch.equal(learned(waveform), frontend(waveform))
    learned(waveform).square().sum().backward()
    assert learned.raw_displacements.grad.abs().sum() > 0


@pytest.mark.parametrize("name", REFERENCES)
def test_a_clip_in_a_padded_batch_has_the_features_that_it_has_alone(name, noise):
    frontend, waveform, lengths = (
        build(name).double(),
        noise(2, 20000, dtype=torch.float64),
        torch.tensor([20000, 9001]),
    )
    features, frames = frontend(waveform, lengths)
    for i, length in enumerate(lengths.tolist()):
        alone = frontend(waveform[i, :length])
        assert frames[i] == alone.shape[-1] == frontend.output_lengths(lengths)[i]
        assert_close(features[i, :, : frames[i]], alone, rtol=1e-9, atol=1e-9)
        assert not features[i, :, frames[i] :].any()


@pytest.mark.parametrize("build_bank", [CosGaussFilterbank, GaussianFilterbank], ids=lambda family: family.__name__)
def test_learned_families_hear_frames_as_kaldi_cuts_them(build_bank, noise):
    bank = build_bank(
        16000, 40, **presets.kaldi_framing(), **({"align": "start"} if build_bank is GaussianFilterbank else {})
    )
    waveform = noise(16000)
    assert bank(waveform).shape == (40, 98)
    offset = bank(waveform + 0.3)  # the mean of a frame is not heard
    assert_close(offset, bank(waveform), rtol=1e-3, atol=1e-3)


STREAMED = {"kaldi_fbank", "beats", "vggish", "yamnet", "hifigan", "bigvgan", "panns", "speecht5", "efficientat"}
STREAMED |= {"musicnn", "resemblyzer"}


@pytest.mark.parametrize("name", REFERENCES)
def test_what_needs_the_whole_clip_is_refused_in_streams(name, noise):
    if name not in STREAMED:
        with pytest.raises(ValueError, match=r"must work frame by frame|drop_last must be False"):
            StreamingFrontend(build(name))
        return
    frontend, waveform = build(name), noise(20000)
    stream = StreamingFrontend(frontend)
    features = torch.cat([stream(chunk) for chunk in waveform.split(777)], dim=-1)
    if not frontend.center and not any(frontend.framing.padding):
        assert_close(features, frontend(waveform), rtol=1e-4, atol=1e-4)
    assert features.shape[-1] > 10


@pytest.mark.filterwarnings("ignore:n_fft=512 leaves 1 of 128 mel filters")
@pytest.mark.parametrize("name", ["whisper", "ast", "nemo"])
def test_presets_export_and_are_shared(name, tmp_path, noise):
    from learnable_frontends.pretrained import from_pretrained, save_pretrained

    frontend, waveform = build(name, learn=True).eval(), noise(2, 20000)
    dynamic = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(frontend, (noise(2, 20000),), dynamic_shapes=dynamic).module()
    assert_close(program(noise(3, 12345)), frontend(noise(3, 12345)), rtol=1e-4, atol=1e-4)
    save_pretrained(frontend, tmp_path)
    assert torch.equal(from_pretrained(tmp_path)(waveform), frontend(waveform))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_range_of_16_bit_amplitudes(dtype, noise):
    features = presets.beats()(noise(16000).to(dtype))
    assert features.dtype == dtype
    assert features.isfinite().all()
    assert_close(features.float(), presets.beats()(noise(16000).to(dtype).float()), rtol=0.02, atol=0.02)


def test_a_preset_is_a_front_end():
    assert all(isinstance(build(name), Frontend) for name in REFERENCES)


def test_a_window_that_kaldi_lacks_is_refused():
    with pytest.raises(ValueError, match=r"^window must be one of \['hanning', 'povey'\], got 'hamming'$"):
        presets.kaldi_framing(window="hamming")
