import csv
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from made_runs import CLASSES, RATE, RIGHT, WRONG, make_run, make_runs
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_rel
from small_sounds import tone, write

from experiments import paper_figures, reporting
from experiments.conclusions import conclude
from experiments.reporting import report_comparison, report_recipe, share_table, summarize
from experiments.runs import load_frontend
from experiments.statistics import (
    Comparison,
    chance,
    compare,
    corrected,
    fields,
    mean_and_spread,
    percent,
    points,
    pool,
)
from experiments.tables import make_table, markdown_table, plain_table, standard_columns, write_tables
from experiments.training.triangles import TriangularMelFilterbank
from learnable_frontends import CosGaussFilterbank, MelFrontend, MultiHeadRelevance


def moved_bank(shift=0.3):
    bank = CosGaussFilterbank(RATE, 4)
    with torch.no_grad():
        bank.raw_center.add_(shift)
    return bank


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_comparison_is_that_of_the_paired_differences():
    values, reference = (dict(enumerate(v)) for v in ((0.9, 0.8, 1.0), (0.5, 0.6, 0.7)))
    differences = np.array([0.4, 0.2, 0.3])
    error = differences.std(ddof=1) / 3**0.5
    half = student.ppf(0.975, 2) * error
    expected = (0.3, 0.3 - half, 0.3 + half, 2 * student.sf(0.3 / error, 2), 3)
    assert compare(values, {**reference, 7: 0.1}) == pytest.approx(expected)
    assert compare(values, {7: 0.1}) is None
    assert compare(values, {0: 0.8}) == pytest.approx(Comparison(0.1, None, None, None, 1))
    # Differences that do not vary have no interval, whatever rounding makes of them.
    constant = compare(values, {key: value - 0.1 for key, value in values.items()})
    assert (round(constant.difference, 9), constant.low, constant.p, constant.pairs) == (0.1, None, None, 3)
    assert fields(None) == {"difference": None, "low": None, "high": None, "p": None, "pairs": 0}


def test_comparisons_are_pooled_as_if_their_runs_had_been_compared_at_once():
    generator = np.random.default_rng(0)
    own, other = generator.normal(size=(2, 12))
    expected = ttest_rel(own, other)
    low, high = expected.confidence_interval()
    parts = [range(5), range(5, 6), range(6, 12)]
    compared = [compare({i: own[i] for i in part}, dict(enumerate(other))) for part in parts]
    assert pool(compared) == pytest.approx(((own - other).mean(), low, high, expected.pvalue, 12))
    assert pool(compared[1:2]) == compared[1]
    unvaried = [Comparison(0.1, None, None, None, n) for n in (2, 3)]
    assert pool(unvaried) == pytest.approx(Comparison(0.1, None, None, None, 5))
    apart = [Comparison(0.1, None, None, None, 1), Comparison(0.3, None, None, None, 1)]
    assert pool(apart) == pytest.approx(compare({0: 0.1, 1: 0.3}, {0: 0.0, 1: 0.0}))


@pytest.mark.parametrize(("mean", "spread", "pairs"), [(0.02, 0.05, 3), (-0.01, 0.02, 5), (0.004, 0.1, 12)])
def test_so_many_runs_are_needed_that_the_interval_leaves_zero_out(mean, spread, pairs):
    def comparison(count):
        sample = np.linspace(-1, 1, count)
        sample = mean + spread * sample / sample.std(ddof=1)
        low, high = ttest_1samp(sample, 0).confidence_interval()
        return Comparison(mean, low, high, 0.5, count)

    needed = comparison(pairs).needed
    assert comparison(needed).beyond
    assert not comparison(needed - 1).beyond
    assert needed > pairs


def test_no_number_of_runs_is_told_where_none_would_do():
    assert Comparison(0.0, -0.1, 0.1, 1.0, 3).needed is None
    assert Comparison(1e-6, -0.1, 0.1, 0.9, 3).needed is None
    assert Comparison(0.1, None, None, None, 1).needed is None


def test_the_smallest_p_counts_as_often_as_there_are_comparisons():
    found = [Comparison(0, 0, 0, p, 3) for p in (0.01, 0.5, 0.04)]
    unknown = Comparison(0, None, None, None, 1)
    assert corrected([found[0], None, *found[1:], unknown]) == pytest.approx([0.03, None, 0.5, 0.06, None])
    assert corrected([None]) == [None]


