import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learnable_frontends import RelevanceWeighting
from learnable_frontends.analysis import mask_statistics

sizes = st.integers(1, 5)
FIELDS = ("total", "between_bands", "between_clips", "within_clip")


@st.composite
def weights(draw, low=0.0, high=1.0):
    """Masks of a few clips that vary in any of band, clip and frame, by any amount."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clips, filters, frames = draw(sizes), draw(sizes), draw(sizes)
    logits = draw(st.floats(-4, 4)) * np.ones((clips, filters, frames))
    for shape in ((1, filters, 1), (clips, filters, 1), (clips, filters, frames)):
        logits += draw(st.sampled_from([0.0, 0.1, 3.0])) * generator.standard_normal(shape)
    return torch.from_numpy(low + (high - low) / (1 + np.exp(-logits)))


def cut(data, n_filters):
    """Parts of any sizes in any order, as a permutation that is cut at some places."""
    order = data.draw(st.permutations(range(n_filters)))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, n_filters - 1)))) - {n_filters})
    return [list(map(int, part)) for part in np.split(np.array(order), cuts)]


@given(masks=weights(), data=st.data())
def test_squares_add_up_to_the_variance_that_numpy_gives(masks, data):
    parts = cut(data, masks.shape[1])
    for part, found in zip(parts, mask_statistics(masks, parts), strict=True):
        own = masks.numpy()[:, part]
        # One pass over all bins, and variances of means: no deviation is shared with the package's route.
        expected = [
            own.var(),
            own.mean(axis=(0, 2)).var(),
            own.mean(axis=2).var(axis=0).mean(),
            own.var(axis=2).mean(),
        ]
        squares = np.square([getattr(found, name) for name in FIELDS])
        np.testing.assert_allclose(squares, expected, atol=1e-14)  # rounding of squares below one
        assert squares[0] == pytest.approx(squares[1:].sum(), rel=1e-12)
        assert found.mean == pytest.approx(own.mean(), rel=1e-12)


@given(masks=weights())
def test_total_is_at_most_what_the_mean_allows(masks):
    (found,) = mask_statistics(masks, [range(masks.shape[1])])
    # Weights in (0, 1) with a given mean vary most if each is 0 or 1: Bhatia and Davis 2000.
    assert found.total <= np.sqrt(found.mean * (1 - found.mean)) + 1e-12
    assert found.total <= 0.5


def test_half_zeros_and_half_ones_reach_the_bound():
    masks = torch.tensor([0.0, 1.0]).expand(3, 2, 2)
    (found,) = mask_statistics(masks, [[0, 1]])
    assert found == (0.5, 0.5, 0.0, 0.0, 0.5)


@given(
    weight=st.floats(0, 1, width=32),
    shape=st.tuples(sizes, sizes, sizes),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_constant_mask_has_no_deviation_at_all(weight, shape, dtype):
    masks = torch.full(shape, weight, dtype=getattr(torch, dtype))
    (found,) = mask_statistics(masks, [range(shape[1])])
    assert found[1:] == (0.0, 0.0, 0.0, 0.0)
    assert found.mean == pytest.approx(weight, rel=1e-12)


@given(masks=weights())
def test_a_fixed_gain_for_each_band_is_all_between_bands(masks):
    gains = masks[:1, :, :1]
    (found,) = mask_statistics(gains.expand_as(masks), [range(masks.shape[1])])
    assert found.between_clips == found.within_clip == 0.0
    assert found.total == found.between_bands == pytest.approx(float(gains.std(correction=0)), abs=1e-8)


@given(masks=weights(), data=st.data())
def test_order_of_frames_and_clips_changes_nothing(masks, data):
    parts = cut(data, masks.shape[1])
    clips = data.draw(st.permutations(range(masks.shape[0])))
    frames = data.draw(st.permutations(range(masks.shape[2])))
    for found, other in zip(
        mask_statistics(masks, parts), mask_statistics(masks[clips][..., frames], parts), strict=True
    ):
        np.testing.assert_allclose(found, other, atol=1e-8)  # roots of rounding errors


@given(masks=weights())
def test_leading_axes_count_as_clips_and_none_is_one_clip(masks):
    parts = [range(masks.shape[1])]
    assert mask_statistics(masks[None, :, None], parts) == mask_statistics(masks, parts)
    assert mask_statistics(masks[0], parts) == mask_statistics(masks[:1], parts)
    assert mask_statistics(masks[0], parts)[0].between_clips == 0.0


def test_heads_with_gradients_and_in_half_precision_are_measured():
    relevance = RelevanceWeighting(6, n_heads=2, context=1, hidden=3, split="even-odd")
    masks = relevance.masks(torch.randn(2, 6, 20, dtype=torch.bfloat16))
    assert masks.requires_grad
    for found, part in zip(mask_statistics(masks, relevance.parts), ([0, 2, 4], [1, 3, 5]), strict=True):
        assert found.total == pytest.approx(masks[:, part].detach().double().numpy().std())


@pytest.mark.parametrize(
    ("shape", "dtype", "parts", "kind", "message"),
    [
        ((2, 4, 3), torch.int64, [[0]], TypeError, "masks must be a floating-point tensor, got torch.int64"),
        (
            (4,),
            torch.float32,
            [[0]],
            ValueError,
            "masks must have shape (..., n_filters, frames), none of them 0, got shape (4,)",
        ),
        ((0, 4, 3), torch.float32, [[0]], ValueError, "none of them 0, got shape (0, 4, 3)"),
        ((2, 4, 0), torch.float32, [[0]], ValueError, "none of them 0, got shape (2, 4, 0)"),
        (
            (2, 4, 3),
            torch.float32,
            [],
            ValueError,
            "parts must be lists of filters from 0 to 3, each once, none empty, got [] (RelevanceWeighting.parts)",
        ),
        ((2, 4, 3), torch.float32, [[0], []], ValueError, "none empty, got [[0], []]"),
        ((2, 4, 3), torch.float32, [[0, 4]], ValueError, "from 0 to 3, each once, none empty, got [[0, 4]]"),
        ((2, 4, 3), torch.float32, [[1, 1]], ValueError, "each once, none empty, got [[1, 1]]"),
        ((2, 4, 3), torch.float32, [[0], [0]], ValueError, "each once, none empty, got [[0], [0]]"),
        ((2, 4, 3), torch.float32, [[-1]], ValueError, "parts must be at least 0, got -1"),
        ((2, 4, 3), torch.float32, [[0.5]], TypeError, "parts must be a whole number, got 0.5"),
    ],
)
def test_wrong_arguments_are_named_with_rule_and_value(shape, dtype, parts, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mask_statistics(torch.ones(shape, dtype=dtype), parts)
