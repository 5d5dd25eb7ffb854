"""Where classes differ, filters placed by it, and the comparison of banks before any training."""

import sys

import hypothesis.strategies as st
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
from hypothesis import given
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.testing import assert_close

from learnable_frontends import GaussianFilterbank, LearnableMelFilterbank, MelFrontend
from learnable_frontends.analysis import BandInformation, Candidate, band_information, probe
from learnable_frontends.analysis.candidates import Kind, statistics
from learnable_frontends.analysis.discriminants import classified
from learnable_frontends.analysis.information import _over_bandwidths, _variance_ratio, clip_energies
from learnable_frontends.analysis.probing import _recommend
from learnable_frontends.plotting import plot_band_information

RATE = 16000
TONES = (6000.0, 6400.0)  # the mel filters up there are wider than their distance


def clips_of_tones(n=40, time=2400, tones=TONES, level=1.0, seed=0):
    """Noise with the tone of the class, and the classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = [i % len(tones) for i in range(n)]
    seconds = torch.arange(time) / RATE
    return [
        torch.randn(time, generator=generator) + level * torch.sin(2 * torch.pi * tones[label] * seconds)
        for label in labels
    ], labels


def test_ratio_is_that_of_scipys_analysis_of_variance():
    generator = torch.Generator().manual_seed(3)
    codes = torch.tensor([0] * 7 + [1] * 4 + [2] * 11)
    values = torch.randn(22, 5, generator=generator, dtype=torch.float64) + codes[:, None] * torch.linspace(0, 2, 5)
    f = scipy.stats.f_oneway(*(values[codes == code].numpy() for code in range(3))).statistic
    typical = (22 - (7**2 + 4**2 + 11**2) / 22) / 2
    assert_close(_variance_ratio(values, codes), torch.from_numpy((f - 1) / typical))


def test_ratio_estimates_the_variances_without_bias():
    generator = torch.Generator().manual_seed(0)
    codes = torch.arange(30).repeat_interleave(10)
    means = 2.0 * torch.randn(30, 4000, generator=generator, dtype=torch.float64)
    values = means[codes] + 3.0 * torch.randn(300, 4000, generator=generator, dtype=torch.float64)
    assert_close(_variance_ratio(values, codes).mean(), torch.tensor(4 / 9, dtype=torch.float64), rtol=0.02, atol=0)
    unrelated = _variance_ratio(values, codes[torch.randperm(300, generator=generator)])
    assert abs(float(unrelated.mean())) < 0.005


def test_log_energies_are_scipys():
    clip = torch.randn(5000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    energies, frequencies = clip_energies([clip], RATE, 512, 256)
    padded = np.pad(clip.numpy(), 512, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256][: 1 + 5000 // 256]
    window = np.pad(scipy.signal.get_window("hann", 512), 256)
    spectra = np.abs(np.fft.rfft(frames * window)) ** 2
    assert_close(energies[0], torch.from_numpy(np.log(spectra + 1e-3).mean(0)), rtol=1e-4, atol=1e-4)
    assert_close(frequencies, torch.from_numpy(np.fft.rfftfreq(1024, 1 / RATE)))


def test_mean_over_a_bandwidth_is_that_of_an_integral():
    frequencies = torch.linspace(0, 8000, 513, dtype=torch.float64)
    assert_close(_over_bandwidths(frequencies, torch.full_like(frequencies, 0.7)), torch.full_like(frequencies, 0.7))
    # A straight line is its own mean where the band does not reach the ends.
    line = 1 + frequencies / 8000
    inside = slice(5, 480)
    assert_close(_over_bandwidths(frequencies, line)[inside], line[inside], rtol=1e-9, atol=1e-9)
    assert (_over_bandwidths(frequencies, -line) == 0).all()


def test_classes_that_differ_by_a_tone_are_told_apart_there_and_nowhere_else():
    clips, labels = clips_of_tones()
    found = band_information(clips, labels, RATE)
    at_tones = [float(found.ratio[(found.frequencies - tone).abs().argmin()]) for tone in TONES]
    assert min(at_tones) > 1
    assert float(found.ratio[found.frequencies < 5000].max()) < 0.3


def test_clips_of_any_lengths_and_one_tensor_are_alike():
    clips, labels = clips_of_tones(12)
    together = band_information(torch.stack(clips), labels, RATE)
    assert_close(band_information(clips, torch.tensor(labels), RATE), together)
    names = ["a" if label else "b" for label in labels]
    assert_close(band_information(clips, names, RATE), together)
    shorter = [clip[: 2400 - 7 * i] for i, clip in enumerate(clips)]
    assert band_information(shorter, labels, RATE).ratio.isfinite().all()


@given(
    n=st.integers(1, 128),
    peaks=st.lists(st.floats(0, 8000), max_size=4),
    low=st.floats(0, 3000),
    high=st.floats(4000, 8000),
)
def test_centers_by_information_are_inside_the_band_and_fit_every_bank(n, peaks, low, high):
    frequencies = torch.linspace(0, 8000, 257, dtype=torch.float64)
    ratio = sum((((frequencies - peak) / 100).square().neg().exp() for peak in peaks), torch.zeros(257))
    centers = BandInformation(frequencies, ratio).centers(n, f_min=low, f_max=high)
    assert centers.shape == (n,)
    assert (centers.diff() > 0).all()
    assert low < centers[0]
    assert centers[-1] < high
    bank = GaussianFilterbank(RATE, n, init=centers, f_min=low, f_max=high)
    assert_close(bank.center_frequencies.double(), centers, rtol=1e-4, atol=0.05)


def test_centers_follow_the_closed_form_and_the_information():
    # With a flat ratio the density is the root of mel's, (700 + f) ** -0.5, whose integral is a root.
    flat = BandInformation(torch.linspace(0, 8000, 257), torch.ones(257))
    ends = np.sqrt([700, 8700])
    expected = np.linspace(*ends, 12)[1:-1] ** 2 - 700
    assert_close(flat.centers(10), torch.from_numpy(expected), rtol=1e-3, atol=0)
    peak = ((flat.frequencies - 3000) / 300).square().neg().exp()
    centers = flat._replace(ratio=peak).centers(20)
    near = [int(((placed - 3000).abs() < 600).sum()) for placed in (flat.centers(20), centers)]
    assert near[1] > 2 * near[0]
    assert_close(flat._replace(ratio=torch.zeros(257)).centers(10), flat.centers(10))


def test_statistics_are_those_of_the_front_ends_themselves():
    clips, _ = clips_of_tones(6)
    known = band_information(clips, [0, 1] * 3, RATE)
    kinds = [Kind("mel", 20, 512), Kind("linear", 8, 512), Kind("information", 8, 512)]
    banks = [kind.build(RATE, 160, known) for kind in kinds]
    for bank, values in zip(banks, statistics(clips, banks), strict=True):
        alone = bank(torch.stack(clips))
        expected = torch.cat([alone.mean(-1), alone.std(-1, correction=0)], -1)
        assert_close(values, expected.double(), rtol=0.02, atol=0.02)  # bins are closer to each other


def test_discriminants_are_those_of_scikit_learn_with_one_covariance():
    generator = torch.Generator().manual_seed(2)
    codes = torch.arange(120) % 4
    values = torch.randn(120, 6, generator=generator, dtype=torch.float64) * torch.tensor([1, 5, 0.1, 1, 1, 1])
    values += codes[:, None] * torch.tensor([0.5, 0, 0.05, 0, 0.2, 0])
    training, test = torch.arange(80), torch.arange(80, 120)
    own = codes[training]
    rest = values[training] - torch.stack([values[training][own == code].mean(0) for code in range(4)])[own]
    scaled = values / rest.std(0)
    shrunk = LedoitWolf(assume_centered=True).fit((rest / rest.std(0)).numpy()).covariance_

    class Fixed(LedoitWolf):
        def fit(self, _):
            self.covariance_ = shrunk
            return self

    reference = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Fixed())
    reference.fit(scaled[training].numpy(), own.numpy())
    expected = reference.predict(scaled[test].numpy()) == codes[test].numpy()
    assert_close(classified(values, codes, training, test), torch.from_numpy(expected))


def test_bank_that_resolves_the_classes_is_recommended_and_its_code_runs():
    clips, labels = clips_of_tones(80, level=0.25)
    found = probe(clips, labels, RATE, n_filters=12, win_length=512)
    assert found.candidates[0].scale == "mel"
    assert found.recommended.scale in ("linear", "information")
    assert found.recommended.low > 0
    assert "beyond chance" in found.reason
    assert found.recommended.code in str(found)
    front_end = eval(found.recommended.code)
    assert front_end(clips[0]).shape[0] == 12
    assert type(found.frontend) is type(front_end)
    assert_close(found.frontend.center_frequencies, front_end.center_frequencies, rtol=0, atol=0.1)
    assert (found.frontend.win_length, found.frontend.hop_length) == (512, 256)
    assert eval(found.candidates[0].code).hop_length == 256


def test_where_nothing_is_to_be_told_the_reference_is_recommended():
    clips, _ = clips_of_tones(40, level=0.0)
    found = probe(clips, [i % 2 for i in range(40)], RATE, n_filters=8, win_length=400)
    assert found.recommended is found.candidates[0]
    assert type(found.frontend) is MelFrontend
    assert all(c.low <= 0 <= c.high for c in found.candidates)
    assert found.candidates[0].difference == 0


def test_intervals_of_equal_banks_leave_zero_out_once_in_twenty():
    # Sounds without information: whichever bank is above the first is so by chance.
    beyond = 0
    for seed in range(12):
        clips, labels = clips_of_tones(60, time=600, level=0.0, seed=seed)
        found = probe(clips, labels, RATE, n_filters=(8, 6), win_length=256, scales=("mel", "linear"), seed=seed)
        beyond += any(not c.low <= 0 <= c.high for c in found.candidates[1:])
    assert beyond <= 3


def test_sources_are_never_in_training_and_test_at_once():
    # Each source has a tone of its own: known sources are told by it, unknown ones not.
    generator = torch.Generator().manual_seed(0)
    seconds = torch.arange(2400) / RATE
    sources = [i % 20 for i in range(100)]
    clips = [
        torch.randn(2400, generator=generator) + 3 * torch.sin(2 * torch.pi * (500 + 350 * s) * seconds)
        for s in sources
    ]
    labels = [(7 * s) % 20 // 10 for s in sources]
    options = {"n_filters": 32, "win_length": 512, "scales": ("mel",)}
    apart = probe(clips, labels, RATE, groups=sources, **options).candidates[0].accuracy
    together = probe(clips, labels, RATE, **options).candidates[0].accuracy
    assert together > 0.9
    assert apart < 0.7


def test_same_seed_gives_the_same_table():
    clips, labels = clips_of_tones(20)
    options = {"n_filters": (8, 4), "win_length": (400, 200)}
    first, second = (probe(clips, labels, RATE, **options) for _ in range(2))
    assert first.candidates == second.candidates
    assert len(first.candidates) == 2 * 2 * 4
    assert len({(c.scale, c.n_filters, c.win_length) for c in first.candidates}) == 16
    lines = str(first).splitlines()
    assert len(lines) == 16 + 8 + 4


def test_means_over_numbers_of_filters_are_those_of_the_candidates():
    clips, labels = clips_of_tones(40, level=0.5)
    found = probe(clips, labels, RATE, n_filters=(12, 8), win_length=(512, 256), scales=("linear", "erb"))
    # The reference has as many rows as the others, so that means are of the same numbers of filters.
    assert [(c.scale, c.n_filters) for c in found.candidates if c.scale == "mel"] == [("mel", 12), ("mel", 8)]
    places = [(c.scale, c.win_length) for c in found.averages]
    assert places == [("mel", 512), ("linear", 512), ("erb", 512), ("linear", 256), ("erb", 256)]
    first = found.averages[0]
    for mean in found.averages:
        own = [c for c in found.candidates if (c.scale, c.win_length) == (mean.scale, mean.win_length)]
        assert [c.n_filters for c in own] == [12, 8]
        assert mean.accuracy == pytest.approx((own[0].accuracy + own[1].accuracy) / 2)
        assert mean.difference == pytest.approx(mean.accuracy - first.accuracy)
        assert mean.low <= mean.difference <= mean.high
        assert (mean.n_filters, mean.code) == (None, own[0].code)
    assert "linear          mean     512" in str(found)
    assert probe(clips, labels, RATE, n_filters=8, win_length=512).averages == ()


def row(scale, n_filters, accuracy, low, reference=0.5):
    difference = accuracy - reference
    return Candidate(scale, n_filters, 512, accuracy, difference, low, 2 * difference - low, f"{scale} {n_filters}")


@pytest.mark.parametrize(
    ("linear", "of_both", "chosen", "words"),
    [
        # Linear is best with 8 filters alone, but its mean is what counts, and 16 filters were asked for first.
        (
            (0.6, 0.7),
            (0.65, 0.01),
            "linear 16",
            "linear, 512 samples is above mel, 512 samples beyond chance, averaged",
        ),
        ((0.5, 0.7), (0.6, -0.01), "linear 8", "linear, 8 filters, 512 samples is above mel, 16 filters"),
        (
            (0.5, 0.6),
            (0.55, -0.01),
            "mel 16",
            "No bank is above mel, 512 samples beyond chance; the best, averaged over",
        ),
        ((0.4, 0.4), (0.4, -0.3), "mel 16", "No bank is above mel, 512 samples, averaged over the numbers"),
    ],
)
def test_the_mean_over_numbers_of_filters_decides_before_a_single_bank(linear, of_both, chosen, words):
    candidates = (
        row("mel", 16, 0.5, 0.0),
        row("mel", 8, 0.5, -0.1),
        row("linear", 16, linear[0], -0.1),
        row("linear", 8, linear[1], linear[1] - 0.65),
    )
    averages = (row("mel", None, 0.5, 0.0), row("linear", None, *of_both))
    found, reason = _recommend(candidates, averages)
    assert found.code == chosen
    assert words in reason


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": [0] * 10}, ValueError, "labels must be of two classes or more"),
        ({"labels": [0, 1]}, ValueError, "labels must be one for each of 10 waveforms, got 2"),
        ({"labels": [0] * 9 + [1]}, ValueError, "labels must have two clips or more of each class, got one of 1"),
        ({"waveforms": [torch.zeros(3, 4)] * 10}, ValueError, r"waveforms\[0\] must have shape \(time,\), got"),
        ({"waveforms": [np.zeros(400)] * 10}, TypeError, r"waveforms\[0\] must be a tensor, got ndarray"),
        ({"groups": [0] * 3}, ValueError, "groups must be one for each of 10 waveforms, got 3"),
        ({"groups": [0, 1] * 5}, ValueError, "groups must be two or more for each class"),
        ({"scales": ("melt",)}, ValueError, "scales must be among .* got 'melt'"),
        ({"n_filters": ()}, ValueError, "n_filters must have at least one number"),
        ({"n_filters": 2.5}, TypeError, "n_filters must be a whole number, got 2.5"),
        ({"folds": 1}, ValueError, "folds must be at least 2, got 1"),
        ({"repeats": 0}, ValueError, "repeats must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    clips, labels = clips_of_tones(10)
    arguments = {"waveforms": clips, "labels": labels, "sample_rate": RATE, "n_filters": 8, **change}
    with pytest.raises(error, match=words):
        probe(**arguments)


def test_missing_scikit_learn_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    clips, labels = clips_of_tones(10)
    with pytest.raises(ModuleNotFoundError, match=r"learnable-frontends\[probe\]"):
        probe(clips, labels, RATE, n_filters=8)


def test_band_and_centers_are_checked():
    flat = BandInformation(torch.linspace(0, 8000, 257), torch.ones(257))
    with pytest.raises(ValueError, match="f_min and f_max must satisfy 0 <= f_min < f_max <= 8000, got"):
        flat.centers(8, f_max=9000)
    with pytest.raises(ValueError, match="n_filters must be at least 1"):
        flat.centers(0)


def test_picture_has_the_ratio_and_a_row_for_each_bank():
    clips, labels = clips_of_tones(10)
    banks = {"mel": MelFrontend(RATE, 8), "learned": LearnableMelFilterbank(RATE, 8)}
    found = band_information(clips, labels, RATE)
    fig, ax = plot_band_information(found, banks)
    curve, *rows = ax.lines
    assert_close(torch.from_numpy(curve.get_ydata()), found.ratio[1:])
    assert [line.get_label() for line in rows] == list(banks)
    for line, bank in zip(rows, banks.values(), strict=True):
        assert_close(torch.as_tensor(line.get_xdata()), bank.center_frequencies.detach().double())
        assert min(line.get_ydata()) > float(found.ratio.max())
        assert max(line.get_ydata()) < ax.get_ylim()[1]
    plt.close(fig)
    with pytest.raises(TypeError, match="information must be a BandInformation, got list"):
        plot_band_information([1.0])
    with pytest.raises(TypeError, match=r"frontends\['x'\] must be a Frontend"):
        plot_band_information(found, {"x": 3})
    plt.close("all")
