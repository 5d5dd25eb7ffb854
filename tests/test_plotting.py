import math
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from learnable_frontends import (
    CosGaussFilterbank,
    Decibels,
    Frontend,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
    plotting,
)
from learnable_frontends.analysis import BandInformation
from learnable_frontends.plotting import (
    plot_band_information,
    plot_center_frequencies,
    plot_center_history,
    plot_features,
    plot_frequency_responses,
    plot_kernels,
    plot_masks,
    plot_mean_masks,
    plot_movement,
    plot_relevance,
    plot_summed_response,
)

RATE, FILTERS, SECONDS = 8000, 8, 0.5


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def bank():
    return CosGaussFilterbank(RATE, FILTERS)


@pytest.fixture(scope="module")
def heads():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MultiHeadRelevance(CosGaussFilterbank(RATE, FILTERS), 2, context=2, hidden=4)


@pytest.fixture(scope="module")
def nested():
    """Heads around heads around a bank whose frames are not those that a front-end has by default."""
    bank = CosGaussFilterbank(
        RATE, FILTERS, win_length=320, hop_length=100, f_min=200.0, f_max=3000.0, center=False, pad_mode="constant"
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MultiHeadRelevance(MultiHeadRelevance(bank, 2, context=2, hidden=4), 4, context=2, hidden=4)


@pytest.fixture(scope="module")
def clip():
    """A 1 kHz burst from 0.2 s to 0.3 s in faint noise."""
    time = torch.arange(round(RATE * SECONDS)) / RATE
    noise = 0.01 * torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return torch.sin(2 * math.pi * 1000 * time) * ((time > 0.2) & (time < 0.3)) + noise


def draw_all(bank, heads, clip):
    """Every function that takes one ax, by name."""
    flat = BandInformation(torch.linspace(0, RATE / 2, 65), torch.ones(65))
    return {
        "plot_band_information": lambda ax: plot_band_information(flat, {"a": bank}, ax=ax),
        "plot_center_frequencies": lambda ax: plot_center_frequencies({"a": bank}, ax=ax),
        "plot_frequency_responses": lambda ax: plot_frequency_responses(bank, ax=ax),
        "plot_summed_response": lambda ax: plot_summed_response({"a": bank}, ax=ax),
        "plot_movement": lambda ax: plot_movement(bank, ax=ax),
        "plot_center_history": lambda ax: plot_center_history(bank.center_frequencies.expand(3, -1), ax=ax),
        "plot_kernels": lambda ax: plot_kernels(bank, ax=ax),
        "plot_features": lambda ax: plot_features(bank(clip), bank, ax=ax),
        "plot_masks": lambda ax: plot_masks(heads.masks(clip), heads, head=0, ax=ax),
        "plot_mean_masks": lambda ax: plot_mean_masks({"tone": heads.masks(clip).mean(-1)}, heads, ax=ax),
    }


NAMES = list(draw_all(None, None, None))


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def image_of(ax):
    (image,) = ax.images
    return image


def test_every_public_function_is_drawn_by_these_tests():
    assert {*NAMES, "plot_relevance"} == set(plotting.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_without_ax_a_labeled_figure_is_shown_by_a_notebook_and_can_be_saved(name, bank, heads, clip, tmp_path):
    fig, ax = draw_all(bank, heads, clip)[name](None)
    assert isinstance(fig, Figure)
    assert isinstance(ax, Axes)
    assert ax.figure is fig
    assert plt.get_fignums() == [fig.number]  # those that a notebook shows
    assert plt.figure(fig.number) is fig
    assert ax.has_data()
    assert ax.get_title()
    labels = ax.get_xlabel() + ax.get_ylabel()
    assert "(Hz)" in labels
    plain = ("filter index", "mean weight", "epoch")  # numbers without a unit
    assert all("(" in label for label in (ax.get_xlabel(), ax.get_ylabel()) if label not in plain), "a unit"
    fig.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_a_given_ax_is_drawn_into_and_returned_with_its_figure(name, bank, heads, clip):
    _, (ax, other) = plt.subplots(2)
    fig, returned = draw_all(bank, heads, clip)[name](ax)
    assert returned is ax
    assert fig is ax.figure
    assert ax.has_data()
    assert not other.has_data()
    assert plt.get_fignums() == [fig.number]


@pytest.mark.parametrize("name", NAMES)
def test_texts_of_a_plot_stay_inside_it_and_apart(name, bank, heads, clip):
    fig, ax = draw_all(bank, heads, clip)[name](None)
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw(renderer)
    texts = [ax.title, ax.xaxis.label, ax.yaxis.label]
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        shown = [low <= place <= high for place in axis.get_majorticklocs()]
        texts += [label for label, is_shown in zip(axis.get_ticklabels(), shown, strict=True) if is_shown]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for i, box in enumerate(boxes):
        assert fig.bbox.x0 - 1 <= box.x0
        assert box.x1 <= fig.bbox.x1 + 1
        # One pixel of overlap is rounding.
        assert not any(box.padded(-1).overlaps(other.padded(-1)) for other in boxes[i + 1 :]), texts[i]


def test_the_figure_of_a_subfigure_is_the_one_that_can_be_saved(bank):
    fig = Figure()
    ax = fig.subfigures(1, 2)[1].add_subplot()
    assert plot_kernels(bank, ax=ax)[0] is fig


def test_center_lines_are_the_centers_in_hz(bank):
    frontends = {"mel": MelFrontend(RATE, FILTERS), "sinc": SincFilterbank(16000, 5), "cos-gauss": bank}
    _, ax = plot_center_frequencies(frontends)
    assert [line.get_label() for line in ax.lines] == list(frontends)
    for line, frontend in zip(ax.lines, frontends.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(frontend.n_filters))
        np.testing.assert_allclose(line.get_ydata(), frontend.center_frequencies.detach())


def test_lines_of_different_frontends_differ_in_color_and_in_marker_or_dashes(bank):
    frontends = {str(i): bank for i in range(7)}
    _, ax = plot_center_frequencies(frontends)
    assert len({line.get_color() for line in ax.lines}) == len({line.get_marker() for line in ax.lines}) == 7
    _, ax = plot_summed_response(dict(list(frontends.items())[:5]))
    assert len({line.get_color() for line in ax.lines}) == 5
    assert (
        len({(line.get_linestyle(), line._dash_pattern[1] and tuple(line._dash_pattern[1])) for line in ax.lines}) == 5
    )


def test_centers_before_training_are_thin_dashes_with_one_entry_in_the_legend(bank):
    centers = bank.center_frequencies.detach()
    _, ax = plot_center_frequencies({"a": bank, "b": bank, "c": bank}, initial={"a": 0.5 * centers, "c": 0.7 * centers})
    *drawn, first, second = ax.lines
    assert len(drawn) == 3
    np.testing.assert_allclose(first.get_ydata(), 0.5 * centers)
    np.testing.assert_allclose(second.get_ydata(), 0.7 * centers)
    assert first.get_linewidth() < drawn[0].get_linewidth()
    assert first.is_dashed()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c", "before training"]


def test_responses_peak_at_the_centers_and_the_highest_is_zero_decibels(bank):
    _, ax = plot_frequency_responses(bank, db_floor=-40.0)
    assert len(ax.lines) == FILTERS
    assert max(line.get_ydata().max() for line in ax.lines) == pytest.approx(0.0)
    for line, center in zip(ax.lines, bank.center_frequencies.detach(), strict=True):
        frequencies, gain = line.get_data()
        power = 10 ** (gain / 10) * (gain > gain.max() - 3)
        # The main lobe is symmetric but for what its mirror image at negative frequencies adds to the lowest filter.
        assert (frequencies * power).sum() / power.sum() == pytest.approx(float(center), abs=10.0)
    assert ax.get_ylim()[0] == -40.0
    assert ax.get_xlim()[1] == RATE / 2


def test_summed_response_of_a_mel_bank_is_flat_between_its_outer_centers():
    mel = MelFrontend(RATE, FILTERS)
    _, ax = plot_summed_response({"mel": mel})
    frequencies, gain = ax.lines[0].get_data()
    low, high = mel.center_frequencies[[0, -1]].tolist()
    # Triangles that reach to their neighbors' peaks sum to one.
    np.testing.assert_allclose(gain[(frequencies > low) & (frequencies < high)], 0.0, atol=1e-4)
    assert gain[-1] < -20


def test_kernels_are_drawn_over_milliseconds_in_the_order_asked_for(bank):
    _, ax = plot_kernels(bank, indices=[6, 1])
    assert ax.get_xlabel() == "time (ms)"
    kernels, centers = bank.kernels().detach().numpy(), bank.center_frequencies.tolist()
    for place, (line, i) in enumerate(zip(ax.lines, (6, 1), strict=True)):
        np.testing.assert_allclose(line.get_xdata()[[0, -1]], [-8.0, 8.0])  # 129 taps at 8 kHz
        np.testing.assert_allclose((line.get_ydata() - place) / 0.45, kernels[i], atol=1e-6)  # the peak is one
    assert tick_labels(ax.yaxis) == [f"{centers[6]:.0f}", f"{centers[1]:.0f}"]


def test_kernels_are_spread_over_the_bank_by_default():
    bank = SincFilterbank(RATE, 40)
    labels = tick_labels(plot_kernels(bank)[1].yaxis)
    centers = bank.center_frequencies.tolist()
    assert labels == [f"{centers[i]:.0f}" for i in (0, 8, 16, 23, 31, 39)]
    assert len(plot_kernels(SincFilterbank(RATE, 3))[1].lines) == 3


@pytest.mark.parametrize("depth", [1, 2])
def test_kernels_of_the_filterbank_inside_all_heads_are_drawn(depth, heads, nested):
    model, bank = (heads, heads.frontend) if depth == 1 else (nested, nested.frontend.frontend)
    (line,) = plot_kernels(model, indices=[3])[1].lines
    np.testing.assert_allclose(line.get_ydata() / 0.45, bank.kernels()[3].detach().numpy(), atol=1e-6)


def test_a_frontend_without_kernels_is_named_though_heads_are_around_it():
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 2)
    with pytest.raises(TypeError, match=r"^frontend must have kernels\(\), got MelFrontend \("):
        plot_kernels(model)


@pytest.mark.parametrize("family", [CosGaussFilterbank, MelFrontend])
@pytest.mark.parametrize("center", [True, False])
def test_a_burst_stands_at_its_seconds_and_its_hertz(family, center, clip):
    frontend = family(RATE, FILTERS, center=center)
    fig, ax = plot_features(frontend(clip), frontend)
    image, frames = image_of(ax), frontend(clip).shape[-1]
    left, right, bottom, top = image.get_extent()
    assert (right - left) == pytest.approx(frames * frontend.hop_length / RATE)
    assert (bottom, top) == (-0.5, FILTERS - 0.5)
    if center:
        assert left == pytest.approx(-0.5 * frontend.hop_length / RATE)
    pixels = np.asarray(image.get_array())
    assert image.origin == "lower"
    row, _ = np.unravel_index(pixels.argmax(), pixels.shape)
    assert row == (frontend.center_frequencies - 1000).abs().argmin()
    loud = np.flatnonzero(pixels[row] > pixels[row].max() - 0.7)  # half of the energy: half of the window in the burst
    edges = left + (right - left) * np.array([loud[0], loud[-1] + 1]) / frames
    np.testing.assert_allclose(edges, [0.2, 0.3], atol=frontend.hop_length / RATE)
    assert fig.axes[1].get_ylabel() == "log energy"


def test_features_of_nested_heads_stand_at_the_frames_of_the_filterbank_inside(nested, clip):
    fig, ax = plot_features(nested(clip), nested)
    left, right, _, _ = image_of(ax).get_extent()
    assert left == pytest.approx((160 - 50) / RATE)  # half of a hop before the middle of the first window
    assert right - left == pytest.approx(nested(clip).shape[-1] * 100 / RATE)
    assert fig.axes[1].get_ylabel() == "weighted log energy"
    fig, _ = plot_masks(nested.masks(clip), nested, head=0, features=nested.frontend(clip))
    assert fig.axes[1].get_ylabel() == "weighted log energy"


def test_rows_of_features_are_labeled_with_their_centers(bank, clip):
    _, ax = plot_features(bank(clip), bank)
    centers = bank.center_frequencies.tolist()
    assert tick_labels(ax.yaxis) == [f"{centers[int(row)]:.0f}" for row in ax.get_yticks()]
    assert ax.get_yticks()[[0, -1]].tolist() == [0, FILTERS - 1]


def test_pooled_features_take_another_hop(bank, clip):
    features = nn.functional.avg_pool1d(bank(clip), 5)
    _, ax = plot_features(features, bank, hop_length=5 * bank.hop_length)
    left, right, _, _ = image_of(ax).get_extent()
    assert right - left == pytest.approx(features.shape[-1] * 0.05)


@pytest.mark.parametrize(
    ("compression", "label"), [(Log(), "log energy"), (Decibels(), "energy (dB)"), (nn.Identity(), "feature")]
)
def test_color_bar_names_what_the_compression_makes(compression, label, clip):
    bank = MelFrontend(RATE, FILTERS, compression=compression)
    assert plot_features(bank(clip), bank)[0].axes[1].get_ylabel() == label
    model = MultiHeadRelevance(bank, 2)
    assert plot_features(model(clip), model)[0].axes[1].get_ylabel() == f"weighted {label}"


TYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])


