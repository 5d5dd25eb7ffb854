import pytest
import torch
from torch.testing import assert_close

from experiments.training.networks import CNNLSTM, FCN
from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
from learnable_frontends.transforms import Deltas, MinMaxScale


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_are_those_of_the_paper():
    assert count(FCN(10)) == 11_780_329  # "11.78M"
    assert count(CNNLSTM(10)) == 1_187_690  # "1.18M"
    frontend = MultiHeadRelevance(CosGaussFilterbank(44100, 80), 2)
    assert count(frontend.frontend) == 80
    assert count(frontend.relevance) == 2302
    assert 100 * count(frontend) / count(FCN(10)) == pytest.approx(0.02, abs=0.005)  # "0.02 % extra parameters"
    # "1.19M" with two heads; for that many a head must be the one of its own code, 51 -> 10 -> 1.
    other = MultiHeadRelevance(CosGaussFilterbank(44100, 80), 2, context=25, hidden=10, gate="softmax")
    assert 1_187_690 + count(other) == pytest.approx(1.19e6, abs=5e3)


def test_the_network_for_scenes_pools_as_said():
    network = FCN(10, width=4).eval()
    shapes = []
    for module in network.convolutions:
        module.register_forward_hook(
            lambda module, _, output: shapes.append((type(module).__name__, *output.shape[1:]))
        )
    assert network(torch.randn(2, 3, 80, 423)).shape == (2, 10)
    convolutions = [shape[1:] for shape in shapes if shape[0] == "Conv2d"]
    assert convolutions == [
        (4, 40, 212),
        (4, 40, 212),
        (8, 20, 106),
        (8, 20, 106),
        *[(16, 10, 53)] * 4,
        (10, 5, 26),
    ]


def test_attention_weights_each_class_map_by_its_mean_and_peak():
    torch.manual_seed(0)
    network = FCN(4, width=4).eval()
    features = torch.randn(2, 3, 32, 40)
    maps = network.convolutions(features)
    first, _, last = network.attention
    expected = torch.zeros(2, 4)
    for clip in range(2):
        mean, peak = maps[clip].mean((1, 2)), maps[clip].flatten(1).max(1).values
        score = sum(last(torch.relu(first(seen))) for seen in (mean, peak))
        expected[clip] = mean / (1 + torch.exp(-score))
    assert_close(network(features), expected)


def test_bands_are_pooled_after_the_relu_as_in_the_literature():
    torch.manual_seed(0)
    network = CNNLSTM(5, 20, maps=4, hidden=8)  # in training mode: with the batch's statistics
    features = torch.randn(3, 20, 30, dtype=torch.float64)
    network.double()
    convolution = network.convolution[0]
    padded = torch.nn.functional.pad(features, (2, 2, 2, 2)).unfold(1, 5, 1).unfold(2, 5, 1)
    maps = torch.einsum("bftij,mij->bmft", padded, convolution.weight[:, 0]) + convolution.bias[:, None, None]
    centered = maps - maps.mean((0, 2, 3), keepdim=True)
    normal = centered / (centered.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    expected = normal.relu().unflatten(2, (-1, 10)).amax(3)
    assert_close(network.convolution(features[:, None]), expected)


@pytest.mark.parametrize("frames", [1, 51, 200])
def test_the_recurrent_network_takes_any_number_of_frames_and_remembers(frames):
    torch.manual_seed(0)
    network = CNNLSTM(5, 20, maps=4, hidden=8).eval()
    features = torch.randn(3, 20, frames)
    assert network(features).shape == (3, 5)
    for frame in {0, frames - 1} if frames < 10 else {frames - 8, frames - 1}:
        changed = features.clone()
        changed[:, :, frame] += 1
        assert not torch.equal(network(features), network(changed))


def test_a_whole_model_learns_end_to_end():
    torch.manual_seed(0)
    frontend = MultiHeadRelevance(CosGaussFilterbank(8000, 20), 2)
    parts = frontend.relevance.parts
    model = torch.nn.Sequential(frontend, MinMaxScale(parts=parts), Deltas(), FCN(3, width=8, dropout=0.0))
    time = torch.arange(4000) / 8000
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * time) for hertz in (300, 310, 1000, 1030, 2500, 2600)])
    waveforms, targets = tones + 0.05 * torch.randn(6, 4000), torch.arange(6) // 2
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(model(waveforms), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FCN(1), ValueError, r"^n_classes must be at least 2, got 1$"),
        (lambda: FCN(10, width=2.5), TypeError, r"^width must be a whole number, got 2.5$"),
        (lambda: FCN(10, dropout=1.0), ValueError, r"^dropout must be at least 0 and less than 1, got 1.0$"),
        (lambda: CNNLSTM(10, dropout=-0.1), ValueError, r"^dropout must be at least 0 and less than 1, got -0.1$"),
        (lambda: CNNLSTM(10, 84), ValueError, r"^n_filters must be a multiple of pool=10, got 84$"),
        (
            lambda: FCN(10, width=2)(torch.zeros(2, 80, 423)),
            ValueError,
            r"^features must be \(batch, 3, n_filters, frames\) with at least 16 filters and frames, "
            r"got shape \(2, 80, 423\) \(transforms.Deltas makes three maps\)$",
        ),
        (
            lambda: CNNLSTM(10, 20, maps=2, hidden=4)(torch.zeros(2, 40, 5)),
            ValueError,
            r"^features must be \(batch, 20, frames\) with at least 1 frame, got shape \(2, 40, 5\)$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
