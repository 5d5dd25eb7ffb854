import json
import warnings
from types import SimpleNamespace

import pytest
import small_runs
import torch
from small_runs import FRONTEND, MEAN, RATE, MeanOverTime, lines
from torch.testing import assert_close

from experiments.data import small_sets
from experiments.data.sampling import EpochSampler
from experiments.files import BadDataError
from experiments.runs import load_model, read_json, read_result
from experiments.train import main
from experiments.training import networks
from experiments.training.classifier import Classifier
from experiments.training.rates import SCHEDULES, CosineRestarts, OneCycle
from learnable_frontends import CosGaussFilterbank, MelFrontend, MultiHeadRelevance


def test_processes_together_see_the_batches_of_one():
    whole = list(EpochSampler(23, seed=1, batch_size=6))
    parts = [list(EpochSampler(23, seed=1, batch_size=6, rank=rank, world=2)) for rank in (0, 1)]
    assert len(whole) == 18
    for step in range(3):
        shares = [part[3 * step : 3 * step + 3] for part in parts]
        assert sorted(shares[0] + shares[1]) == sorted(whole[6 * step : 6 * step + 6])
    assert len({clip for _, clip in whole}) == 18


def test_every_epoch_has_its_own_order_and_evaluation_keeps_every_clip_once():
    sampler = EpochSampler(40, seed=1, batch_size=8)
    first = [clip for _, clip in sampler]
    sampler.set_epoch(1)
    assert {epoch for epoch, _ in sampler} == {1}
    assert [clip for _, clip in sampler] != first
    shares = [EpochSampler(7, rank=rank, world=2) for rank in (0, 1)]
    assert [len(share) for share in shares] == [4, 3]
    assert sorted(clip for share in shares for _, clip in share) == list(range(7))


def test_the_sampler_refuses_batches_that_do_not_fit():
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 2 processes, got 5"):
        EpochSampler(10, batch_size=5, world=2)
    with pytest.raises(ValueError, match="batch_size must be at most the 4 training examples, got 8"):
        EpochSampler(4, batch_size=8)


def test_decays_equal_those_of_torch():
    def optimizer():
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)

    restarted, cycled = optimizer(), optimizer()
    restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(restarted, T_0=1, T_mult=2, eta_min=1e-5)
    cycle = torch.optim.lr_scheduler.OneCycleLR(cycled, 0.1, total_steps=101)
    cycled.step()
    for step in range(80):
        restarts.step(step / 10)
        assert 0.1 * CosineRestarts()(step / 10, 8) == pytest.approx(restarted.param_groups[0]["lr"], rel=1e-9)
        # torch rises over 0.3 * 101 - 1 of its 100 intervals.
        assert 0.1 * OneCycle(rise=0.293)(step, 100) == pytest.approx(cycled.param_groups[0]["lr"], rel=1e-6)
        cycle.step()


def test_schedules_are_those_of_their_names():
    for name, schedule in SCHEDULES.items():
        assert schedule("network", 0.0, 0.5) == schedule("network", 1.0, 0.5) == 1, name
    assert [SCHEDULES["warm-up"]("filters", done, 0.5) for done in (0.0, 0.15, 0.9)] == [0.0, 0.5, 1.0]
    assert [SCHEDULES["filters-first"]("filters", done, 0.25) for done in (0.0, 0.3)] == [1.0, 0.0]
    assert [SCHEDULES["filters-first"]("frontend", done, 0.25) for done in (0.0, 0.3)] == [0.0, 1.0]
    assert [SCHEDULES["filters-last"]("filters", done, 0.5) for done in (0.4, 0.5)] == [0.0, 1.0]


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


def test_a_clip_has_the_same_decision_alone_and_in_a_batch_of_longer_ones():
    torch.manual_seed(0)
    bank = CosGaussFilterbank(RATE, 20, win_length=200, hop_length=80, pad_mode="constant")
    model = classifier(MultiHeadRelevance(bank, context=3, hidden=4), MeanOverTime(), segment_frames=20)
    clips = [torch.randn(length) for length in (2900, 3100, 8000)]  # 37 and 39 frames: context reaches beyond 40
    together = model(torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor([2900, 3100, 8000]))
    alone = torch.cat([model(clip[None], torch.tensor([len(clip)])) for clip in clips])
    torch.testing.assert_close(together, alone)