@TYPES
def test_features_of_any_floating_point_type_are_drawn(dtype, bank, clip):
    features = bank(clip).to(dtype)
    pixels = np.asarray(image_of(plot_features(features, bank)[1]).get_array())
    np.testing.assert_array_equal(pixels, features.detach().double().numpy())


@TYPES
@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
def test_masks_of_any_floating_point_type_are_drawn(dtype, gate, clip):
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 1, context=2, hidden=4, gate=gate)
    masks, features = model.masks(clip).detach().to(dtype), model.frontend(clip).to(dtype)
    image = image_of(plot_masks(masks, model, head=0)[1])
    np.testing.assert_array_equal(np.asarray(image.get_array()), masks.double().numpy())
    image = image_of(plot_masks(masks, model, head=0, features=features)[1])
    np.testing.assert_array_equal(np.asarray(image.get_array()), features.double().numpy())
    mean = masks[:, 0]
    _, ax = plot_mean_masks({"a": mean, "b": mean.float()}, model)  # of two types
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), mean.double().numpy())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_is_on_a_gpu_is_drawn(clip):
    bank = CosGaussFilterbank(RATE, FILTERS).cuda()
    model = MultiHeadRelevance(bank, 2, context=2, hidden=4).cuda()
    for draw in draw_all(bank, model, clip.cuda()).values():
        draw(None)
    plot_relevance(model, clip.cuda())


