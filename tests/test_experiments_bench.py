# The bench of front-ends on several sets, and the probe of one, on small sounds.
import json

import pytest
import soundfile
import torch
from made_runs import RIGHT, make_run, make_runs
from scipy.stats import t
from small_runs import RATE, lines, write_sounds

from experiments import bench, fewer_filters, prediction, probe
from experiments.data.folds import find_sources
from experiments.files import BadDataError
from experiments.runs import read_json
from experiments.statistics import compare
from learnable_frontends.analysis import band_information
from learnable_frontends.pretrained import from_pretrained

LENGTHS = {"sample_rate": RATE, "win_length": 200, "hop_length": 80}
NAMES = ("mel", "information, fixed")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_sounds(root / "tones")
    write_sounds(root / "more", clips=4, classes=("high", "low"))
    return root


@pytest.fixture(scope="module")
def out(sets, tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    patch = pytest.MonkeyPatch()
    patch.setattr(bench, "SETS", {"tones": LENGTHS, "more": LENGTHS})
    patch.setattr(bench, "TIERS", {"1": bench.Tier(("tones", "more"), NAMES, 10, 1)})
    assert bench.main([str(sets), "--out", str(out), "--epochs", "1", "--batch-size", "4"]) == 0
    yield out
    patch.undo()


def test_every_front_end_of_a_tier_is_compared_on_each_set(out):
    rows = lines(out / "bench.csv")
    assert [(row["sounds"], row["variant"]) for row in rows] == [(s, n) for s in ("tones", "more") for n in NAMES]
    assert {row["runs"] for row in rows} == {"3"}
    wide, long = (out / "bench.md").read_text(encoding="utf-8").split("\n\n")
    assert wide.splitlines()[0] == "| front-end | tones, 10 | more, 10 |"
    assert "detectable" in long.splitlines()[0]
    assert (out / "bench.png").stat().st_size > 5000
    runs = lines(out / "bench_runs.csv")
    assert len(runs) == 2 * len(NAMES) * 3
    for run in runs:
        folder = out / f"{run['sounds']}-{run['n_filters']}" / run["variant"] / f"fold{run['fold']}-seed{run['seed']}"
        result = read_json(folder / "result.json")
        assert (run["accuracy"], run["test_clips"]) == (str(result["accuracy"]), result["test_clips"])


def test_every_front_end_of_the_bench_is_trained(tmp_path, monkeypatch):
    write_sounds(tmp_path / "few", folds=2, classes=("high", "low"))
    monkeypatch.setattr(bench, "SETS", {"few": LENGTHS})
    monkeypatch.setattr(bench, "TIERS", {"1": bench.Tier(("few",), bench.FRONTENDS, 10, 3)})
    out = tmp_path / "bench"
    assert bench.main([str(tmp_path), "--out", str(out), "--epochs", "1", "--batch-size", "4", "--seeds", "1"]) == 0
    rows = lines(out / "bench.csv")
    assert [row["variant"] for row in rows] == list(bench.FRONTENDS)
    assert {row["runs"] for row in rows} == {"2"}


def test_seeds_that_another_machine_has_are_left_out(tmp_path, monkeypatch):
    write_sounds(tmp_path / "few", folds=2, classes=("high", "low"))
    monkeypatch.setattr(bench, "SETS", {"few": LENGTHS})
    monkeypatch.setattr(bench, "TIERS", {"1": bench.Tier(("few",), ("mel",), 10, 2)})
    words = [str(tmp_path), "--out", str(tmp_path / "bench"), "--epochs", "1", "--batch-size", "4"]
    assert bench.main([*words, "--first-seed", "1"]) == 0
    runs = lines(tmp_path / "bench" / "bench_runs.csv")
    assert [(run["fold"], run["seed"]) for run in runs] == [("1", "1"), ("2", "1")]


def test_filters_are_placed_by_the_clips_of_training_alone(out, sets):
    for fold in ("1", "2"):
        settings = read_json(out / "tones-10" / NAMES[1] / f"fold{fold}-seed0" / "settings.json")
        clips, labels = [], []
        for label, name in enumerate(("high", "low", "mid")):
            for path in sorted((sets / "tones" / name).iterdir()):
                if not path.name.startswith(fold):
                    clip = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
                    clips.append(clip / (clip.abs().max() + 1e-4))
                    labels.append(label)
        found = band_information(clips, labels, RATE, win_length=200, hop_length=80)
        init = settings["model"]["frontend"]["init_args"]["init"]
        assert init == pytest.approx(found.centers(10).tolist(), abs=0.01)


def test_a_report_trains_nothing(out, sets, capsys):
    results = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/result.json")}
    assert bench.main([str(sets), "--out", str(out), "--report"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/result.json")} == results
    assert "information, fixed" in capsys.readouterr().out
    kept = read_json(next(iter(results)))
    assert set(kept["other_accuracies"]) == {"last", "last, rotated", "averaged"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tiers", "9"], "--tiers"),
        (["--frontends", "nothing"], "--frontends"),
        (["--tiers", "1", "1"], "--tiers"),
        (
            ["--tiers", "1", "--seeds", "2", "--first-seed", "2"],
            "--first-seed must be less than the number of seeds, 2, got 2",
        ),
        (["--report"], "has no finished run"),
    ],
)
def test_bad_options_end_with_a_line(words, message, tmp_path, capsys):
    assert bench.main([str(tmp_path), "--out", str(tmp_path / "none"), *words]) == 2
    assert message in capsys.readouterr().err


def test_detectable_difference_is_found_four_times_in_five():
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(12, generator=generator, dtype=torch.float64)
    found = compare(dict(enumerate((own + 1).tolist())), dict.fromkeys(range(12), 0.0))
    assert found.deviation == pytest.approx(float(own.std()))
    drawn = found.detectable + float(own.std()) * torch.randn(20000, 12, generator=generator, dtype=torch.float64)
    statistic = drawn.mean(1) / drawn.std(1) * 12**0.5
    assert float((statistic > t.ppf(0.975, 11)).double().mean()) == pytest.approx(0.8, abs=0.03)


def test_a_folder_is_probed_and_the_code_is_kept(sets, tmp_path, capsys):
    words = [str(sets / "tones"), "--out", str(tmp_path), "--sample-rate", str(RATE), "--n-filters", "8", "4"]
    assert probe.main(words) == 0
    said = capsys.readouterr().out
    assert "sources: clips whose file names agree up to the second - (6)" in said
    kept = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))
    assert len(kept["candidates"]) == 4 * 2 * 2
    assert len(kept["averages"]) == 4 * 2
    assert kept["recommended"] in said
    assert kept["recommended"].startswith(("MelFrontend(8000, 8", "GaussianFilterbank(8000, "))
    assert (tmp_path / "probe.txt").read_text(encoding="utf-8").strip() in said
    assert (tmp_path / "probe.png").stat().st_size > 5000
    loaded = from_pretrained(tmp_path / "frontend")
    assert f"{type(loaded).__name__}({loaded.sample_rate:g}, {loaded.n_filters}, " in said


