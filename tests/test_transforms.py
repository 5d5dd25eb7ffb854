import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from learnable_frontends import LearnableMelFilterbank, RelevanceWeighting
from learnable_frontends.transforms import Cepstra, Deltas, MinMaxScale, Mixup, RandomCrop, SpecAugment

PARTS = {
    "contiguous": [[0, 1, 2, 3], [4, 5, 6, 7]],
    "even-odd": [[0, 2, 4, 6], [1, 3, 5, 7]],
    "unequal": [[0], [*range(1, 8)]],
}


def masked(transform, clips=40, n_filters=8, frames=20):
    """Which bins of noise a transform changed, and that it changed them to the mean of their clip."""
    features = torch.randn(clips, n_filters, frames)
    result = transform(features)
    changed = result != features
    assert_close(result[changed], features.mean((1, 2))[:, None, None].expand_as(features)[changed])
    return changed


def is_one_stretch(places):
    """Whether the true places of each row are neighbors."""
    starts = places.int().diff(dim=-1, prepend=torch.zeros(*places.shape[:-1], 1, dtype=torch.int)).eq(1).sum(-1)
    return bool((starts <= 1).all())


@given(
    parts=st.sampled_from(sorted(PARTS)),
    max_filters=st.integers(0, 9),
    max_frames=st.integers(0, 30),
    aligned=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_part_loses_a_stretch_of_filters_and_one_of_frames(parts, max_filters, max_frames, aligned, seed):
    torch.manual_seed(seed)
    changed = masked(SpecAugment(max_filters, max_frames, parts=PARTS[parts], aligned=aligned))
    for part in PARTS[parts]:
        filters, frames = changed[:, part].all(-1), changed[:, part].all(-2)
        assert torch.equal(changed[:, part], filters[:, :, None] | frames[:, None, :])
        for places, longest in ((filters, max_filters), (frames, max_frames)):
            # Where all frames are masked all filters are, and the other way round.
            whole = places.all(-1)
            assert is_one_stretch(places)
            assert (places.sum(-1) <= longest)[~whole].all()


def test_masks_reach_every_size_and_both_ends():
    torch.manual_seed(0)
    changed = masked(SpecAugment(3, 5), clips=2000)
    filters, frames = changed.all(-1), changed.all(-2)
    assert filters.sum(-1).unique().tolist() == [0, 1, 2, 3]
    assert frames.sum(-1).unique().tolist() == [0, 1, 2, 3, 4, 5]
    for size in range(4):  # uniform: 500 each, with a deviation below 20
        assert 400 < int((filters.sum(-1) == size).sum()) < 600
    assert filters.any(0).all()
    assert frames.any(0).all()


@pytest.mark.parametrize("split", ["contiguous", "even-odd"])
def test_aligned_parts_lose_the_same_places_and_others_do_not(split):
    torch.manual_seed(0)
    parts = RelevanceWeighting(8, 2, split=split).parts
    assert parts == PARTS[split]
    aligned = masked(SpecAugment(3, 5, parts=parts))
    assert torch.equal(aligned[:, parts[0]], aligned[:, parts[1]])
    changed = masked(SpecAugment(3, 5, parts=parts, aligned=False))
    assert not torch.equal(changed[:, parts[0]], changed[:, parts[1]])


def test_clips_draw_for_themselves():
    torch.manual_seed(0)
    changed = masked(SpecAugment(3, 5))
    assert len({tuple(clip.flatten().tolist()) for clip in changed}) > 20


@given(frames=st.integers(1, 25), aligned=st.booleans(), seed=st.integers(0, 99))
def test_crops_are_stretches_of_the_clip(frames, aligned, seed):
    torch.manual_seed(seed)
    parts = PARTS["even-odd"]
    times = torch.arange(20.0).expand(3, 2, 8, 20)  # each bin holds its time
    cropped = RandomCrop(frames, parts=parts, aligned=aligned)(times)
    kept = min(frames, 20)
    assert cropped.shape == (3, 2, 8, kept)
    assert_close(cropped - cropped[..., :1], torch.arange(float(kept)).expand_as(cropped), rtol=0, atol=0)
    starts = cropped[..., 0]
    for part in parts:
        assert (starts[..., part] == starts[..., part[:1]]).all()
    if aligned:
        assert (starts == starts[..., :1]).all()


def test_crops_start_everywhere_and_elsewhere_in_parts_that_are_not_aligned():
    torch.manual_seed(0)
    times = torch.arange(20.0).expand(400, 8, 20)
    starts = RandomCrop(15, parts=PARTS["even-odd"], aligned=False)(times)[..., 0]
    assert starts.unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert 0.05 < (starts[:, 0] == starts[:, 1]).double().mean() < 0.3  # 1 in 6 by chance


@pytest.mark.parametrize("transform", [SpecAugment(), RandomCrop(3)])
def test_evaluation_changes_nothing(transform, noise):
    features = noise(2, 8, 20)
    assert transform.eval()(features) is features
    transform.train()


@pytest.mark.parametrize("transform", [SpecAugment(3, 5), RandomCrop(7)])
def test_gradients_reach_what_is_kept(transform, noise):
    features = noise(2, 8, 20, dtype=torch.float64).requires_grad_()

    def seeded(features):
        torch.manual_seed(0)
        return transform(features)

    assert torch.autograd.gradcheck(seeded, features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_keep_their_type(dtype, noise):
    features = noise(8, 20).to(dtype)
    assert SpecAugment(3, 5)(features).dtype == RandomCrop(7)(features).dtype == dtype


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SpecAugment(max_filters=-1), ValueError, r"^max_filters must be at least 0, got -1$"),
        (lambda: SpecAugment(max_frames=2.5), TypeError, r"^max_frames must be a whole number, got 2.5$"),
        (lambda: RandomCrop(0), ValueError, r"^frames must be at least 1, got 0$"),
        (
            lambda: RandomCrop(5, parts=[[0, 1], [1, 2]]),
            ValueError,
            r"^parts must hold each filter from 0 on once and no part be empty, got \[\[0, 1\], \[1, 2\]\] "
            r"\(RelevanceWeighting.parts\)$",
        ),
        (lambda: SpecAugment(parts=[]), ValueError, r"got \[\] "),
        (lambda: SpecAugment(parts=[[0], []]), ValueError, r"got \[\[0\], \[\]\]"),
        (
            lambda: SpecAugment(parts=[[0], [1]])(torch.zeros(3, 9)),
            ValueError,
            r"^features must have the 2 filters of parts on axis -2, got 3$",
        ),
        (
            lambda: RandomCrop(2)(torch.zeros(3, 9, dtype=torch.int64)),
            TypeError,
            r"^features must be a floating-point tensor, got torch.int64$",
        ),
        (
            lambda: RandomCrop(2)(torch.zeros(9)),
            ValueError,
            r"^features must have filters and frames, got shape \(9,\)$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_printed_form_shows_the_settings():
    assert repr(SpecAugment(3, 5)) == "SpecAugment(max_filters=3, max_frames=5, aligned=True, maps=False)"
    assert repr(RandomCrop(7, aligned=False)) == "RandomCrop(frames=7, aligned=False, maps=False)"
    assert repr(Mixup(0.2)) == "Mixup(alpha=0.2)"


def test_maps_of_a_clip_share_masks_and_crops(noise):
    torch.manual_seed(0)
    features = noise(40, 3, 8, 20)
    lost = SpecAugment(3, 5, maps=True)(features) != features
    assert torch.equal(lost, lost[:, :1].expand_as(lost))
    assert len({tuple(clip.flatten().tolist()) for clip in lost}) > 20
    apart = SpecAugment(3, 5)(features) != features
    assert not torch.equal(apart, apart[:, :1].expand_as(apart))
    times = torch.arange(20.0).expand(40, 3, 8, 20)
    starts = RandomCrop(9, maps=True, parts=PARTS["even-odd"], aligned=False)(times)[..., 0]
    assert torch.equal(starts, starts[:, :1].expand_as(starts))
    assert not torch.equal(starts[..., 0], starts[..., 1])
    for transform in (SpecAugment(maps=True), RandomCrop(9, maps=True)):
        with pytest.raises(ValueError, match=r"^features must have maps, filters and frames with maps=True"):
            transform(noise(8, 20))


@given(seed=st.integers(0, 999))
def test_mixtures_are_of_two_clips_and_their_targets(seed):
    torch.manual_seed(seed)
    features, targets = Mixup(0.4)(torch.eye(6, dtype=torch.float64)[:, :, None], torch.eye(6, dtype=torch.float64))
    assert_close(features[..., 0], targets)  # mixed alike
    assert_close(targets.sum(-1), torch.ones(6, dtype=torch.float64))
    own, other = targets.diagonal(), targets - torch.diag(targets.diagonal())
    assert ((other > 0).sum(-1) <= 1).all()
    mixed = own < 1
    assert own[mixed].unique().numel() <= 1  # one share a batch


def test_mixtures_are_made_in_training_only_and_as_often_as_beta_says(noise):
    features, targets = noise(6, 3, 4), torch.eye(6)
    assert Mixup().eval()(features, targets) == (features, targets)
    torch.manual_seed(0)
    shares = [float(Mixup(0.4)(torch.eye(2)[:, :, None], torch.eye(2))[1].max()) for _ in range(400)]
    # Half of the draws mix with oneself. Of the others a share beyond 0.9 or below 0.1 has probability 0.51.
    beta = torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4)).sample((100_000,))
    expected = 0.5 + 0.5 * float((torch.maximum(beta, 1 - beta) > 0.9).double().mean())
    assert sum(share > 0.9 for share in shares) / 400 == pytest.approx(expected, abs=0.08)  # three deviations