@pytest.mark.parametrize("split", ["contiguous", "even-odd", [3, 5]])
def test_mask_of_a_head_shows_the_filters_of_its_part(split, clip):
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 2, split=split, context=2, hidden=4)
    masks, centers = model.masks(clip).detach(), model.center_frequencies
    for head, part in enumerate(model.relevance.parts):
        fig, ax = plot_masks(masks, model, head=head)
        image = image_of(ax)
        np.testing.assert_allclose(np.asarray(image.get_array()), masks[part])
        assert image.get_clim() == (0.0, 1.0)
        assert tick_labels(ax.yaxis)[0] == f"{centers[part[0]]:.0f}"
        assert tick_labels(ax.yaxis)[-1] == f"{centers[part[-1]]:.0f}"
        assert ax.get_title().startswith(f"Mask of head {head + 1} of 2: {len(part)} filters")
        assert fig.axes[1].get_ylabel() == "weight"


def test_mask_of_a_lone_filter_names_it(clip):
    model = MultiHeadRelevance(MelFrontend(RATE, 3), 3, context=2, hidden=4)
    _, ax = plot_masks(model.masks(clip), model, head=1)
    assert ax.get_title() == f"Mask of head 2 of 3: 1 filter, {model.center_frequencies[1]:.0f} Hz"


