import signal

import torch
from small_recipe import CNNLSTM, KillAt, finish, lines, settings, start, weights
from urbansound8k import make_fixture

RECIPE, NO_PICTURES = "urbansound8k", "--pictures=0"


def metrics(folder):
    """The last value of each metric of each epoch, over all starts of a run."""
    values = {}
    for path in sorted((folder / "metrics").glob("version_*/metrics.csv")):
        for row in lines(path):
            values.update({(row["epoch"], name): value for name, value in row.items() if value and name != "step"})
    return values


def test_a_run_killed_within_an_epoch_ends_bit_equal_to_an_unbroken_one(tmp_path):
    root = tmp_path / "UrbanSound8K"
    make_fixture.main([str(root), "--seconds=0.4"])
    config = settings(root, network=CNNLSTM, mask_filters=2, mask_frames=5, segment_frames=20)
    config["trainer"]["max_epochs"] = 2
    config["data"] |= {
        "workers": 1,
        "test_fold": "1",
        "val_fold": "2",
        "augmentation": {"class_path": "recipes.waveforms.WaveformAugmentation", "init_args": {"sample_rate": 8000}},
    }
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    kill = {"class_path": f"{KillAt.__module__}.KillAt", "init_args": {"epoch": 1, "step": 1}}
    killed = {**config, "trainer": {**config["trainer"], "callbacks": [kill]}}
    processes = start(RECIPE, "fit", whole, config, NO_PICTURES), start(RECIPE, "fit", broken, killed, NO_PICTURES)
    finish(processes[0])
    finish(processes[1], -signal.SIGKILL)
    assert not (broken / "predictions.csv").exists()
    said = finish(start(RECIPE, "fit", broken, config, NO_PICTURES))

    assert "1 of 2 epochs are done" in said
    assert "epoch 2 before the stop is lost" in said
    expected, resumed = weights(whole), weights(broken)
    assert expected.keys() == resumed.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, resumed[name]), name
    assert metrics(whole) == metrics(broken)
    assert {name for _, name in metrics(whole)} >= {"train_loss", "val_loss", "val_accuracy", "test_accuracy"}
    for name in ("predictions.csv", "test.json"):
        assert (whole / name).read_text() == (broken / name).read_text()