@pytest.mark.parametrize("parts", [None, *PARTS.values()])
def test_scaled_parts_reach_from_zero_to_one(noise, parts):
    features = 5 * noise(2, 3, 8, 20, dtype=torch.float64) - 2
    scaled = MinMaxScale(parts=parts)(features)
    for part in parts or [list(range(8))]:
        clip = features[1, 2, part]
        assert_close(scaled[1, 2, part], (clip - clip.min()) / (clip.max() - clip.min()), rtol=1e-12, atol=1e-12)
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert_close(MinMaxScale()(torch.full((2, 4, 5), -7.0)), torch.zeros(2, 4, 5))


def test_deltas_equal_librosas_and_slopes_of_lines(noise):
    features = noise(2, 8, 30, dtype=torch.float64)
    stacked = Deltas()(features)
    assert stacked.shape == (2, 3, 8, 22)
    assert_close(stacked[:, 0], features[..., 4:-4], rtol=0, atol=0)
    for order in (1, 2):
        expected = features.numpy()
        for _ in range(order):
            expected = librosa.feature.delta(expected, width=5)
        assert_close(stacked[:, order].numpy(), expected[..., 4:-4], rtol=1e-10, atol=1e-12)
    line = 3.0 * torch.arange(12.0).expand(2, 12)
    assert_close(Deltas()(line)[1:], torch.tensor([3.0, 0.0])[:, None, None].expand(2, 2, 4))