def test_softmax_masks_use_the_whole_color_scale(clip):
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 1, context=2, hidden=4, gate="softmax")
    masks = model.masks(clip).detach()
    assert image_of(plot_masks(masks, model, head=0)[1]).get_clim() == (0.0, pytest.approx(float(masks.max())))
    assert image_of(plot_masks(masks, model, head=0, limits=(0.1, 0.2))[1]).get_clim() == (0.1, 0.2)


def dark(pixels):
    """Share of black of gray pixels, 0 to 1."""
    return 1.0 - pixels[..., 0]


def test_features_beneath_a_mask_are_dark_where_loud_and_contours_stand_at_its_levels(heads, clip):
    features = heads.frontend(clip).detach()
    times = torch.arange(features.shape[-1]) * heads.hop_length / RATE
    masks = (times / 0.5).expand(FILTERS, -1)  # a weight of a quarter at 0.125 s
    fig, ax = plot_masks(masks, heads, head=1, features=features)
    assert fig.axes[1].get_ylabel() == "log energy"  # before the heads weight it
    image = image_of(ax)
    np.testing.assert_allclose(np.asarray(image.get_array()), features[heads.relevance.parts[1]])
    shades = dark(image.cmap(image.norm(np.array([features.min(), features.max()]))))
    assert shades[0] < 0.1 < 0.9 < shades[1]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["weight 0.25", "weight 0.5", "weight 0.75"]
    for contour, seconds in zip(ax.collections, (0.125, 0.25, 0.375), strict=True):
        (path,) = contour.get_paths()
        np.testing.assert_allclose(path.vertices[:, 0], seconds, atol=1e-6)
        low, high = ax.get_ylim()
        assert path.vertices[:, 1].min() <= low < high <= path.vertices[:, 1].max()  # from edge to edge
    assert ax.get_xlim() == tuple(image.get_extent()[:2])


def test_contours_of_heads_differ_in_color_and_in_dashes(heads, clip):
    features = heads.frontend(clip).detach()
    masks = torch.linspace(0, 1, features.shape[-1]).expand(FILTERS, -1)
    _, ax = plot_masks(masks, heads, head=0, features=features)
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert [c.get_edgecolor().tolist() for c in ax.collections] == [
        [list(mpl.colors.to_rgba(line.get_color()))] for line in ax.lines
    ]


def test_a_flat_mask_has_no_contours(heads, clip):
    features = heads.frontend(clip)
    _, ax = plot_masks(torch.full_like(features, 0.4), heads, head=0, features=features)
    assert not ax.collections
    assert ax.get_legend() is None


