# How masks are measured; runs are looked at in test_experiments_levers.py, which trains some.
import pytest
import torch

from experiments import masks
from experiments.files import BadDataError
from experiments.masks import measure, measure_untrained
from learnable_frontends import RelevanceWeighting

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.fixture
def relevance():
    torch.manual_seed(0)
    return RelevanceWeighting(4, n_heads=2, context=3, hidden=5).double()


@pytest.fixture
def steady():
    """Features of six clips that do not change over time: only the ends of a mask can."""
    return torch.randn(6, 4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(6, 4, 9)


def test_statistics_of_masks_leave_out_frames_that_see_beyond_the_clip(relevance, steady):
    rows, means = measure(relevance, steady, LABELS)
    inside = relevance.masks(steady)[..., 4].detach()
    torch.testing.assert_close(means, inside.view(3, 2, 4).mean(1))
    for head, row in enumerate(rows):
        part = relevance.parts[head]
        own = inside[:, part]
        assert row["within_clip"] == pytest.approx(0, abs=1e-7)
        assert row["between_clips"] == pytest.approx(float(own.var(0, correction=0).mean().sqrt()))
        assert row["between_classes"] == pytest.approx(float(means[:, part].var(0, correction=0).mean().sqrt()))
        pair = torch.stack([own.flatten(), steady[:, part, 0].flatten()])
        assert row["level"] == pytest.approx(float(torch.corrcoef(pair)[0, 1]))
    with pytest.raises(BadDataError, match="clips must have more than 6 frames, the context of the heads, got 6"):
        measure(relevance, steady[..., :6], LABELS)


def test_flat_masks_have_no_deviation_and_untrained_ones_beside_them_have(relevance, steady):
    with torch.no_grad():  # a weight of a half everywhere
        relevance.weight2.zero_()
        relevance.bias2.zero_()
    for row in measure(relevance, steady, LABELS)[0]:
        assert (row["mean"], row["total"]) == (0.5, 0.0)
    first, again = (measure_untrained(relevance, steady, LABELS) for _ in range(2))
    assert first == again
    assert min(row["total"] for row in first) > 0.001
    assert not relevance.weight2.any()  # what was trained is left alone


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert masks.main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "none has no finished run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