@pytest.mark.parametrize("transform", [Deltas(), MinMaxScale(parts=PARTS["even-odd"])])
def test_gradients_equal_differences(transform, noise):
    assert torch.autograd.gradcheck(transform, noise(2, 8, 11, dtype=torch.float64).requires_grad_())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Mixup(0), ValueError, r"^alpha must be positive and finite, got 0 "),
        (
            lambda: Mixup()(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)),
            TypeError,
            r"^targets must be a floating-point tensor, got torch.int64 \(class indices: torch.nn.functional.one",
        ),
        (
            lambda: Mixup()(torch.zeros(2, 3), torch.zeros(3, 4)),
            ValueError,
            r"^targets must have the 2 clips of features, got 3$",
        ),
        (
            lambda: Deltas()(torch.zeros(3, 8)),
            ValueError,
            r"^features must have at least 9 frames, got 8 \(deltas lose 4 at each end\)$",
        ),
    ],
)
def test_what_does_not_fit_the_other_transforms_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("parts", [None, *PARTS.values()])
def test_scaling_leaves_out_what_is_not_finite(bad, parts):
    features = torch.randn(2, 8, 20, dtype=torch.float64)
    features[:, :, 0], features[:, :, 1] = -9.0, 9.0  # the smallest and the largest of each part
    expected = MinMaxScale(parts=parts)(features)
    spoiled = features.clone()
    spoiled[1, 3, 7] = bad
    scaled = MinMaxScale(parts=parts)(spoiled.requires_grad_())
    keep = torch.ones_like(expected, dtype=torch.bool)
    keep[1, 3, 7] = False
    assert_close(scaled[keep], expected[keep], rtol=0, atol=0)
    assert not scaled[1, 3, 7].isfinite()
    weights = torch.randn(2, 8, 20, dtype=torch.float64)
    (weights * scaled)[keep].sum().backward()
    features.requires_grad_()
    (weights * MinMaxScale(parts=parts)(features))[keep].sum().backward()
    assert_close(spoiled.grad[keep], features.grad[keep])