def test_contours_of_a_lone_filter_and_of_given_limits_are_drawn(clip):
    model = MultiHeadRelevance(MelFrontend(RATE, 3), 3, context=2, hidden=4)
    features = model.frontend(clip)
    masks = torch.linspace(0.4, 0.5, features.shape[-1]).expand(3, -1)
    _, ax = plot_masks(masks, model, head=1, features=features, limits=(0.4, 0.5))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["weight 0.425", "weight 0.45", "weight 0.475"]


@pytest.mark.parametrize("split", ["contiguous", "even-odd"])
def test_mean_masks_of_few_classes_are_lines_that_break_between_heads(split):
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 2, split=split)
    means = {"a": torch.linspace(0, 1, FILTERS), "b": torch.linspace(1, 0, FILTERS)}
    _, ax = plot_mean_masks(means, model)
    order = [index for part in model.relevance.parts for index in part]
    drawn = [line for line in ax.lines if len(line.get_xdata()) == FILTERS // 2]
    for label, lines in (("a", drawn[:2]), ("b", drawn[2:])):
        assert lines[0].get_label() == label
        assert len({line.get_color() for line in lines}) == 1
        np.testing.assert_array_equal(np.concatenate([line.get_xdata() for line in lines]), np.arange(FILTERS))
        np.testing.assert_allclose(np.concatenate([line.get_ydata() for line in lines]), means[label][order])
    assert drawn[0].get_color() != drawn[2].get_color()
    assert drawn[0].get_marker() != drawn[2].get_marker()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_ylim() == (0.0, 1.0)
    centers = model.center_frequencies
    assert tick_labels(ax.xaxis) == [f"{centers[i]:.0f}" for i in order]
    assert {line.get_xdata()[0] for line in ax.lines if line not in drawn} == {FILTERS / 2 - 0.5}  # between the parts
    (above,) = ax.child_axes
    assert tick_labels(above.xaxis) == ["head 1", "head 2"]
    assert above.get_xticks().tolist() == [1.5, 5.5]


def test_mean_masks_of_many_classes_are_rows_of_a_heat_map():
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 2, split="even-odd")
    means = {f"class {i}": torch.rand(FILTERS, generator=torch.Generator().manual_seed(i)) for i in range(7)}
    fig, ax = plot_mean_masks(means, model)
    image = image_of(ax)
    expected = torch.stack(list(means.values()))[:, [0, 2, 4, 6, 1, 3, 5, 7]]
    np.testing.assert_allclose(np.asarray(image.get_array()), expected)
    assert image.get_clim() == (0.0, 1.0)
    assert tick_labels(ax.yaxis) == list(means)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first class on top
    assert fig.axes[1].get_ylabel() == "mean weight"
    assert image_of(plot_mean_masks(means, model, limits=(0.2, 0.3))[1]).get_clim() == (0.2, 0.3)


def test_mean_masks_of_softmax_heads_fill_the_scale():
    model = MultiHeadRelevance(MelFrontend(RATE, FILTERS), 2, gate="softmax")
    _, ax = plot_mean_masks({"a": torch.linspace(0, 0.25, FILTERS)}, model)
    assert ax.get_ylim() == (0.0, 0.25)


@pytest.mark.parametrize(("n_heads", "split"), [(1, "contiguous"), (2, "contiguous"), (4, "even-odd")])
def test_relevance_shows_mel_features_masks_from_the_last_head_and_weighted_features(n_heads, split, clip):
    model = MultiHeadRelevance(CosGaussFilterbank(RATE, FILTERS), n_heads, split=split, context=2, hidden=4)
    fig, axes = plot_relevance(model, clip)
    assert axes.shape == (n_heads + 3,)
    assert {ax.figure for ax in axes} == {fig}
    pictures = [np.asarray(image_of(ax).get_array()) for ax in axes]
    with torch.no_grad():
        expected = [
            MelFrontend(RATE, FILTERS)(clip),
            model.frontend(clip),
            *(model.masks(clip)[part] for part in reversed(model.relevance.parts)),
            model(clip),
        ]
    for picture, values in zip(pictures, expected, strict=True):
        np.testing.assert_allclose(picture, values, rtol=1e-6)
    extents = np.array([image_of(ax).get_extent()[:2] for ax in axes])
    np.testing.assert_allclose(extents, extents[:1].repeat(n_heads + 3, 0))  # one time axis, in seconds
    assert axes[-1].get_xlabel() == "time (s)"
    assert all("(Hz)" in ax.get_ylabel() for ax in axes)
    fig.draw_without_rendering()