def test_what_cannot_be_probed_ends_with_a_line(sets, tmp_path, capsys):
    words = [str(sets / "tones"), "--out", str(tmp_path), "--sample-rate", str(RATE)]
    assert probe.main([*words, "--group", "^(high|low|mid)"]) == 2
    assert "groups of clips, of each class" in capsys.readouterr().err
    assert probe.main([*words, "--windows", "1"]) == 2
    assert "--windows must be left out" in capsys.readouterr().err


def test_sources_are_read_from_names():
    numbered = ["a/1-x-0.wav", "a/1-x-1.wav", "b/2-y-0.wav"]
    assert find_sources(numbered, None)[0] == ["1-x", "1-x", "2-y"]
    speakers = ["a/ann-0.wav", "b/ann-1.wav", "b/bob-0.wav"]
    found, how = find_sources(speakers, None)
    assert found == ["ann", "ann", "bob"]
    assert how.endswith("up to the first - (2)")
    assert "--group PATTERN" in find_sources(["a/0.wav", "b/1.wav"], None)[1]
    assert find_sources(speakers, r"^\w+/(\w)")[0] == ["a", "a", "b"]
    with pytest.raises(BadDataError, match="--group must be found in each name"):
        find_sources(speakers, "ann")


def test_banks_are_ranked_by_the_probe_and_by_training(tmp_path, monkeypatch, capsys):
    write_sounds(tmp_path / "tones", clips=4)
    for module in (bench, prediction):
        monkeypatch.setattr(module, "SETS", {"tones": LENGTHS})
    out = tmp_path / "bench"
    shares = {"mel": [0.5, 0.6], "ERB, fixed": [0.4, 0.5], "linear, fixed": [0.7, 0.6, 1.0], "sinc": [1.0, 1.0]}
    make_runs(out / "tones-8", shares)
    made = {"mel": 0.5, "ERB, fixed": 0.3, "linear, fixed": 0.4, "information, fixed": 0.9, "mel, long window": 0.2}
    (out / "tones-8" / "probe.json").write_text(json.dumps(made))
    assert prediction.main([str(tmp_path), "--out", str(out)]) == 0
    rows = {row["bank"]: row for row in lines(out / "prediction.csv")}
    assert set(rows) == {"mel", "ERB, fixed", "linear, fixed"}
    assert float(rows["linear, fixed"]["training"]) == pytest.approx(0.65)  # of the folds that all have
    assert float(rows["ERB, fixed"]["training_difference"]) == pytest.approx(-0.1)
    text = capsys.readouterr().out
    assert "+0.50" in text  # mel, linear, ERB against linear, mel, ERB: 1 - 6 * 2 / (3 * 8)
    assert "the probe's first bank minus mel, in points: +0.0, the mean's: +0.0" in text
    (out / "tones-8" / "probe.json").unlink()
    assert prediction.main([str(tmp_path), "--out", str(out)]) == 0
    found = read_json(out / "tones-8" / "probe.json")
    assert set(found) == set(bench.PROBED)
    assert all(0 < share <= 1 for share in found.values())