def test_texts_have_a_dash_for_what_is_not_known():
    assert [percent(None), percent(0.625), percent(0.625, 0.177)] == ["-", "62.5", "62.5 ± 17.7"]
    assert points(None) == chance(None) == "-"
    assert points(Comparison(0.1, -0.05, 0.25, 0.2, 3)) == "+10.0 [-5.0, +25.0]"
    assert points(Comparison(-0.1, None, None, None, 1)) == "-10.0"
    assert chance(0.01234) == "0.012"
    assert mean_and_spread([]) == (None, None)
    assert mean_and_spread([0.5]) == (0.5, None)
    assert mean_and_spread([0.5, 0.75]) == pytest.approx((0.625, np.std([0.5, 0.75], ddof=1)))


def test_a_variant_is_compared_on_the_same_folds_seeds_and_clips(tmp_path):
    results = make_runs(tmp_path, {"mel": [0.5, 0.6, 0.9], "sinc": [0.7, 0.6]})
    results += [make_run(tmp_path, "other", fold, clips="b", frontend=moved_bank()) for fold in (1, 2)]
    mel, sinc, other = summarize(results, "mel")
    assert (mel["accuracy"], mel["spread"]) == pytest.approx((2 / 3, np.std([0.5, 0.6, 0.9], ddof=1)))
    assert (mel["difference"], mel["pairs"], mel["runs"]) == (None, 0, 3)
    assert (sinc["difference"], sinc["pairs"]) == (pytest.approx(0.1), 2)
    assert sinc["p"] == pytest.approx(sinc["q"]) == pytest.approx(0.5)  # t = 1 of one degree of freedom
    assert (other["difference"], other["q"], other["accuracy"]) == (None, None, 0.5)  # other clips are never subtracted
    assert mel["moved_bandwidths"] == 0 < other["moved_bandwidths"]
    assert (other["frontend_parameters"], other["parameters"], other["seconds_per_epoch"]) == (4, 1000, 0.5)
    lines = make_table([mel, sinc, other], {k: v for k, v in standard_columns("mel").items() if k != "moved"})
    assert lines[1][:5] == ["mel", "66.7 ± 20.8", "-", "-", "-"]
    assert lines[3] == ["other", "50.0 ± 0.0", "-", "-", "-", "4", "1,000", "0.5", "2"]
    assert lines[2][2].startswith("+10.0 [-117.1, ")


def test_classes_are_averaged_over_the_runs_that_have_them(tmp_path):
    lines = [[("dog", "dog", "s1"), ("rain", "dog", "a")], [("dog", "rain", "a")]]
    results = [make_run(tmp_path, "mel", fold, lines=lines[fold > 9]) for fold in (2, 10)]
    results.append(make_run(tmp_path, "sinc", 2, lines=lines[1]))
    table = share_table("class", results, lambda result: result.values["per_class"])
    assert table == [["class", "mel", "sinc"], ["dog", "50.0", "0.0"], ["rain", "0.0", "-"]]
    table = share_table("device", results, lambda result: result.values["per_device"])
    assert table[1:] == [["a", "0.0", "0.0"], ["s1", "100.0", "-"]]
    table = share_table("fold", results, lambda result: {result.key[0]: result.accuracy})
    assert [line[0] for line in table] == ["fold", "2", "10"]


def test_tables_are_aligned_and_whole_in_every_form(tmp_path):
    table = [["front-end", "accuracy %"], ["a|b", "62.5 ± 17.7"]]
    assert plain_table(table).splitlines() == ["front-end   accuracy %", "-" * 22, "      a|b  62.5 ± 17.7"]
    assert markdown_table(table) == "| front-end | accuracy % |\n|---|---:|\n| a\\|b | 62.5 ± 17.7 |\n"
    rows = [{"variant": "a|b", "accuracy": 0.625, "difference": None}]
    assert (
        write_tables(tmp_path / "of.mine", rows, [table, table], reference="mel")
        == f"{tmp_path}/of.mine.md, .csv, .json"
    )
    assert (tmp_path / "of.mine.md").read_text("utf-8").count("± 17.7 |\n") == 2
    write_tables(tmp_path / "turned", [rows[0], dict(reversed(rows[0].items()))], [table])
    first, second = rows_of(tmp_path / "turned.csv")
    assert first == second
    assert rows_of(tmp_path / "of.mine.csv") == [{"variant": "a|b", "accuracy": "0.625", "difference": ""}]
    assert json.loads((tmp_path / "of.mine.json").read_text()) == {"rows": rows, "reference": "mel"}
    with pytest.raises(ValueError, match="Out of range float"):  # what other readers of JSON refuse
        write_tables(tmp_path / "x", [{"accuracy": float("nan")}], [table])