def test_relevance_of_nested_heads_shows_a_mel_spectrogram_of_the_same_frames_and_band(nested, clip):
    fig, axes = plot_relevance(nested, clip)
    assert plt.get_fignums() == [fig.number]
    shared = {"win_length": 320, "hop_length": 100, "f_min": 200.0, "f_max": 3000.0, "center": False}
    mel = MelFrontend(RATE, FILTERS, **shared)
    np.testing.assert_allclose(np.asarray(image_of(axes[0]).get_array()), mel(clip), rtol=1e-6)
    learned, weighted = nested.frontend(clip).detach(), nested(clip).detach()
    np.testing.assert_allclose(np.asarray(image_of(axes[1]).get_array()), learned, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(image_of(axes[-1]).get_array()), weighted, rtol=1e-6)
    assert axes.shape == (7,)


def test_relevance_draws_another_mel_into_given_axes_with_given_limits(heads, clip):
    mel = MelFrontend(RATE, 5, compression=Decibels())
    _, given = plt.subplots(5)
    fig, axes = plot_relevance(heads, clip, mel=mel, limits=(0.4, 0.6), axes=list(given))
    assert fig is given[0].figure
    assert all(ax is other for ax, other in zip(axes, given, strict=True))
    assert image_of(axes[0]).get_array().shape[0] == 5
    assert image_of(axes[2]).get_clim() == (0.4, 0.6)


def test_plots_leave_gradients_and_training_mode_alone(heads, clip):
    heads.train()
    plot_relevance(heads, clip)
    plot_center_frequencies({"a": heads})
    assert heads.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in heads.parameters())


