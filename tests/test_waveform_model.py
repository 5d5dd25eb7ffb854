import copy

import numpy as np
import pytest
import torch
from conftest import needs
from torch import nn
from torch.testing import assert_close

from benchmarks.processors import sound
from learnable_frontends import LearnableMelFilterbank, MelFrontend, WaveformModel, presets

# Of what exporters and Transformers themselves call.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SPEECH = sound("speech", 16000).astype(np.float32)


def clips():
    return [SPEECH, sound("noise", 16000, 0.8).astype(np.float32)]


def padded():
    waveforms = [torch.from_numpy(clip) for clip in clips()]
    return nn.utils.rnn.pad_sequence(waveforms, batch_first=True), torch.tensor([len(clip) for clip in waveforms])


def ast():
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    network = ASTForAudioClassification(ASTConfig(**small, num_labels=5, attn_implementation="eager"))
    model = WaveformModel(presets.ast(learn=True), network, frames_first=True, keyword="input_values")
    return model, ASTFeatureExtractor()


def whisper_config():
    from transformers import WhisperConfig

    small = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
    return WhisperConfig(**small, decoder_layers=1, num_labels=5, attn_implementation="eager")


def whisper():
    from transformers import WhisperFeatureExtractor, WhisperForAudioClassification

    network = WhisperForAudioClassification(whisper_config())
    return WaveformModel(presets.whisper(learn=True), network, keyword="input_features"), WhisperFeatureExtractor()


def wav2vec2_bert():
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertForSequenceClassification

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    network = Wav2Vec2BertForSequenceClassification(
        Wav2Vec2BertConfig(**small, output_hidden_size=16, num_labels=5, classifier_proj_size=8)
    )
    model = WaveformModel(
        presets.seamless_m4t(learn=True),
        network,
        frames_first=True,
        stack=2,
        keyword="input_features",
        mask="attention_mask",
    )
    return model, SeamlessM4TFeatureExtractor()


NETWORKS = {"ast": ast, "whisper": whisper, "wav2vec2_bert": wav2vec2_bert}


@pytest.fixture(params=NETWORKS)
def pair(request):
    """A model that takes waveforms, and the processor of its network."""
    needs("transformers")
    torch.manual_seed(0)
    model, processor = NETWORKS[request.param]()
    return model.eval(), processor