def test_a_comparison_leaves_tables_and_pictures(tmp_path):
    write(tmp_path / "dog" / "1-dog.wav", tone(440))
    heads = MultiHeadRelevance(moved_bank(), 2, context=2, hidden=3)
    results = make_runs(tmp_path, {"mel": [0.5, 0.6]})
    results += make_runs(tmp_path, {"cos-gauss+heads": [0.7, 0.9]}, frontend=heads)
    text = report_comparison(results, tmp_path)
    assert {path.name for path in tmp_path.glob("*.[mj]*")} == {"results.md", "results.json"}
    assert {path.stem for path in tmp_path.glob("*.csv")} == {
        *("results", "per_class", "confusion_mel", "confusion_cos-gauss+heads")
    }
    names = {"confusion_mel", "confusion_cos-gauss+heads", "center_frequencies", "responses_mel"}
    pictures = list((tmp_path / "figures").iterdir())
    assert {path.stem for path in pictures} == names | {"relevance_cos-gauss+heads"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert plt.get_fignums() == []
    counts = rows_of(tmp_path / "confusion_cos-gauss+heads.csv")
    assert counts == [{"true": "dog", "dog": "16", "rain": "4"}, {"true": "rain", "dog": "0", "rain": "0"}]
    assert rows_of(tmp_path / "per_class.csv") == [{"class": "dog", "mel": "55.0", "cos-gauss+heads": "80.0"}]
    written = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert [(run["variant"], run["fold"], run["accuracy"]) for run in written["runs"]][2:] == [
        ("cos-gauss+heads", "1", 0.7), ("cos-gauss+heads", "2", 0.9)
    ]  # fmt: skip
    assert written["rows"][1]["difference"] == pytest.approx(0.25)
    markdown = (tmp_path / "results.md").read_text("utf-8")
    table, rest = text.split("\n\n")[0], " ".join(text.split("\n\n")[1].split())
    marked = [re.split(r" +\| +", line.strip("| ")) for line in markdown.split("\n\n")[0].splitlines()]
    screen = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    assert screen[:1] + screen[2:] == marked[:1] + marked[2:]
    assert rest.startswith("On 2 folds and 1 seed, no front-end differs from mel")
    assert ". The median filter of cos-gauss+heads moved by" in rest
    assert str(tmp_path / "figures") in rest


def test_a_clip_that_is_gone_costs_its_picture_only(tmp_path):
    heads = MultiHeadRelevance(MelFrontend(RATE, 4), 2, context=2, hidden=3)
    text = report_comparison(make_runs(tmp_path, {"mel+heads": [0.5]}, frontend=heads), tmp_path)
    assert f"No pictures of front-ends: {tmp_path / 'dog' / '1-dog.wav'} cannot be decoded" in text
    assert (tmp_path / "results.md").exists()
    assert (tmp_path / "figures" / "confusion_mel+heads.png").exists()


def sentences(tmp_path, accuracies, **options):
    results = make_runs(tmp_path, accuracies, **options)
    first, second = conclude(summarize(results, "mel"), results, "mel")
    assert first.count(". ") == second.count(". ") == 0
    assert first.endswith(".")
    assert second.endswith(".")
    return first, second


def test_the_sentences_name_what_differs_beyond_chance(tmp_path):
    first, second = sentences(
        tmp_path, {"mel": [0.5, 0.6, 0.4], "sinc": [0.8, 0.9, 0.8], "gauss": [0.6, 0.5, 0.4], "flat": [0.4, 0.5, 0.3]}
    )
    q = chance(corrected([Comparison(0, 0, 0, p, 3) for p in (ttest_1samp([0.3, 0.3, 0.4], 0).pvalue, 1.0)])[0])
    assert first == (
        f"On 3 folds and 1 seed, sinc (+33.3 points, q {q}) differs from mel beyond its 95 % interval, "
        "and gauss does not, and flat has no interval."
    )
    assert second == "The median filter moved in no front-end."  # no number of runs makes zero differ from zero


def test_the_sentences_tell_how_many_runs_it_takes(tmp_path):
    accuracies = {"mel": [0.5, 0.6, 0.4], "sinc": [0.8, 0.5, 0.5]}
    first, second = sentences(tmp_path, accuracies, frontend=moved_bank())
    assert first == "On 3 folds and 1 seed, no front-end differs from mel beyond its 95 % interval."
    differences = np.array([0.3, -0.1, 0.1])
    needed = next(
        n for n in range(2, 100) if student.ppf(0.975, n - 1) * differences.std(ddof=1) / n**0.5 < differences.mean()
    )
    assert "The median filter moved by " in second
    assert f"; {needed} runs of each would put sinc's +10.0 points beyond the interval" in second


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ({"mel": [0.5], "sinc": [0.7]}, "No difference from mel has a 95 % interval"),
        ({"mel": [0.5, 0.5], "sinc": [0.7, 0.7]}, "No difference from mel has a 95 % interval"),
        ({"mel": [0.5, 0.6]}, "There is no front-end but mel"),
        ({"sinc": [0.5, 0.6], "gauss": [0.5, 0.6]}, "mel is not among these front-ends"),
    ],
)
def test_the_sentences_claim_nothing_where_nothing_is_known(tmp_path, accuracies, words):
    first, second = sentences(tmp_path, accuracies)
    assert first.startswith(words)
    assert second == "The median filter moved in no front-end."


