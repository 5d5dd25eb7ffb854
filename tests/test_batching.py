import pytest
import torch
from torch.utils.data import DataLoader

from learnable_frontends import PCEN, CosGaussFilterbank, MelFrontend, MultiHeadRelevance, presets
from learnable_frontends.batching import collate_clips, pad_clips
from learnable_frontends.inputs import Preemphasis


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


@pytest.mark.parametrize(
    "frontend",
    [
        MelFrontend(16000, 6),
        MelFrontend(16000, 6, pad_mode="constant"),
        MelFrontend(16000, 6, pad_mode="circular", inputs=Preemphasis()),
        CosGaussFilterbank(16000, 6, compression=PCEN(6)),
        MultiHeadRelevance(MelFrontend(16000, 6), context=2),
        presets.kaldi_fbank(),
    ],
    ids=["reflect", "constant", "circular, inputs", "kernels, PCEN", "heads", "without padding"],
)
class TestLengthsThatDoNotFit:
    """An error where values can be read; in a graph, and on a device, features are NaN or there are no frames."""

    def test_in_a_compiled_graph(self, frontend):
        torch.manual_seed(0)
        torch.compiler.reset()
        compiled = torch.compile(frontend, backend="eager", fullgraph=True)
        waveform = torch.randn(2, 4000)
        for length in (4001, 9000, 100, 0, -7):
            given = torch.tensor([4000, length])
            features, frames = compiled(waveform, given)
            torch.testing.assert_close(features[0], frontend(waveform[:1])[0], rtol=1e-4, atol=1e-4)
            if length == 100 and frontend.output_lengths(given)[1] and getattr(frontend, "pad_mode", "") == "constant":
                torch.testing.assert_close(features[1], frontend(waveform, given)[0][1], rtol=1e-4, atol=1e-4)
                continue
            with pytest.raises(ValueError, match=r"^lengths must be at (most|least)"):
                frontend(waveform, given)
            assert frames[1] == 0 or features[1, :, : frames[1]].isnan().all()

    def test_in_an_exported_one(self, frontend):
        inputs = torch.randn(2, 4000), torch.tensor([4000, 3000])
        program = torch.export.export(frontend, inputs).module()
        assert program(*inputs)[0].isfinite().all()
        assert program(inputs[0], torch.tensor([4001, 3000]))[0].isnan().any((1, 2)).tolist() == [True, False]
