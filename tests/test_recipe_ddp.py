import json

import pytest
import torch
from small_recipe import CNNLSTM, FCN, finish, lines, settings, start, weights
from urbansound8k import make_fixture


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds") / "UrbanSound8K"
    make_fixture.main([str(root), "--seconds=0.4"])
    return root


def without_dropout(network):
    return {**network, "init_args": {**network["init_args"], "dropout": 0.0}}


@pytest.mark.parametrize(
    ("network", "model", "epochs", "strategy"),
    [
        pytest.param(FCN, {"segment_frames": None, "scale": True, "deltas": True}, 1, "ddp", id="dcase2020_task1a"),
        # Waveforms are of different lengths, so processes have different numbers of segments.
        pytest.param(
            CNNLSTM,
            {"segment_frames": 20, "filters_epochs": 1},
            2,
            "ddp_find_unused_parameters_true",
            id="urbansound8k in stages",
        ),
    ],
)
def test_two_processes_give_the_result_of_one(sounds, tmp_path, network, model, epochs, strategy):
    """DDP over gloo, the same global batches, batch statistics over both, nothing drawn at random."""
    # Adam would make whole steps of the rounding errors in a gradient that is zero: of a bias before batch norm.
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    config = settings(sounds, network=without_dropout(network), optimizer=optimizer, **model)
    config["trainer"]["max_epochs"] = epochs
    config["data"] |= {"test_fold": "1", "val_fold": "2", "seconds": None if model["segment_frames"] else 0.4}
    one, two = tmp_path / "one", tmp_path / "two"
    both = [f"--trainer.strategy={strategy}", "--trainer.devices=2", "--trainer.sync_batchnorm=true"]
    processes = [
        start("urbansound8k", "fit", one, config, "--pictures=0"),
        start("urbansound8k", "fit", two, config, "--pictures=0", *both),
    ]
    for process in processes:
        finish(process)
    assert json.loads((two / "run.json").read_text())[0]["processes"] == 2
    expected = weights(one)
    for name, tensor in weights(two).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-5)
    rows = [lines(folder / "metrics" / "version_0" / "metrics.csv") for folder in (one, two)]
    for a, b in zip(*rows, strict=True):
        assert {k: float(v) for k, v in a.items() if v} == pytest.approx(
            {k: float(v) for k, v in b.items() if v}, abs=1e-5
        )
    assert lines(one / "predictions.csv")[0].keys() == lines(two / "predictions.csv")[0].keys()
    assert [line["file"] for line in lines(one / "predictions.csv")] == [
        line["file"] for line in lines(two / "predictions.csv")
    ]
