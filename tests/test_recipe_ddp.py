import json

import pytest
import torch
from small_recipe import finish, lines, settings, start, weights
from urbansound8k import make_fixture


def test_two_processes_give_the_result_of_one(tmp_path):
    """One epoch of DDP over gloo, the same global batches.

    The network has no batch norm and nothing is drawn at random: batch statistics are those of each process (the CPU
    has no synchronized ones), and masks are drawn by each. Waveforms are of different lengths, so processes have
    different numbers of segments.
    """
    root = tmp_path / "UrbanSound8K"
    make_fixture.main([str(root), "--seconds=0.4"])
    network = {"class_path": "small_recipe.MeanOverTime", "init_args": {"n_filters": 20}}
    config = settings(root, network=network, segment_frames=20)
    config["trainer"]["max_epochs"] = 1
    config["data"] |= {"test_fold": "1", "val_fold": "2"}
    one, two = tmp_path / "one", tmp_path / "two"
    processes = [
        start("urbansound8k", "fit", one, config, "--pictures=0"),
        start("urbansound8k", "fit", two, config, "--pictures=0", "--trainer.strategy=ddp", "--trainer.devices=2"),
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
