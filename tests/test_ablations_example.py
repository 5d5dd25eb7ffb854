import csv
import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import ablations
from frontends import build_frontend
from training import AUGMENTATIONS, build_augmentation

CONFIG = {"sample_rate": 8000, "n_filters": 40, "win_length": 200, "hop_length": 200, "log_offset": 1e-3}


def run(out: Path, *more: str) -> int:
    words = f"--out {out} --sample-rate 8000 --seconds 0.5 --limit 5 --n-filters 10 --epochs 1 --batch-size 8"
    return ablations.main([*words.split(), *more])


def variants(factors=tuple(ablations.LEVELS)):
    parser = ablations.build_parser(None, "")
    args = parser.parse_args([])
    args.factors, args.n_filters = factors, 12
    return {variant.name: variant for variant in ablations._variants(args)}


def test_every_variant_changes_one_thing_of_the_base():
    found = variants()
    assert len(found) == 15
    base = found["base"]
    assert (base.frontend, base.recipe.augment) == ("cos-gauss+heads", "aligned")
    for name, variant in found.items():
        if name == "heads-none":
            assert (variant.frontend, variant.recipe.augment) == ("cos-gauss", "aligned")
            continue
        changed = {key for key in base.heads if base.heads[key] != variant.heads[key]}
        if base.recipe != variant.recipe:
            changed.add("augment")
        assert len(changed) == (name != "base"), name
        frontend = build_frontend(variant.frontend, {**CONFIG, "n_filters": 12, "heads": variant.heads})
        assert frontend(torch.randn(1, 4000)).shape == (1, 12, 21)
    assert found["heads-all"].heads["n_heads"] == 12
    assert set(variants(["skip"])) == {"base", "skip-no"}


def test_a_run_writes_tables_and_a_picture_and_goes_on_with_more_factors(tmp_path, capsys):
    out = tmp_path / "run"
    assert run(out, "--folds", "1", "2", "--factors", "skip") == 0
    shown = capsys.readouterr().out
    assert "minus base" in shown
    assert (out / "ablations.png").stat().st_size > 5000
    cells = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.pt")}
    assert {path.name for path in cells} == {f"{v}-fold{f}-seed0.pt" for v in ("base", "skip-no") for f in (1, 2)}
    assert run(out, "--folds", "1", "2", "--factors", "skip", "augmentation") == 0
    assert all(path.stat().st_mtime_ns == time for path, time in cells.items())  # finished cells are not run again
    with (out / "ablations.csv").open(newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["base", "skip-no", "augmentation-none", "augmentation-non-aligned"]
    assert (rows["skip-no"]["skip"], rows["skip-no"]["heads"], rows["base"]["skip"]) == ("no", "2", "yes")
    report = json.loads((out / "ablations.json").read_text())
    for row in report["rows"]:
        mine = [cell["accuracy"] for cell in report["cells"] if cell["variant"] == row["variant"]]
        base = [cell["accuracy"] for cell in report["cells"] if cell["variant"] == "base"]
        assert len(mine) == row["cells"] == 2
        assert row["accuracy"] == pytest.approx(sum(mine) / 2)
        assert row["minus_base"] == pytest.approx(sum(mine) / 2 - sum(base) / 2)
        for cell, value in zip((1, 2), mine, strict=True):
            saved = torch.load(out / "cells" / f"{row['variant']}-fold{cell}-seed0.pt", weights_only=True)
            assert value == pytest.approx((saved["targets"] == saved["predictions"]).double().mean().item())
    text = (out / "ablations.md").read_text()
    assert "72.6" in text  # the paper's, for the base
    assert "71.7" in text  # and for masks that are not aligned


def test_other_settings_in_the_same_folder_are_refused(tmp_path, capsys):
    assert run(tmp_path, "--folds", "1", "--factors", "skip") == 0
    assert run(tmp_path, "--folds", "1", "--factors", "skip", "--lr", "0.1") == 2
    assert "ablations.py: --out holds a run with other settings (lr 0.002 -> 0.1)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cos-gauss", "cos-gauss+heads"])
def test_augmentation_masks_and_crops_as_the_paper_says(name):
    torch.manual_seed(0)
    frontend = build_frontend(name, {**CONFIG, "n_filters": 80, "heads": {"n_heads": 2}})
    assert AUGMENTATIONS == ("none", "aligned", "non-aligned")
    features = torch.randn(500, 80, 431)
    assert build_augmentation(frontend, "none", 431)(features) is features
    changed = build_augmentation(frontend, "aligned", 431)
    assert changed(features).shape == (500, 80, 400)
    masks, _ = changed
    assert (masks.max_filters, masks.max_frames) == ((12, 39) if "heads" in name else (24, 39))
    lost = masks(features) != features
    if "heads" in name:
        assert torch.equal(lost[:, :40], lost[:, 40:])
        apart = build_augmentation(frontend, "non-aligned", 431)
        assert not apart[0].aligned
        assert not apart[1].aligned
        lost = apart[0](features) != features
        assert not torch.equal(lost[:, :40], lost[:, 40:])
    with pytest.raises(ValueError, match="how must be one of"):
        build_augmentation(frontend, "both", 431)
