import pytest
import torch
from torch.utils.data import DataLoader

from learnable_frontends import MelFrontend
from learnable_frontends.batching import collate_clips, pad_clips


def test_a_loader_gives_what_a_front_end_takes():
    data = [(torch.randn(length), {"label": length}) for length in (700, 900, 400)]
    waveforms, lengths, targets = next(iter(DataLoader(data, batch_size=3, collate_fn=collate_clips)))
    assert waveforms.shape == (3, 900)
    assert lengths.tolist() == targets["label"].tolist() == [700, 900, 400]
    for waveform, (clip, _) in zip(waveforms, data, strict=True):
        assert torch.equal(waveform[: len(clip)], clip)
        assert (waveform[len(clip) :] == 0).all()
    frontend = MelFrontend(8000, 6)
    features, frames = frontend(waveforms, lengths)
    torch.testing.assert_close(features[2, :, : frames[2]], frontend(data[2][0]), rtol=1e-5, atol=1e-6)


def test_what_is_not_a_clip_is_refused():
    with pytest.raises(ValueError, match=r"^clips must hold a waveform or more, got none$"):
        pad_clips([])
    with pytest.raises(
        ValueError, match=r"^clips must be \(time,\) each, got \(2, 5\) \(take one channel, or their mean"
    ):
        pad_clips([torch.ones(5), torch.ones(2, 5)])