@torch.no_grad()
def test_logits_are_those_of_processor_and_network(pair):
    model, processor = pair
    expected = model.model(**processor(clips(), sampling_rate=16000, return_tensors="pt")).logits
    waveform, lengths = padded()
    assert_close(model(waveform, lengths).logits, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_clap_hears_the_same():
    needs("transformers")
    from transformers import ClapAudioConfig, ClapAudioModel, ClapFeatureExtractor

    torch.manual_seed(0)
    small = {"patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [1, 2], "hidden_size": 32}
    network = ClapAudioModel(ClapAudioConfig(**small, num_hidden_layers=2)).eval()
    model = WaveformModel(
        presets.clap(fused=False), network, frames_first=True, channels=1, keyword="input_features"
    ).eval()
    clip = sound("speech", 48000).astype(np.float32)
    given = ClapFeatureExtractor(truncation="rand_trunc")(clip, sampling_rate=48000, return_tensors="pt")
    expected = network(given["input_features"]).pooler_output
    assert_close(model(torch.from_numpy(clip)[None]).pooler_output, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_image_networks_hear_it_with_as_many_channels_as_they_see(library, noise):
    needs(library)
    if library == "timm":
        import timm

        network, channels = timm.create_model("resnet10t", pretrained=False, in_chans=1, num_classes=5), 1
    else:
        import torchvision

        network, channels = torchvision.models.resnet18(num_classes=5), 3
    model = WaveformModel(presets.panns(learn=True), network, channels=channels)
    logits = model(noise(2, 16000))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    assert model.frontend.raw_displacements.grad.abs().sum() > 0


def test_a_trainer_trains_it_with_a_rate_of_its_own_for_filters(tmp_path):
    needs("transformers", "accelerate")
    from transformers import Trainer, TrainingArguments

    model, _ = ast()
    before = copy.deepcopy(model.state_dict())
    data = [{"waveform": torch.from_numpy(clip[:8000]), "labels": i} for i, clip in enumerate(clips() * 2)]
    options = TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, remove_unused_columns=False, use_cpu=True
    )
    optimizer = torch.optim.AdamW(model.param_groups(lr=1e-4, frontend_lr=1e-2))
    Trainer(model, options, train_dataset=data, optimizers=(optimizer, None)).train()
    moved = {name: (value - before[name]).abs().max() for name, value in model.state_dict().items()}
    assert 9e-3 < moved["frontend.raw_displacements"] < 1.1e-2  # a step of Adam is the rate
    assert 0 < moved["model.classifier.dense.weight"] < 2e-4


@pytest.mark.parametrize("name", ["ast", "whisper"])
def test_the_whole_runs_in_onnxruntime_on_waveforms(name, tmp_path):
    needs("transformers", "onnxscript", "onnxruntime")
    import onnxruntime

    torch.manual_seed(0)
    model = NETWORKS[name]()[0].eval()
    model.frontend.freeze().set_transform("matmul")
    waveform, _ = padded()
    dynamic = ({0: "batch", 1: "time"},)
    torch.onnx.export(model, (waveform,), tmp_path / "model.onnx", dynamo=True, dynamic_shapes=dynamic, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = (value.name for value in session.get_inputs())
    for other in (waveform, waveform[:1, :9000].repeat(3, 1)):
        (logits, *_) = session.run(None, {given: other.numpy()})
        assert_close(torch.from_numpy(logits), model(other).logits.detach(), rtol=0, atol=1e-4)


class Looks(nn.Module):
    """A network that returns what it gets."""

    def forward(self, features, **others):
        return features, others


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (2, 8, 101)),
        ({"frames_first": True}, (2, 101, 8)),
        ({"frames_first": True, "stack": 2}, (2, 51, 16)),
        ({"channels": 3}, (2, 3, 8, 101)),
        ({"channels": 1, "frames_first": True}, (2, 1, 101, 8)),
    ],
)
def test_features_come_as_the_network_wants_them(arguments, shape, noise):
    frontend, waveform = MelFrontend(8000, 8), noise(2, 8000)
    features, others = WaveformModel(frontend, Looks(), **arguments)(waveform, labels="given on")
    assert features.shape == shape
    assert others == {"labels": "given on"}
    expected = frontend(waveform)
    rows = (
        features.reshape(2, -1, 8)[:, :101].mT
        if arguments.get("frames_first")
        else features.reshape(2, -1, 8, 101)[:, 0]
    )
    assert torch.equal(rows, expected)


def test_a_mask_says_which_frames_belong_to_a_clip(noise):
    model = WaveformModel(MelFrontend(8000, 8), Looks(), frames_first=True, stack=2, mask="attention_mask")
    _, others = model(noise(2, 8000), torch.tensor([8000, 800]))
    assert others["attention_mask"].sum(-1).tolist() == [50, 5]  # 101 and 11 frames, two by two
    assert model(noise(2, 8000))[1]["attention_mask"].sum(-1).tolist() == [50, 50]
    given = torch.ones(2, 51)
    assert model(noise(2, 8000), attention_mask=given)[1]["attention_mask"] is given


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (nn.Identity(), Looks(), {}),
            TypeError,
            "frontend must be a Frontend such as presets.whisper.*, got Identity",
        ),
        ((MelFrontend(8000, 8), len, {}), TypeError, "model must be a torch.nn.Module, got builtin_function_or_method"),
        ((MelFrontend(8000, 8), Looks(), {"stack": 2}), ValueError, "stack must be 1 without frames_first=True, got 2"),
        ((MelFrontend(8000, 8), Looks(), {"channels": -1}), ValueError, "channels must be at least 0, got -1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    frontend, model, more = arguments
    with pytest.raises(error, match=f"^{message}"):
        WaveformModel(frontend, model, **more)


def test_filters_learn_through_the_network(noise):
    model = WaveformModel(LearnableMelFilterbank(8000, 8), nn.Sequential(nn.Flatten(), nn.Linear(8 * 101, 2)))
    model(noise(2, 8000)).square().sum().backward()
    assert model.frontend.raw_displacements.grad.abs().sum() > 0
