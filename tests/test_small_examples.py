import csv
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from learnable_frontends import RelevanceWeighting

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Function that runs a script as ``python examples/<script>`` does, but without loading torch again."""

    def run_script(script, *arguments):
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setattr(sys, "argv", [str(EXAMPLES / script), *map(str, arguments)])
        code, threads = 0, torch.get_num_threads()
        torch.set_num_threads(1)  # enough for models this small, and much faster on a busy machine
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        finally:
            torch.set_num_threads(threads)
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return run_script


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints as the comparison saves them, of a mel and a cos-Gauss front-end whose filters moved up."""
    folder = tmp_path_factory.mktemp("checkpoints")
    config = {"sample_rate": 8000, "n_filters": 6, "log_offset": 1e-3, "heads": {"n_heads": 2}}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        from frontends import build_frontend

        paths = []
        for name in ("mel", "cos-gauss+heads"):
            frontend = build_frontend(name, config)
            initial = frontend.center_frequencies.detach().clone()
            with torch.no_grad():
                for key, parameter in frontend.named_parameters():
                    if key.endswith("raw_center"):
                        parameter.add_(0.1)
            paths.append(folder / f"{name}-fold1-seed0.pt")
            torch.save(
                {
                    "frontend": name,
                    "frontend_config": config,
                    "frontend_state": frontend.state_dict(),
                    "initial_centers": initial,
                    "classes": ["dog", "rain"],
                },
                paths[-1],
            )
    return paths


@pytest.fixture(scope="module")
def trained_heads(tmp_path_factory):
    """Checkpoints of mel and sinc with heads that saw folds 2 and 3, or 1 and 3, of six synthetic clips a class."""
    folder = tmp_path_factory.mktemp("heads")
    config = {"sample_rate": 8000, "n_filters": 6, "log_offset": 1e-3, "heads": {"n_heads": 2, "context": 3}}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        from frontends import build_frontend
        from sounds import load_sounds

        sounds = load_sounds(None, 8000, seconds=0.5, limit=6, n_folds=3)
        paths = []
        for name, fold in (("mel+heads", 1), ("mel+heads", 2), ("sinc+heads", 1)):
            torch.manual_seed(fold)
            frontend = build_frontend(name, config)
            if name.startswith("sinc"):
                with torch.no_grad():  # a weight of a half everywhere
                    frontend.relevance.weight2.zero_()
                    frontend.relevance.bias2.zero_()
            paths.append(folder / f"{name}-fold{fold}-seed0.pt")
            torch.save(
                {
                    "frontend": name,
                    "frontend_config": config,
                    "frontend_state": frontend.state_dict(),
                    "classes": sounds.classes,
                    "fold": fold,
                    "targets": sounds.labels[sounds.folds == fold],
                },
                paths[-1],
            )
    return paths


SYNTHETIC = ("--seconds", 0.5, "--limit", 6, "--make-folds", 3)


def test_swapping_the_front_end_trains_both_models_alike_every_time(run):
    first, second = run("swap_frontend.py", "--steps", 2), run("swap_frontend.py", "--steps", 2)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    _, mel, learned, added = first.stdout.splitlines()
    row = r"(.+?) +(\d+) +(\d+\.\d+) +(\d+\.\d) %"
    sizes = [int(re.fullmatch(row, line)[2]) for line in (mel, learned)]
    # 40 centers, and two heads of 21 -> 50 -> 1: 1151 each.
    assert sizes[1] - sizes[0] == 40 + 2 * 1151
    assert f"added {sizes[1] - sizes[0]} parameters" in added


def test_swap_refuses_no_steps(run):
    process = run("swap_frontend.py", "--steps", 0)
    assert process.returncode == 2
    assert "--steps must be at least 1, got 0" in process.stderr


def test_checkpoints_become_a_picture_and_a_word_on_how_far_the_centers_moved(run, checkpoints, tmp_path):
    process = run("plot_center_frequencies.py", *checkpoints, "--out", tmp_path / "centers.png")
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "centers.png").read_bytes().startswith(b"\x89PNG")
    mel, moved, out = process.stdout.splitlines()
    assert mel == "mel: did not move"
    # A logit up by 0.1 moves a center by just under 10.5 % where it is low in the band, by nothing at its top.
    share = float(re.match(r"cos-gauss\+heads: median move ([\d.]+) % of the center, farthest \d+ -> \d+ Hz", moved)[1])
    assert 2 < share < 10.5
    assert out == str(tmp_path / "centers.png")


@pytest.mark.parametrize("kind", ["text", "list", "other keys", "wrong state", "no file"])
def test_a_file_that_is_no_checkpoint_is_named_with_exit_code_2(kind, run, checkpoints, tmp_path):
    path = tmp_path / "odd.pt"
    good = torch.load(checkpoints[1], weights_only=True)
    if kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "other keys":
        torch.save({"model": {}}, path)
    elif kind == "wrong state":
        torch.save({**good, "frontend": "mel"}, path)
    process = run("plot_center_frequencies.py", checkpoints[0], path, "--out", tmp_path / "centers.png")
    assert process.returncode == 2
    assert process.stderr.startswith(f"plot_center_frequencies.py: error: {path} ")
    assert not (tmp_path / "centers.png").exists()


