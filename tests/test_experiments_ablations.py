import csv
import json

import numpy as np
import pytest
import torch
from made_runs import make_run, make_runs

from experiments import ablations
from experiments.ablations import BASE, LEVELS, make_variants
from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance


def variants(*factors, n_filters=12, seconds=1.0):
    args = ablations.build_parser(None, "").parse_args([])
    args.factors, args.n_filters, args.seconds = factors or tuple(LEVELS), n_filters, seconds
    args.sample_rate, args.win_length, args.hop_length = 8000, 200, 200
    return {variant.name: variant.settings(0, "1")["model"] for variant in make_variants(args, 10)}


AUGMENTATION = ("mask_filters", "mask_frames", "crop", "aligned")


def test_every_variant_changes_one_thing_of_the_base():
    found = variants()
    assert len(found) == 15
    base = found["base"]
    assert base["frontend"]["class_path"] == "learnable_frontends.MultiHeadRelevance"
    assert base["aligned"]
    heads = base["frontend"]["init_args"]
    for name, model in found.items():
        if name == "heads-none":
            assert model["frontend"] == heads["frontend"]
            continue
        own = model["frontend"]["init_args"]
        changed = {key for key in heads if own[key] != heads[key]}
        # The number of masked filters goes with that of the heads.
        changed |= {"augmentation" for key in ("crop", "aligned") if model.get(key) != base[key]}
        assert len(changed) == (name != "base"), name
        bank = CosGaussFilterbank(8000, 12, win_length=200, hop_length=200)
        assert MultiHeadRelevance(**{**own, "frontend": bank})(torch.randn(1, 4000)).shape == (1, 12, 21)
    assert found["heads-all"]["frontend"]["init_args"]["n_heads"] == 12
    assert set(variants("skip")) == {"base", "skip-no"}


def test_masks_and_crops_are_those_of_the_paper():
    found = variants(n_filters=80, seconds=430 * 200 / 8000)  # 431 frames
    assert [found["base"][name] for name in AUGMENTATION] == [12, 39, 400, True]
    assert [found["heads-none"][name] for name in AUGMENTATION] == [24, 39, 400, True]
    assert [found["heads-1"][name] for name in AUGMENTATION] == [24, 39, 400, True]
    assert [found["heads-all"][name] for name in AUGMENTATION] == [0, 39, 400, True]
    assert [found["augmentation-non-aligned"][name] for name in AUGMENTATION] == [12, 39, 400, False]
    assert not {*AUGMENTATION} & found["augmentation-none"].keys()


def test_an_experiment_is_trained_and_reported(tmp_path, capsys):
    words = f"--out {tmp_path} --sample-rate 8000 --seconds 0.5 --limit 5 --n-filters 10 --epochs 1 --folds 1"

    def run(*more):
        return ablations.main([*words.split(), "--batch-size", "8", *more])

    assert run("--factors", "skip") == 0
    assert "minus base" in capsys.readouterr().out
    with (tmp_path / "ablations.csv").open(newline="") as file:
        assert [(row["variant"], row["skip"]) for row in csv.DictReader(file)] == [("base", "yes"), ("skip-no", "no")]
    assert run("--factors", "skip", "--lr", "0.1") == 2
    assert "lr: 0.002 before, 0.1 now" in capsys.readouterr().err
    assert run("--factors", "skip", "skip") == 2
    assert "variants must differ, got skip-no more than once" in capsys.readouterr().err


def test_the_table_has_a_line_for_each_variant_and_the_papers_numbers(tmp_path):
    accuracies = {"base": [0.5, 0.6], "skip-no": [0.7, 0.6], "augmentation-non-aligned": [0.5, 0.5]}
    text = ablations._report(make_runs(tmp_path, accuracies), tmp_path)
    head, _, *lines = (tmp_path / "ablations.md").read_text("utf-8").splitlines()
    assert head.startswith("| heads | context | augmentation | first-layer | split | skip | accuracy % | minus base |")
    assert lines[0].startswith("| 2 | 10 | aligned | linear | contiguous | yes | 55.0 ± 7.1 | - |")
    assert lines[1].startswith("| · | · | · | · | · | no | 65.0 ± 7.1 | +10.0 [")
    assert [line.split(" | ")[-1] for line in lines] == ["72.6 |", "- |", "71.7 |"]  # alignment is worth 0.9
    written = json.loads((tmp_path / "ablations.json").read_text())
    for row in written["rows"]:
        own = accuracies[row["variant"]]
        assert (row["accuracy"], row["spread"]) == pytest.approx((np.mean(own), np.std(own, ddof=1)))
        assert {factor: row[factor] for factor in BASE} == ablations.levels_of(row["variant"])
    assert written["rows"][1]["difference"] == pytest.approx(0.1)
    assert "6 runs (folds x seeds x variants)" in text
    assert (tmp_path / "ablations.png").stat().st_size > 5000


def test_runs_that_are_not_there_leave_their_panels_out(tmp_path):
    results = [make_run(tmp_path, name) for name in ("base", "context-0")]
    ablations._draw_factors(results, tmp_path / "some.png")
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")