def test_a_clip_that_is_nowhere_finite_changes_no_other():
    features = torch.randn(2, 8, 20)
    features[0] = torch.nan
    scaled = MinMaxScale()(features)
    assert scaled[0].isnan().all()
    assert_close(scaled[1], MinMaxScale()(features[1]), rtol=0, atol=0)
    masked = SpecAugment(8, 20)(features.requires_grad_())
    masked[1].sum().backward()
    assert features.grad[1].isfinite().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_masks_have_the_mean_of_what_is_finite(bad):
    features = torch.randn(30, 8, 20)
    features[:, 2, 3] = bad
    result = SpecAugment(8, 20)(features)
    rest = features[features.isfinite()].view(30, -1)
    changed = result != features
    changed[:, 2, 3] = result[:, 2, 3].isfinite()
    assert_close(result[changed], rest.mean(1)[:, None, None].expand_as(features)[changed])
    assert changed.any()
    assert not result[~changed & ~features.isfinite()].isfinite().any()
    features.requires_grad_()
    result = SpecAugment(8, 20)(features)
    result[result.isfinite()].sum().backward()
    assert features.grad.isfinite().all()


def test_a_mean_of_half_precision_does_not_overflow():
    features = torch.full((1, 80, 1000), 60.0, dtype=torch.float16)  # their sum is 4.8 million
    assert (SpecAugment(80, 1000)(features) == 60).all()


@pytest.mark.parametrize("shape", [(8, 0), (2, 8, 0), (0, 8, 20), (0, 8, 0)], ids=str)
def test_no_frames_and_no_clips_give_as_many(shape):
    for parts in (None, *PARTS.values()):
        settings = [{"parts": parts, "aligned": aligned} for aligned in (True, False)]
        transforms = [MinMaxScale(parts=parts), *(SpecAugment(3, 3, **s) for s in settings)]
        for transform in (*transforms, *(RandomCrop(30, **s) for s in settings)):
            assert transform(torch.zeros(shape)).shape == shape
    assert RandomCrop(5)(torch.zeros(0, 8, 20)).shape == (0, 8, 5)


@pytest.mark.parametrize("transform", [MinMaxScale(), SpecAugment(), RandomCrop(5), Deltas()], ids=str)
def test_arrays_of_other_libraries_are_refused(transform):
    with pytest.raises(TypeError, match=r"^features must be a tensor, got ndarray \(torch.as_tensor makes one\)$"):
        transform(torch.zeros(8, 20).numpy())


def test_a_mixture_needs_a_number_and_tensors():
    with pytest.raises(TypeError, match=r"^alpha must be a number, got 'a' \("):
        Mixup("a")
    with pytest.raises(ValueError, match=r"^alpha must be positive and finite, got nan \("):
        Mixup(math.nan)
    for name, pair in (("features", [np.ones(2), torch.ones(2)]), ("targets", [torch.ones(2), np.ones(2)])):
        with pytest.raises(TypeError, match=rf"^{name} must be a tensor, got ndarray \(torch.as_tensor makes one\)$"):
            Mixup()(*pair)


def test_parts_must_be_lists():
    for parts in (2, [0, 1]):
        with pytest.raises(TypeError, match=r"^parts must be lists of filters, got .* \(RelevanceWeighting.parts\)$"):
            MinMaxScale(parts=parts)


@pytest.mark.parametrize(("n_cepstra", "lifter"), [(13, 0), (20, 22), (40, 0)])
def test_cepstra_equal_librosas(n_cepstra, lifter):
    levels = 20 * torch.randn(3, 40, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = librosa.feature.mfcc(S=levels.numpy(), n_mfcc=n_cepstra, lifter=lifter)
    assert_close(Cepstra(40, n_cepstra, lifter=lifter)(levels), torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


def test_cepstra_of_any_bank_and_what_does_not_fit(noise):
    frontend = nn.Sequential(LearnableMelFilterbank(16000, 30), Cepstra(30, 12))
    cepstra = frontend(noise(2, 4000))
    assert cepstra.shape == (2, 12, 26)
    cepstra.square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in frontend.parameters())
    assert Cepstra(30, 12)(noise(30, 5).half()).dtype == torch.float16
    with pytest.raises(ValueError, match="n_cepstra must be at most n_filters=30, got 31"):
        Cepstra(30, 31)
    with pytest.raises(ValueError, match="lifter must be 0 or more, got -1"):
        Cepstra(30, 12, lifter=-1)
    with pytest.raises(ValueError, match=r"features must be \(..., 30, frames\), got shape \(31, 5\)"):
        Cepstra(30, 12)(noise(31, 5))
    with pytest.raises(TypeError, match="features must be a floating-point tensor"):
        Cepstra(30, 12)(torch.ones(30, 5, dtype=torch.int64))
    assert repr(Cepstra(30, 12)) == "Cepstra(30, 12, lifter=0)"