def test_a_picture_format_that_is_unknown_is_named_with_exit_code_2(run, checkpoints, tmp_path):
    process = run("plot_center_frequencies.py", checkpoints[0], "--out", tmp_path / "centers.xyz")
    assert process.returncode == 2
    assert f"{tmp_path / 'centers.xyz'} cannot be written: Format 'xyz' is not supported" in process.stderr


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_masks_become_pictures_and_statistics_of_clips_that_were_held_out(run, trained_heads, tmp_path):
    process = run("plot_masks.py", *trained_heads, *SYNTHETIC, "--out", tmp_path)
    assert process.returncode == 0, process.stderr
    stems = [path.stem for path in trained_heads]
    # Fold 2 does not hold out the clip that is drawn, the first of fold 1.
    pictures = {f"mean_masks_{stem}.png" for stem in stems} | {f"masks_{stem}.png" for stem in (stems[0], stems[2])}
    assert {path.name for path in tmp_path.iterdir()} == pictures | {"statistics.csv", "classes.csv"}
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    rows = read_csv(tmp_path / "statistics.csv")
    assert [(row["checkpoint"], row["head"], row["heads"]) for row in rows] == [
        (stem, head, kind) for stem in stems for kind in ("trained", "untrained") for head in "12"
    ]
    for row in rows:
        flat = row["frontend"] == "sinc+heads" and row["heads"] == "trained"
        assert (float(row["total"]) == 0) == flat
        assert float(row["between_classes"]) <= float(row["between_clips"]) + 1e-9
        line = [row["checkpoint"], row["head"], row["heads"], f"{float(row['mean']):.3f}", f"{float(row['total']):.3f}"]
        assert any(printed.split()[:5] == line for printed in process.stdout.splitlines())
    assert float(rows[-4]["mean"]) == 0.5
    weights = read_csv(tmp_path / "classes.csv")
    assert len(weights) == 3 * 2 * 10
    assert sum(float(row["more"]) for row in weights[:10]) == pytest.approx(0, abs=1e-6)
    assert process.stdout.count(" ± ") > 20  # over the two folds of mel


def test_statistics_of_masks_leave_out_frames_that_see_beyond_the_clip(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from mask_measures import measure

    torch.manual_seed(0)
    relevance = RelevanceWeighting(4, n_heads=2, context=3, hidden=5)
    features = torch.randn(6, 4, 1, dtype=torch.float64).expand(6, 4, 9)  # steady: only the ends of a mask can vary
    relevance.double()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    rows, means = measure(relevance, features, labels)
    inside = relevance.masks(features)[..., 4].detach()
    assert means.shape == (3, 4)
    torch.testing.assert_close(means, inside.view(3, 2, 4).mean(1))
    for head, row in enumerate(rows):
        own, part = inside[:, relevance.parts[head]], relevance.parts[head]
        assert row["within_clip"] == pytest.approx(0, abs=1e-7)
        assert row["between_clips"] == pytest.approx(float(own.var(0, correction=0).mean().sqrt()))
        assert row["between_classes"] == pytest.approx(float(means[:, part].var(0, correction=0).mean().sqrt()))
        pair = torch.stack([own.flatten(), features[:, part, 0].flatten()])
        assert row["level"] == pytest.approx(float(torch.corrcoef(pair)[0, 1]))
    with pytest.raises(ValueError, match="clips must have more than 6 frames, the context of the heads, got 6"):
        measure(relevance, features[..., :6], labels)


def test_a_clip_can_be_chosen_and_must_be_held_out(run, trained_heads, tmp_path):
    process = run("plot_masks.py", *trained_heads, *SYNTHETIC, "--out", tmp_path, "--clip", "siren/1")
    assert process.returncode == 0, process.stderr
    assert [path.stem for path in tmp_path.glob("masks_*")] == [f"masks_{trained_heads[1].stem}"]
    process = run("plot_masks.py", *trained_heads, *SYNTHETIC, "--out", tmp_path, "--clip", "siren/2")
    assert process.returncode == 2
    assert "error: --clip must name a clip that a checkpoint holds out" in process.stderr
    assert process.stderr.strip().endswith("got siren/2")


def test_masks_of_other_sounds_or_without_heads_are_refused(run, trained_heads, checkpoints, tmp_path):
    process = run("plot_masks.py", trained_heads[0], "--limit", 5, "--make-folds", 3, "--out", tmp_path / "a")
    assert process.returncode == 2
    assert f"{trained_heads[0]} was tested on other clips than fold 1 of these sounds" in process.stderr
    process = run("plot_masks.py", checkpoints[0], *SYNTHETIC, "--out", tmp_path / "a")
    assert process.returncode == 2
    assert f"{checkpoints[0]} is not a checkpoint of compare_frontends.py: it has no fold, targets" in process.stderr
    bare = tmp_path / "bare.pt"
    torch.save({**torch.load(checkpoints[0], weights_only=True), "fold": 1, "targets": torch.zeros(1)}, bare)
    process = run("plot_masks.py", bare, *SYNTHETIC, "--out", tmp_path / "a")
    assert process.returncode == 2
    assert f"{bare} has no relevance heads" in process.stderr
    process = run("plot_masks.py", trained_heads[0], *SYNTHETIC, "--out", tmp_path / "a", "--data", tmp_path / "none")
    assert process.returncode == 2
    assert "--data must name a folder of class folders" in process.stderr
    assert not (tmp_path / "a").exists()


def test_clips_of_different_lengths_are_classified_alike_in_a_batch_and_alone(run):
    process = run("variable_lengths.py", "--clips", 90)
    assert process.returncode == 0, process.stderr
    clips, accuracy, difference = process.stdout.splitlines()
    shortest, longest = map(int, re.fullmatch(r"200 unseen clips of (\d+) to (\d+) samples", clips).groups())
    assert 4000 <= shortest < longest <= 8000
    assert re.fullmatch(r"accuracy \d+\.\d %", accuracy)
    assert float(difference.rpartition(" ")[2]) < 1e-5
