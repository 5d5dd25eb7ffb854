import json

import networks
import pytest
import torch
from dcase2020_task1a import make_fixture as make_scenes
from recipes.classifier import Classifier
from recipes.optimization import CosineRestarts
from recipes.sampling import EpochSampler
from small_recipe import CNNLSTM, FCN, FILTERBANK, RATE, MeanOverTime, finish, lines, settings, start
from urbansound8k import make_fixture as make_sounds

from learnable_frontends import CosGaussFilterbank, MelFrontend, MultiHeadRelevance


def test_processes_together_see_the_batches_of_one():
    whole = list(EpochSampler(range(23), seed=1, batch_size=6))
    parts = [list(EpochSampler(range(23), seed=1, batch_size=6, rank=rank, world=2)) for rank in (0, 1)]
    assert len(whole) == 18
    for step in range(3):
        shares = [part[3 * step : 3 * step + 3] for part in parts]
        assert sorted(shares[0] + shares[1]) == sorted(whole[6 * step : 6 * step + 6])
    assert len({clip for _, clip in whole}) == 18


def test_every_epoch_has_its_own_order_and_evaluation_keeps_every_clip_once():
    sampler = EpochSampler(range(40), seed=1, batch_size=8)
    first = [clip for _, clip in sampler]
    sampler.set_epoch(1)
    assert {epoch for epoch, _ in sampler} == {1}
    assert [clip for _, clip in sampler] != first
    shares = [EpochSampler(range(7), rank=rank, world=2) for rank in (0, 1)]
    assert [len(share) for share in shares] == [4, 3]
    assert sorted(clip for share in shares for _, clip in share) == list(range(7))


def test_sampler_refuses_batches_that_do_not_fit():
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 2 processes, got 5"):
        EpochSampler(range(10), batch_size=5, world=2)
    with pytest.raises(ValueError, match="batch_size must be at most the 4 clips, got 8"):
        EpochSampler(range(4), batch_size=8)


def test_cosine_restarts_equal_those_of_torch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2, eta_min=1e-5)
    decay = CosineRestarts()
    for step in range(80):
        reference.step(step / 10)
        assert 0.1 * decay(step / 10) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def classifier(frontend, network, **arguments):
    return Classifier(frontend, network, optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1), **arguments).eval()


def test_a_clip_is_the_mean_of_the_segments_that_begin_before_its_end():
    torch.manual_seed(0)
    frontend = MelFrontend(RATE, 20, win_length=200, hop_length=80, pad_mode="constant")
    model = classifier(frontend, networks.CNNLSTM(10, 20, maps=2, hidden=4), segment_frames=20)
    waveform = torch.randn(2, RATE)
    waveform[1, 2000:] = 0  # 1 + 2000 // 80 = 26 frames: two segments of 20
    lengths = torch.tensor([RATE, 2000])
    together = model(waveform, lengths)
    # 101 frames: five segments and one frame of a sixth, which silence fills.
    features = frontend(torch.nn.functional.pad(waveform, (0, 19 * 80)))
    assert features.shape[-1] == 120
    for clip, count in ((0, 6), (1, 2)):
        segments = features[clip, :, : 20 * count].split(20, -1)
        expected = torch.stack([model.network(s[None])[0].log_softmax(-1) for s in segments]).mean(0)
        torch.testing.assert_close(together[clip], expected)


def test_staged_training_learns_filters_first_and_heads_on_fixed_filters_then():
    frontend = MultiHeadRelevance(CosGaussFilterbank(RATE, 20, win_length=200, hop_length=80), context=2, hidden=4)
    model = classifier(frontend, MeanOverTime(), filters_epochs=1)
    waveform, lengths = torch.randn(2, RATE), torch.full((2,), RATE)
    learned = {}
    for bypassed in (True, False):
        model.heads_bypassed.fill_(bypassed)
        model.zero_grad()
        model(waveform, lengths).square().sum().backward()
        learned[bypassed] = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    network = {"network.classify.weight", "network.classify.bias"}
    heads = {f"frontend.relevance.{name}" for name, _ in frontend.relevance.named_parameters()}
    assert learned[True] == network | {"frontend.frontend.raw_center"}
    assert learned[False] == network | heads


def test_segments_and_transforms_of_clips_do_not_mix():
    with pytest.raises(ValueError, match="segment_frames must be null with mixup, deltas or crop, got 20"):
        classifier(MelFrontend(RATE, 20), MeanOverTime(), segment_frames=20, mixup=0.4)