def test_heads_are_bypassed_in_the_first_stage_of_filters_first():
    frontend = MultiHeadRelevance(CosGaussFilterbank(RATE, 20, win_length=200, hop_length=80), context=2, hidden=4)
    model, waveform = classifier(frontend, MeanOverTime(), schedule="filters-first"), torch.randn(2, RATE)
    torch.testing.assert_close(model.features(waveform), frontend(waveform))
    model.heads_bypassed.fill_(True)
    torch.testing.assert_close(model.features(waveform), frontend.frontend(waveform))


def test_arguments_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="segment_frames must be null with mixup, deltas or crop, got 20"):
        classifier(MelFrontend(RATE, 20), MeanOverTime(), segment_frames=20, mixup=0.4)
    with pytest.raises(ValueError, match=r"schedule must be one of jointly, .*, got 'at once'"):
        classifier(MelFrontend(RATE, 20), MeanOverTime(), schedule="at once")
    with pytest.raises(ValueError, match="average must be from 0 to less than 1, got 1"):
        classifier(MelFrontend(RATE, 20), MeanOverTime(), average=1)
    with pytest.raises(ValueError, match="rotations must be at least 1, got 0"):
        classifier(MelFrontend(RATE, 20), MeanOverTime(), rotations=0)
    with pytest.raises(ValueError, match="segment_frames must be null with rotations, got 20 and 2"):
        classifier(MelFrontend(RATE, 20), MeanOverTime(), segment_frames=20, rotations=2)


def test_decisions_are_means_over_rotations_of_the_averaged_weights():
    model = classifier(MelFrontend(RATE, 20), MeanOverTime(), average=0.5, rotations=3).eval()
    assert model.ways == ["last", "last, rotated", "averaged", "averaged, rotated"]
    batch = {"waveform": torch.randn(2, 900), "lengths": torch.tensor([900, 900]), "index": torch.tensor([4, 7])}
    with torch.no_grad():
        model.averaged.module["network"].classify.weight.mul_(3)
        model.on_test_epoch_start()
        model.test_step(batch)
        averaged, heard = model.network, torch.stack([batch["waveform"].roll(s, -1) for s in (0, 300, 600)])
        expected = averaged(model.frontend(heard)).softmax(-1).mean(0).log()
    assert model.tested == "averaged, rotated"
    assert_close(torch.stack([model.outcomes[model.tested][i][0] for i in (4, 7)]).float(), expected)
    plain = torch.stack([model.outcomes["last"][i][0] for i in (4, 7)]).float()
    assert_close(plain, model.averaged.module["network"](model.frontend(batch["waveform"])).log_softmax(-1))
    assert averaged.classify.weight.abs().mean() > 2 * model.averaged.module["network"].classify.weight.abs().mean()


def test_weights_are_averaged_over_the_steps_of_the_last_share():
    model = classifier(MelFrontend(RATE, 20), MeanOverTime(), average=0.1)
    model._trainer = SimpleNamespace(estimated_stepping_batches=40)
    weight, expected = model.network.classify.weight, None
    with torch.no_grad():
        for step in range(8):
            weight.fill_(step)
            model.on_train_batch_end()
            expected = float(step) if expected is None else expected + (step - expected) / 4
    assert_close(model.averaged.module["network"].classify.weight, torch.full_like(weight, expected))
    assert not any(parameter.requires_grad for parameter in model.averaged.parameters())


CNNLSTM = {
    "class_path": "experiments.training.networks.CNNLSTM",
    "init_args": {"n_classes": 10, "n_filters": 20, "maps": 4, "hidden": 8},
}
FCN = {"class_path": "experiments.training.networks.FCN", "init_args": {"n_classes": 10, "width": 4}}
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}


