import warnings

import pytest
from small_runs import lines

from experiments import recipe
from experiments.data import small_sets
from experiments.runs import read_json


@pytest.fixture(scope="module")
def urban(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipe") / "UrbanSound8K"
    assert small_sets.main(["urbansound8k", str(root), "--seconds=0.3"]) == 0
    return root


SMALL = "--sample-rate 8000 --frontends mel cos-gauss-heads --folds 1 2"
SET = "trainer.max_epochs=1 data.workers=0 data.batch_size=30 model.segment_frames=20 trainer.accelerator=cpu"
NETWORK = "model.network.init_args.maps=2 model.network.init_args.hidden=4"


def run(root, out, *more):
    # The networks are the paper's but for their sizes.
    words = ["--data", str(root), "--out", str(out), "--cache", str(out / "cache"), *SMALL.split()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of Lightning
        return recipe.main(["urbansound8k", *words, "--set", *SET.split(), *NETWORK.split(), *more])


def test_a_recipe_trains_every_front_end_on_every_fold_and_reports(urban, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(urban, out) == 0
    said = capsys.readouterr().out
    assert "100 clips in 10 classes" in said
    assert "cos-gauss-heads" in said
    settings = read_json(out / "cos-gauss-heads" / "fold2-seed0" / "settings.json")
    assert settings["data"]["test_fold"] == "2"
    assert settings["model"]["frontend"]["init_args"]["frontend"]["init_args"]["sample_rate"] == 8000
    assert settings["model"]["frontend"]["init_args"]["n_heads"] == 2
    assert len(lines(out / "mel" / "fold1-seed0" / "predictions.csv")) == 10
    for name in ("results.md", "figures/fold1/center_frequencies.png", "figures/fold2/relevance_cos-gauss-heads.png"):
        assert (out / name).exists(), name

    assert run(urban, out) == 0  # finished runs are not run again
    assert len(read_json_list(out / "mel" / "fold1-seed0" / "run.json")) == 1
    table = urban / "metadata" / "UrbanSound8K.csv"
    text = table.read_text()
    try:
        table.write_text("\n".join(text.splitlines()[:-1]) + "\n")  # a clip less
        assert run(urban, out) == 2
    finally:
        table.write_text(text)
    said = capsys.readouterr().err
    assert "has results of other clips" in said
    assert "audio/fold10/" in said
    assert "is gone" in said
    assert run(urban, out, "model.optimizer.init_args.lr=0.5") == 2
    assert "model.optimizer.init_args.lr: 0.001 before, 0.5 now" in capsys.readouterr().err


def read_json_list(path):
    import json

    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--frontends", "gabor"],
            "--frontends must be among cos-gauss-heads, cos-gauss-softmax-heads, cos-gauss, mel, sinc, got gabor",
        ),
        (["--folds", "11"], "--folds must be among 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, got 11"),
        (["--folds", "1", "1"], "folds must differ, got 1 more than once"),
        (["--set", "trainer"], "--set must be NAME=VALUE, got 'trainer'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read as YAML"),
        (["--set", "data.root=nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_run_is_refused_before(urban, tmp_path, words, message, capsys):
    given = ["urbansound8k", "--data", str(urban), "--out", str(tmp_path), "--cache", str(urban.parent / "cache")]
    assert recipe.main([*given, *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*/*/epochs.csv"))


def test_both_recipes_have_a_configuration_and_front_ends_that_can_be_built():
    from experiments.runs import instantiate
    from learnable_frontends import Frontend

    for folder in recipe.RECIPES.iterdir():
        for path in sorted(folder.glob("frontends/*.yaml")):
            frontend = instantiate(Frontend, recipe.read_settings(path)["model"]["frontend"])
            assert (frontend.sample_rate, frontend.n_filters) == (44100, 80), path