def test_urban_sounds_are_trained_in_stages_and_the_run_is_in_its_folder(tmp_path):
    root = tmp_path / "UrbanSound8K"
    make_sounds.main([str(root), "--seconds=0.4"])
    config = settings(root, network=CNNLSTM, segment_frames=20, filters_epochs=1)
    config["data"] |= {"test_fold": "1", "val_fold": "2"}
    text = finish(start("urbansound8k", "fit", tmp_path, config, "--patience=5", "--test_best=true"))
    assert "heads" in text
    assert "% of the classifier" in text
    for name in (
        "config.yaml",
        "run.json",
        "test.json",
        "tensorboard",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    ):
        assert (tmp_path / name).exists(), name
    (record,) = json.loads((tmp_path / "run.json").read_text())
    assert record["seed"] == 0
    assert {"python", "torch", "lightning", "learnable_frontends", "numpy"} <= record["versions"].keys()
    predictions = lines(tmp_path / "predictions.csv")
    assert {line["fold"] for line in predictions} == {"1"}
    right = sum(line["label"] == line["prediction"] for line in predictions) / len(predictions)
    result = json.loads((tmp_path / "test.json").read_text())
    assert result["accuracy"] == pytest.approx(right, abs=1e-6)
    assert sum(map(sum, result["confusion"])) == len(predictions)
    said = finish(start("urbansound8k", "fit", tmp_path, {**config, "seed_everything": 1}, "--pictures=0"), 1)
    assert "has a run with other settings" in said
    assert "seed_everything: 0 before, 1 now" in said
    restored = Classifier.load_from_checkpoint(tmp_path / "checkpoints" / "last.ckpt", map_location="cpu")
    assert not restored.heads_bypassed
    assert type(restored.frontend).__name__ == "MultiHeadRelevance"


def test_training_stops_early_where_nothing_is_gained(tmp_path):
    root = tmp_path / "UrbanSound8K"
    make_sounds.main([str(root), "--seconds=0.2"])
    still = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}}
    mean = {"class_path": "small_recipe.MeanOverTime", "init_args": {"n_filters": 20}}
    config = settings(root, network=mean, segment_frames=20, optimizer=still, frontend_lr=None)
    config["trainer"]["max_epochs"] = 9
    config["data"] |= {"test_fold": "1", "val_fold": "2"}
    finish(start("urbansound8k", "fit", tmp_path, config, "--patience=2", "--pictures=0"))
    rows = lines(tmp_path / "metrics" / "version_0" / "metrics.csv")
    assert len([row for row in rows if row["val_accuracy"]]) == 3  # the first, and two without a gain
    assert (tmp_path / "predictions.csv").exists()


def test_scenes_are_trained_tested_by_device_and_the_blind_set_is_predicted(tmp_path):
    root, blind, folder = tmp_path / "development", tmp_path / "evaluation", tmp_path / "run"
    make_scenes.main([str(root), f"--blind={blind}", "--seconds=1"])
    config = settings(root, network=FCN, mask_filters=2, mask_frames=5, crop=60)
    config["trainer"]["max_epochs"] = 1
    config["data"] |= {"seconds": 1.0, "blind": str(blind)}
    finish(start("dcase2020_task1a", "fit", folder, config, "--pictures=0"))
    devices = {line["device"] for line in lines(folder / "predictions.csv")}
    assert set(json.loads((folder / "test.json").read_text())["per_device"]) == devices
    checkpoint = f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}"
    finish(start("dcase2020_task1a", "predict", folder, config, checkpoint))
    submission = lines(folder / "submission.csv", "\t")
    head = list(submission[0])
    assert head[:2] == ["filename", "scene_label"]
    assert len(head) == 12
    for line in submission:
        probabilities = {name: float(line[name]) for name in head[2:]}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert line["scene_label"] == max(probabilities, key=lambda name: probabilities[name])


def test_a_stage_of_filters_needs_no_heads():
    model = classifier(CosGaussFilterbank(**FILTERBANK["init_args"]), MeanOverTime(), filters_epochs=2)
    assert model.features(torch.randn(1, RATE)).requires_grad
    model.heads_bypassed.fill_(False)
    assert not model.features(torch.randn(1, RATE)).requires_grad