@pytest.fixture(scope="module")
def urban(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds") / "UrbanSound8K"
    assert small_sets.main(["urbansound8k", str(root), "--seconds=0.4"]) == 0
    return root


def fit(folder, settings, *arguments, command="fit"):
    """Run the command line in this process; its exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "given.json"
    path.write_text(json.dumps(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of Lightning
        return main([command, f"--config={path}", f"--run_dir={folder}", *arguments])


def settings_of(root, cache, data=None, **model):
    return {
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
        "data": {"root": str(root), "dataset": "urbansound8k", "cache": str(cache), "batch_size": 30}
        | {"sample_rate": RATE, "test_fold": "1"}
        | (data or {}),
        "model": {"frontend": FRONTEND, "optimizer": SGD, "frontend_lr": 0.01, **model},
    }


def test_urban_sounds_are_trained_in_stages_and_the_run_is_in_its_folder(urban, tmp_path, capsys):
    settings = settings_of(urban, tmp_path / "cache", {"val_fold": "2"}, network=CNNLSTM, segment_frames=20)
    settings["model"] |= {"schedule": "filters-first", "first_stage": 1}
    assert fit(tmp_path / "run", settings, "--patience=5", "--test_best=true") == 0
    assert "% of the classifier" in capsys.readouterr().err
    names = "config.json run.json clips.csv epochs.csv result.json predictions.csv network.pt best.ckpt"
    assert {*names.split(), "frontend", "tensorboard"} <= {path.name for path in (tmp_path / "run").iterdir()}
    (record,) = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["seed"] == 0
    assert {"python", "torch", "lightning", "learnable_frontends", "numpy"} <= record["versions"].keys()
    predictions = lines(tmp_path / "run" / "predictions.csv")
    assert {line["fold"] for line in predictions} == {"1"}
    right = sum(line["label"] == line["prediction"] for line in predictions) / len(predictions)
    result = read_json(tmp_path / "run" / "result.json")
    assert result["accuracy"] == pytest.approx(right)
    assert [row["epoch"] for row in lines(tmp_path / "run" / "epochs.csv")] == ["1", "2"]
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy"} <= lines(tmp_path / "run" / "epochs.csv")[
        0
    ].keys()
    model = load_model(tmp_path / "run")
    assert sum(p.numel() for p in model.frontend.parameters()) == result["frontend_parameters"]
    assert model.frontend.center_frequencies.tolist() == pytest.approx(result["centers"])

    assert fit(tmp_path / "run", {**settings, "seed_everything": 1}) == 2
    said = capsys.readouterr().err
    assert "was begun with other settings" in said
    assert "seed_everything: 0 before, 1 now" in said


def test_training_stops_early_where_nothing_is_gained(urban, tmp_path):
    still = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}}
    settings = settings_of(urban, tmp_path / "cache", {"val_fold": "2"}, network=MEAN, segment_frames=20)
    settings["model"] |= {"optimizer": still, "frontend_lr": None}
    settings["trainer"] |= {"max_epochs": 9, "logger": False}
    assert fit(tmp_path / "run", settings, "--patience=2") == 0
    assert len(lines(tmp_path / "run" / "epochs.csv")) == 3  # the first, and two without a gain
    assert (tmp_path / "run" / "predictions.csv").exists()


def test_scenes_are_tested_by_device_and_the_blind_set_is_predicted(tmp_path):
    root, blind, folder = tmp_path / "development", tmp_path / "evaluation", tmp_path / "run"
    assert small_sets.main(["dcase2020_task1a", str(root), f"--blind={blind}", "--seconds=1"]) == 0
    data = {"dataset": "dcase2020_task1a", "test_fold": "test", "seconds": 1.0, "options": {"blind": str(blind)}}
    settings = settings_of(root, tmp_path / "cache", data, network=FCN, mask_filters=2, mask_frames=5, crop=60)
    settings["model"] |= {"scale": True, "deltas": True, "mixup": 0.4}
    settings["trainer"] |= {"max_epochs": 1, "logger": False}
    assert fit(folder, settings) == 0
    devices = {line["device"] for line in lines(folder / "predictions.csv")}
    assert set(read_json(folder / "result.json")["per_device"]) == devices
    assert fit(folder, settings, f"--ckpt_path={folder / 'last.ckpt'}", command="predict") == 0
    submission = lines(folder / "submission.csv", "\t")
    assert len(submission) == 10
    assert list(submission[0])[:2] == ["filename", "scene_label"]
    for line in submission:
        probabilities = {name: float(line[name]) for name in list(line)[2:]}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert line["scene_label"] == max(probabilities, key=lambda name: probabilities[name])


def test_long_recordings_are_trained_on_windows_and_scored_as_a_whole(tmp_path):
    root = small_runs.write_sounds(tmp_path / "set", folds=2, clips=1, seconds=2.6)
    data = {"dataset": "folders", "window": 0.5, "batch_size": 4}
    network = {**MEAN, "init_args": {"n_classes": 3, "n_filters": 20}}
    settings = settings_of(root, tmp_path / "cache", data, network=network)
    settings["trainer"] |= {"max_epochs": 1, "logger": False}
    assert fit(tmp_path / "run", settings) == 0
    predictions = lines(tmp_path / "run" / "predictions.csv")
    assert len(predictions) == 3  # a row for each recording, not for each window
    model = load_model(tmp_path / "run")
    from experiments.data.reading import decode

    for line in predictions:
        waveform = torch.from_numpy(decode(root / line["file"], RATE))
        starts = [*range(0, 4000 * 5, 4000), len(waveform) - 4000]
        windows = torch.stack([waveform[s : s + 4000] for s in starts])
        windows = windows / (windows.abs().amax(-1, keepdim=True) + 1e-4)
        with torch.no_grad():
            expected = model(windows, torch.full((6,), 4000)).double().mean(0).exp()
        assert [float(line[name]) for name in ("high", "low", "mid")] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_loss_that_is_not_finite_ends_the_run_with_a_line(urban, tmp_path, capsys):
    wild = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e30}}
    settings = settings_of(urban, tmp_path / "cache", network=MEAN, segment_frames=20)
    settings["model"] |= {"optimizer": wild}
    settings["trainer"] |= {"logger": False}
    assert fit(tmp_path / "run", settings) == 2
    assert "the loss is not finite in epoch" in capsys.readouterr().err
    assert read_result(tmp_path / "run") is None


def test_bad_data_ends_a_run_with_a_line(urban, tmp_path, capsys):
    settings = settings_of(urban, tmp_path / "cache", {"test_fold": "11"}, network=MEAN)
    assert fit(tmp_path / "run", settings) == 2
    assert "test_fold must be one of ['1', '2'," in capsys.readouterr().err
    settings = settings_of(tmp_path / "nowhere", tmp_path / "cache", network=MEAN)
    assert fit(tmp_path / "other", settings) == 2
    assert "nowhere" in capsys.readouterr().err
    assert fit(tmp_path / "third", settings_of(urban, tmp_path / "cache", network=MEAN), "--patience=1") == 2
    assert "data.val_fold must be set with patience or test_best" in capsys.readouterr().err
    staged = settings_of(urban, tmp_path / "cache", network=MEAN, schedule="filters-first", first_stage=2)
    assert fit(tmp_path / "fourth", staged) == 2
    assert "first_stage must be less than the 2 epochs, got 2" in capsys.readouterr().err
    other = settings_of(urban, tmp_path / "cache", {"sample_rate": 16000}, network=MEAN)
    assert fit(tmp_path / "fifth", other) == 2
    assert "data.sample_rate must be the front-end's 8000" in capsys.readouterr().err


def test_a_checkpoint_that_was_cut_is_named(urban, tmp_path, capsys):
    settings = settings_of(urban, tmp_path / "cache", network=MEAN, segment_frames=20)
    settings["trainer"] |= {"logger": False, "max_epochs": 1}
    assert fit(tmp_path / "run", settings) == 0
    path = tmp_path / "run" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:500])
    assert fit(tmp_path / "run", settings) == 2
    assert f"{path} cannot be read" in capsys.readouterr().err
    (tmp_path / "run" / "network.pt").write_bytes(b"")
    with pytest.raises(BadDataError, match="has no network that can be loaded"):
        load_model(tmp_path / "run")