def test_the_mean_over_numbers_of_filters_is_ranked_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SETS", {"tones": LENGTHS, "more": LENGTHS})
    monkeypatch.setattr(prediction, "SETS", bench.SETS)
    banks = ("mel", "ERB, fixed", "linear, fixed")
    # On four folds training prefers linear, then ERB; the probe does so with 16 filters and in the mean, not with 8.
    for place, probed in (("tones-8", (0.5, 0.4, 0.3)), ("tones-16", (0.5, 0.7, 0.9)), ("more-8", (0.3, 0.4, 0.5))):
        shares = {"mel": [0.5] * 4, "ERB, fixed": [0.6] * 4, "linear, fixed": [0.7] * 4}
        make_runs(tmp_path / place, shares)
        (tmp_path / place / "probe.json").write_text(json.dumps(dict(zip(banks, probed, strict=True))))
    assert prediction.main([str(tmp_path), "--out", str(tmp_path)]) == 0
    rows = {(row["sounds"], row["n_filters"], row["bank"]): row for row in lines(tmp_path / "prediction.csv")}
    assert float(rows["tones", "8", "linear, fixed"]["mean_difference"]) == pytest.approx((-0.2 + 0.4) / 2)
    kept = json.loads((tmp_path / "prediction.json").read_text(encoding="utf-8"))
    assert kept["probe"] == pytest.approx([1 / 3, 0, 1])  # -1 and 1 on tones, 1 on more
    assert kept["mean"] == kept["halves"] == pytest.approx([1, 1, 1])
    assert kept["gain"] == pytest.approx([40 / 3, 10, 20])
    assert kept["gain_of_mean"] == pytest.approx([20, 20, 20])
    assert "numbers of filters: +1.00 [+1.00, +1.00]" in capsys.readouterr().out
    assert (tmp_path / "prediction.png").stat().st_size > 5000


def test_halves_of_folds_are_all_that_there_are():
    def runs(*accuracies):
        return {(str(fold), 0, "a"): value for fold, value in enumerate(accuracies)}

    agreeing = {"mel": runs(0.1, 0.2, 0.1), "a": runs(0.3, 0.3, 0.4), "b": runs(0.5, 0.6, 0.7)}
    assert prediction._halves(agreeing) == pytest.approx(1)
    # One fold of three against the mean of two: mel, a, b against mel, b, a twice, and b, mel, a against mel, a, b.
    mixed = {"mel": runs(0.1, 0.1, 0.2), "a": runs(0.3, 0.3, 0.5), "b": runs(0.5, 0.5, 0.1)}
    assert prediction._halves(mixed) == pytest.approx((0.5 + 0.5 - 0.5) / 3)
    assert prediction._halves({"mel": runs(0.1), "a": runs(0.2)}) is None