class Bare(Frontend):
    """The least a front-end has to have: no kernels, no compression, frames of ten samples that are not centered."""

    sample_rate, n_filters, hop_length, n_fft = 1000, 2, 10, 8
    f_min, f_max = 0.0, 500.0
    first_frame_center, latency, span = 5.0, 0, 10

    @property
    def center_frequencies(self):
        return torch.tensor([100.0, 200.0])

    def power_response(self, n_fft):
        return torch.ones(2, n_fft // 2 + 1)

    def energies(self, waveform, *_):
        return waveform.unfold(-1, 10, 10).square().mean(-1).expand(2, -1)

    def output_lengths(self, lengths):
        return lengths // 10

    def forward(self, waveform, *_):
        return self.energies(waveform)

    def resume(self, chunk, state=None, *, ends=False):
        raise NotImplementedError


def test_a_frontend_of_the_bare_contract_can_be_drawn():
    bare = Bare()
    plot_center_frequencies({"bare": bare})
    plot_frequency_responses(bare)
    _, ax = plot_features(bare(torch.ones(100)), bare)
    assert image_of(ax).get_extent()[:2] == pytest.approx((0.0, 0.1))  # the whole waveform
    _, ax = plot_features(bare(torch.ones(100))[:, ::2], bare, hop_length=20)
    assert image_of(ax).get_extent()[:2] == pytest.approx((-0.005, 0.095))
    _, axes = plot_relevance(MultiHeadRelevance(bare, 2, context=1, hidden=2), torch.ones(1000))
    assert [image_of(ax).get_extent()[:2] for ax in axes[1:]] == [pytest.approx((0.0, 1.0))] * 4


def test_wrong_arguments_are_named_with_rule_and_value(bank, heads, clip):
    features, masks = bank(clip), heads.masks(clip)
    frames = features.shape[-1]
    cases = [
        (
            lambda: plot_center_frequencies(bank),
            TypeError,
            'frontends must map labels to front-ends, got CosGaussFilterbank (try {"learned": frontend})',
        ),
        (lambda: plot_center_frequencies({}), ValueError, "frontends must have at least one front-end, got none"),
        (
            lambda: plot_center_frequencies({"a": bank}, initial={"b": torch.ones(8)}),
            ValueError,
            "initial must have labels and shapes from {'a': (8,)}, got 'b' of shape (8,)",
        ),
        (
            lambda: plot_center_frequencies({"a": bank}, initial={"a": torch.ones(7)}),
            ValueError,
            "initial must have labels and shapes from {'a': (8,)}, got 'a' of shape (7,)",
        ),
        (lambda: plot_summed_response(bank), TypeError, "frontends must map labels to front-ends, got"),
        (lambda: plot_summed_response({}), ValueError, "frontends must have at least one front-end, got none"),
        (
            lambda: plot_frequency_responses(bank, db_floor=60.0),
            ValueError,
            "db_floor must be negative, got 60.0 (the highest gain is 0 dB)",
        ),
        (lambda: plot_summed_response({"a": bank}, db_floor=0.0), ValueError, "db_floor must be negative, got 0.0"),
        (
            lambda: plot_frequency_responses(bank, n_fft=63),
            ValueError,
            "n_fft must be even, got 63 (try 64)",
        ),
        (
            lambda: plot_kernels(MelFrontend(RATE, FILTERS)),
            TypeError,
            "frontend must have kernels(), got MelFrontend (plot_frequency_responses takes any front-end)",
        ),
        (lambda: plot_kernels(bank, indices=[8]), ValueError, "indices must be one or more of 0 to 7, got [8]"),
        (lambda: plot_kernels(bank, indices=[-1]), ValueError, "indices must be one or more of 0 to 7, got [-1]"),
        (lambda: plot_kernels(bank, indices=[]), ValueError, "indices must be one or more of 0 to 7, got []"),
        (
            lambda: plot_features(features[None], bank),
            ValueError,
            f"features must have shape (8, frames), one clip, got shape (1, 8, {frames})",
        ),
        (lambda: plot_features(features[:3], bank), ValueError, f"got shape (3, {frames})"),
        (
            lambda: plot_masks(masks, bank, head=0),
            TypeError,
            "frontend must be a MultiHeadRelevance, got CosGaussFilterbank (MultiHeadRelevance(frontend) adds heads)",
        ),
        (
            lambda: plot_masks(masks[:5], heads, head=0),
            ValueError,
            f"masks must have shape (8, frames), one clip, got shape (5, {frames})",
        ),
        (lambda: plot_masks(masks, heads, head=2), ValueError, "head must be 0 to 1, got 2"),
        (
            lambda: plot_masks(masks, heads, head=0, features=features[:, 1:]),
            ValueError,
            f"features must be shaped like masks, (8, {frames}), got (8, {frames - 1})",
        ),
        (
            lambda: plot_mean_masks(masks.mean(-1), heads),
            TypeError,
            'means must map labels to mean masks, got Tensor (try {"all": masks.mean((0, -1))})',
        ),
        (lambda: plot_mean_masks({}, heads), ValueError, "means must have at least one mean mask, got none"),
        (
            lambda: plot_mean_masks({"a": masks.mean(-1), "b": masks}, heads),
            ValueError,
            f"means must have shape (8,), one weight per filter, got 'b' of shape (8, {frames})",
        ),
        (
            lambda: plot_mean_masks({"a": masks.mean(-1)}, bank),
            TypeError,
            "frontend must be a MultiHeadRelevance, got CosGaussFilterbank",
        ),
        (
            lambda: plot_relevance(bank, clip),
            TypeError,
            "frontend must be a MultiHeadRelevance, got CosGaussFilterbank",
        ),
        (
            lambda: plot_relevance(heads, clip[None]),
            ValueError,
            f"waveform must have shape (time,), one clip, got shape (1, {len(clip)})",
        ),
        (
            lambda: plot_relevance(heads, clip, axes=[Figure().add_subplot()]),
            ValueError,
            "axes must be n_heads + 3 = 5 axes, got 1",
        ),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=re.escape(message)):
            call()
        assert plt.get_fignums() == [], "an error leaves an empty figure, which a notebook shows"


def test_what_is_no_tensor_is_named(bank, heads, clip):
    features, masks, mean = bank(clip).detach(), heads.masks(clip).detach(), torch.ones(FILTERS)
    calls = {
        "features": [
            lambda values: plot_features(values(features), bank),
            lambda values: plot_masks(masks, heads, head=0, features=values(features)),
        ],
        "masks": [lambda values: plot_masks(values(masks), heads, head=0)],
        "means['b']": [lambda values: plot_mean_masks({"a": mean, "b": values(mean)}, heads)],
        "initial['a']": [lambda values: plot_center_frequencies({"a": bank}, initial={"a": values(mean)})],
        "centers": [lambda values: plot_center_history(values(mean[None]))],
        "waveform": [lambda values: plot_relevance(heads, values(clip))],
    }
    for name, call in [(name, call) for name, own in calls.items() for call in own]:
        message = f"{name} must be a tensor, got ndarray (torch.as_tensor makes one)"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            call(np.asarray)
        message = f"{name} must be a floating-point tensor, got torch.int64"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
            call(Tensor.long)
        call(lambda values: values)  # the rest of the call is right


def test_what_is_no_frontend_is_named(bank, heads, clip):
    features, other = bank(clip), nn.Linear(4, 4)
    calls = {
        "frontend": [
            lambda: plot_frequency_responses(other),
            lambda: plot_kernels(other),
            lambda: plot_features(features, other),
            lambda: plot_movement(other),
        ],
        "frontends['b']": [
            lambda: plot_center_frequencies({"a": bank, "b": other}),
            lambda: plot_summed_response({"a": bank, "b": other}),
        ],
        "mel": [lambda: plot_relevance(heads, clip, mel=other)],
    }
    for name, call in [(name, call) for name, own in calls.items() for call in own]:
        message = f"{name} must be a Frontend such as CosGaussFilterbank, got Linear"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            call()
    masks = heads.masks(clip)
    for call in (
        lambda: plot_masks(masks, other, head=0),
        lambda: plot_mean_masks({"a": masks.mean(-1)}, other),
        lambda: plot_relevance(other, clip),
    ):
        with pytest.raises(TypeError, match=r"^frontend must be a MultiHeadRelevance, got Linear \("):
            call()
    assert plt.get_fignums() == []


def test_a_clip_without_frames_is_refused(bank, heads):
    nothing = torch.empty(FILTERS, 0)
    with pytest.raises(ValueError, match=r"^features must have at least one frame, got shape \(8, 0\)$"):
        plot_features(nothing, bank)
    with pytest.raises(ValueError, match=r"^masks must have at least one frame, got shape \(8, 0\)$"):
        plot_masks(nothing, heads, head=0)


def test_a_clip_that_is_too_short_leaves_no_empty_figure(nested):
    with pytest.raises(ValueError, match="must have at least"):
        plot_relevance(nested, torch.ones(100))
    assert plt.get_fignums() == []


def test_matplotlib_is_loaded_by_the_first_plot_which_is_saved_without_a_display(tmp_path):
    code = (
        "import sys\n"
        "from learnable_frontends import MelFrontend, plotting\n"
        "assert 'matplotlib' not in sys.modules\n"
        "fig, _ = plotting.plot_center_frequencies({'mel': MelFrontend(8000, 4)})\n"
        "fig.savefig(sys.argv[1])"
    )
    env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", code, tmp_path / "plot.png"], env=env, check=True)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_module_imports_and_a_plot_names_the_extra():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from learnable_frontends import MelFrontend\n"
        "from learnable_frontends.plotting import plot_center_frequencies\n"
        "plot_center_frequencies({'mel': MelFrontend(8000, 4)})"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = process.stderr.strip().splitlines()[-1]
    assert last == (
        'ModuleNotFoundError: learnable_frontends.plotting needs matplotlib: pip install "learnable-frontends[plot]"'
    )


@pytest.mark.parametrize("unit", ["bandwidths", "erb", "hz"])
def test_movement_is_drawn_where_each_filter_started(unit):
    bank = CosGaussFilterbank(RATE, FILTERS)
    before = bank.center_frequencies.detach().numpy()
    with torch.no_grad():
        bank.raw_center[3] += 0.05
    fig, ax = plot_movement(bank, unit=unit)
    (points, _) = ax.lines
    assert isinstance(fig, Figure)
    np.testing.assert_allclose(points.get_xdata(), before, rtol=1e-4)
    shift = points.get_ydata()
    assert list(np.flatnonzero(np.abs(shift) > 1e-6)) == [3]
    hertz = bank.center_frequencies[3].item() - before[3]
    number = 21.4 * (np.log10(1 + 0.00437 * (before[3] + hertz)) - np.log10(1 + 0.00437 * before[3]))
    scale = {"hz": hertz, "bandwidths": hertz / bank.bandwidths[3].item(), "erb": number}
    assert shift[3] == pytest.approx(scale[unit], rel=1e-3)
    assert ax.get_xscale() == "log"


def test_history_is_a_line_a_filter():
    centers = torch.tensor([[100.0, 200.0, 400.0], [110.0, 190.0, 410.0]])
    _, ax = plot_center_history(centers, times=[0, 50], label="step")
    assert len(ax.lines) == 3
    for line, values in zip(ax.lines, centers.T, strict=True):
        assert list(line.get_xdata()) == [0, 50]
        np.testing.assert_allclose(line.get_ydata(), values)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "center frequency (Hz)")