def test_runs_on_other_clips_are_not_compared(tmp_path):
    results = [*make_runs(tmp_path, {"mel": [0.5, 0.6]}), *make_runs(tmp_path, {"sinc": [0.9, 0.5]}, clips="b")]
    first, _ = conclude(summarize(results, "mel"), results, "mel")
    assert first == "No run of another front-end has the fold, seed and test clips of one of mel: none is compared."


def test_a_recipe_is_reported_by_fold_class_and_device(tmp_path):
    lines = [("dog", "dog", "a"), ("rain", "dog", "s1")]
    results = [make_run(tmp_path, name, fold, lines=lines) for name in ("mel", "sinc") for fold in (1, 2)]
    text = report_recipe(results, tmp_path)
    markdown = (tmp_path / "results.md").read_text("utf-8")
    for title in ("front-end", "fold", "class", "device"):
        assert any(line.split()[0] == title for line in text.splitlines() if line)
        assert f"| {title} | " in markdown
    assert "| s1 | 0.0 | 0.0 |" in markdown
    without = report_recipe([make_run(tmp_path, "gauss", lines=[RIGHT, WRONG])], tmp_path)
    assert "device" not in without
    assert CLASSES[0] in without


def test_what_is_finished_is_reported_at_any_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paper_figures, "draw", lambda *_: None)
    make_runs(tmp_path, {"mel": [0.5, 0.6], "sinc": [0.7]})
    (tmp_path / "sinc" / "fold2-seed0").mkdir()
    assert reporting.main([str(tmp_path), "--reference", "sinc"]) == 0
    assert "minus sinc" in capsys.readouterr().out
    assert reporting.main([str(tmp_path / "nothing")]) == 2
    assert "nothing has no finished run" in capsys.readouterr().err


def test_pictures_of_runs_are_named_by_what_tells_them_apart(tmp_path, capsys):
    write(tmp_path / "clip.wav", tone(440))
    heads = MultiHeadRelevance(moved_bank(), 2, context=2, hidden=3)
    runs = [make_run(tmp_path, "heads", fold, frontend=heads).folder for fold in (1, 2)]
    out = tmp_path / "out"
    assert paper_figures.main([*map(str, runs), "--clip", str(tmp_path / "clip.wav"), "--out", str(out)]) == 0
    stems = {path.stem for path in out.iterdir()}
    assert stems == {"center_frequencies", "relevance_heads-fold1-seed0", "relevance_heads-fold2-seed0"}
    assert capsys.readouterr().out == f"{out}\n"
    assert plt.get_fignums() == []
    assert paper_figures.main([str(tmp_path / "nothing"), "--out", str(out)]) == 2
    assert "nothing has no front-end that can be loaded" in capsys.readouterr().err
    assert paper_figures.main([str(runs[0]), str(runs[0]), "--out", str(out)]) == 2
    assert "runs must differ, got heads/fold1-seed0 more than once" in capsys.readouterr().err


def test_a_triangular_front_end_is_loaded_as_it_was_saved(tmp_path):
    bank = TriangularMelFilterbank(RATE, 4)
    with torch.no_grad():
        bank.raw_displacements += 0.3
    loaded = load_frontend(make_run(tmp_path, "triangular-mel", frontend=bank).folder)
    assert type(loaded) is TriangularMelFilterbank
    assert torch.equal(loaded(torch.ones(RATE)), bank(torch.ones(RATE)))