def test_prediction_without_runs_is_refused(tmp_path, capsys):
    assert prediction.main([str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "must have runs of 3 of the banks mel, ERB, fixed" in capsys.readouterr().err


def test_folders_of_a_bench_are_found_by_set_and_number_of_filters(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SETS", dict.fromkeys(("insects", "keywords", "esc10"), LENGTHS))
    for name in ("esc10-64", "esc10-8", "insects-16", "esc10-few", "other-8"):
        make_run(tmp_path / name, "mel")
    (tmp_path / "keywords-16" / "mel").mkdir(parents=True)  # nothing finished
    found = bench.finished(tmp_path)
    assert list(found) == [("insects", 16), ("esc10", 8), ("esc10", 64)]
    assert found["esc10", 8] == tmp_path / "esc10-8"


def test_few_filters_are_compared_with_four_times_as_many_of_mel(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SETS", dict.fromkeys(("insects", "esc10"), LENGTHS))
    make_runs(tmp_path / "esc10-16", {"mel": [0.6, 0.7, 1.0], "learnable mel": [0.6, 0.7], "Gabor": [0.2, 0.4]})
    make_runs(tmp_path / "esc10-64", {"mel": [0.6, 0.7], "Gabor": [1.0, 1.0]})
    make_runs(tmp_path / "esc10-8", {"mel": [0.1, 0.2]})  # of 32 there are none
    make_run(tmp_path / "insects-8", "mel", lines=[RIGHT] * 4)
    make_run(tmp_path / "insects-32", "mel", lines=[RIGHT] * 4, clips="others")  # never subtracted
    assert fewer_filters.main(["--out", str(tmp_path)]) == 0
    bench.report(tmp_path)
    words = ["--runs", str(tmp_path / "bench_runs.csv"), "--out", str(tmp_path / "again")]
    assert fewer_filters.main(words) == 0
    for name in ("fewer_filters.csv", "fewer_filters.md"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    rows = {row["variant"]: row for row in lines(tmp_path / "fewer_filters.csv")}
    assert list(rows) == ["mel", "learnable mel", "Gabor"]
    assert {row["sounds"] + row["n_filters"] for row in rows.values()} == {"esc1016"}
    assert [row["pairs"] for row in rows.values()] == ["2"] * 3
    assert float(rows["mel"]["accuracy"]) == float(rows["mel"]["of_more"]) == pytest.approx(0.65)  # of two folds
    assert float(rows["Gabor"]["difference"]) == pytest.approx(-0.35)
    assert "-35.0 [-98.5, +28.5]" in capsys.readouterr().out  # 12.706 * 7.07 / 2**0.5 points


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ((0.0, 0.01, 0.02, 0.01), "yes"),  # surely a loss, and surely a small one
        ((0.1, 0.12, 0.11, 0.13), "no"),
        ((0.05, -0.05, 0.04, -0.02), "cannot be told"),
        ((0.02, 0.02), "cannot be told"),  # differences that do not vary have no interval
    ],
)
def test_few_filters_match_if_no_loss_of_three_points_is_left(losses, verdict):
    own = {fold: 0.8 - loss for fold, loss in enumerate(losses)}
    assert fewer_filters._judge(compare(own, dict.fromkeys(own, 0.8))) == verdict


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("esc10,16,mel,0,1,a,0.5", "each run must stand once"),
        ("birds,16,mel,0,1,a,0.5", "sounds of bench_runs.csv, line 3, must be"),
        ("esc10,16,Mel,0,1,a,0.5", "variant of bench_runs.csv, line 3, must be"),
        ("esc10,16,Gabor,0,1,a,-", "must be numbers: could not convert string to float: '-'"),
        ("esc10,few,Gabor,0,1,a,0.5", "must be numbers"),
        ("esc10,16,Gabor,0,1,a,nan", "accuracy of bench_runs.csv, line 3, must be between 0 and 1, got nan"),
        ("esc10,16,Gabor,0,1,a,84.5", "must be between 0 and 1, got 84.5"),
    ],
)
def test_runs_that_are_not_those_of_a_bench_are_refused(tmp_path, monkeypatch, capsys, line, told):
    monkeypatch.setattr(bench, "SETS", {"esc10": LENGTHS})
    runs = tmp_path / "bench_runs.csv"
    runs.write_text(f"sounds,n_filters,variant,seed,fold,test_clips,accuracy\nesc10,16,mel,0,1,a,0.5\n{line}\n")
    assert fewer_filters.main(["--runs", str(runs), "--out", str(tmp_path / "again")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_few_filters_without_more_are_refused(tmp_path, capsys):
    make_run(tmp_path / "esc10-8", "mel")
    assert fewer_filters.main(["--out", str(tmp_path)]) == 2
    assert "must have runs of mel with 4 times as many filters" in capsys.readouterr().err


def test_a_long_window_is_twice_that_of_the_set():
    from experiments.frontends import frontend_settings
    from experiments.options import build_parser

    args = build_parser(None, "test").parse_args([])
    vars(args).update(sample_rate=RATE, n_filters=8, win_length=None, hop_length=80)
    assert frontend_settings("long-mel", args, 0)["init_args"]["win_length"] == 2 * round(0.025 * RATE)


def test_a_probe_takes_the_sample_rate_of_most_clips(tmp_path, capsys):
    write_sounds(tmp_path / "sounds")
    odd = tmp_path / "sounds" / "high" / "1-9.wav"
    soundfile.write(odd, 0.1 * torch.randn(2 * RATE).numpy(), 2 * RATE)
    options = ["--n-filters", "8", "--win-length", "200", "--out", str(tmp_path / "out")]
    assert probe.main([str(tmp_path / "sounds"), *options]) == 0
    text = capsys.readouterr().out
    assert f"sample rate: {RATE} Hz, as 18 of 19 clips have (--sample-rate chooses another)" in text
    assert f"({RATE}, 8, win_length=200" in text