def test_plots_of_learning_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match=r"^unit must be one of \('bandwidths', 'erb', 'hz'\), got 'mel'$"):
        plot_movement(CosGaussFilterbank(RATE, FILTERS), unit="mel")
    with pytest.raises(ValueError, match=r"^centers must be \(times, n_filters\), got shape \(3,\)$"):
        plot_center_history(torch.ones(3))
    with pytest.raises(ValueError, match=r"got shape \(2, 3\) and 1 times$"):
        plot_center_history(torch.ones(2, 3), times=[0])


class Writer:
    """Takes figures as TensorBoard does, and leaves them open as others do."""

    def __init__(self):
        self.shown = []

    def add_figure(self, name, figure, epoch):
        assert plt.fignum_exists(figure.number)
        self.shown.append((name, epoch))


def test_a_monitor_of_a_training_closes_what_it_draws(heads):
    from learnable_frontends.lightning import FrontendMonitor

    writers = Writer(), Writer()
    trainer = SimpleNamespace(
        loggers=[SimpleNamespace(experiment=writer) for writer in writers], current_epoch=0, is_global_zero=True
    )
    module = SimpleNamespace(frontend=heads, log_dict=lambda *_, **__: None)
    FrontendMonitor().on_train_epoch_end(trainer, module)
    assert len(writers[0].shown) == 4
    assert writers[0].shown == writers[1].shown
    assert plt.get_fignums() == []
