import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

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
