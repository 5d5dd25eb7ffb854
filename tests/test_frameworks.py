"""Front-ends inside of other people's models: transformers and accelerate build on meta, load, cast and hook them."""

import copy

import pytest
import torch
from torch import nn

from learnable_frontends import PCEN, CosGaussFilterbank, Log, MelFrontend, MultiHeadRelevance, SincFilterbank

transformers = pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

RATE, N_FILTERS = 8000, 6
FRONTENDS = {
    "mel": lambda: MelFrontend(RATE, N_FILTERS),
    "sinc": lambda: SincFilterbank(RATE, N_FILTERS, gain="peak"),
    "cos-gauss": lambda: CosGaussFilterbank(RATE, N_FILTERS, width="spacing", compression=PCEN(N_FILTERS)),
    "frozen": lambda: CosGaussFilterbank(RATE, N_FILTERS, learn_width=True, compression=Log(learn=True)).freeze(),
    "heads": lambda: MultiHeadRelevance(CosGaussFilterbank(RATE, N_FILTERS), split="even-odd", context=2, hidden=3),
    "conv heads": lambda: MultiHeadRelevance(MelFrontend(RATE, N_FILTERS), first_layer="conv", context=2),
}
DTYPES = [None, torch.float16, torch.bfloat16, torch.float64]


class Config(transformers.PretrainedConfig):
    """Which front-end a model has."""

    model_type = "front-end"

    def __init__(self, kind="mel", **settings):
        self.kind = kind
        super().__init__(**settings)


class Classifier(transformers.PreTrainedModel):
    """What a user writes around a front-end."""

    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.frontend = FRONTENDS[config.kind]()
        self.head = nn.Linear(N_FILTERS, 3)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            module.reset_parameters()

    def forward(self, waveform):
        return self.head(self.frontend(waveform).mean(-1))


def trained(kind):
    """A model whose parameters are not those of a new one."""
    torch.manual_seed(0)
    model = Classifier(Config(kind))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=FRONTENDS)
def kind(request):
    return request.param


@pytest.fixture
def saved(kind, tmp_path):
    model = trained(kind)
    model.save_pretrained(tmp_path)
    return model, tmp_path


def assert_same(loaded, model, noise, dtype=None):
    waveform = noise(2, 1000).to(dtype or torch.float32)
    expected = model if dtype is None else copy.deepcopy(model).to(dtype)
    for _ in range(2):
        assert torch.equal(loaded(waveform), expected(waveform))
        assert torch.equal(loaded.frontend(waveform), expected.frontend(waveform))
    assert torch.equal(loaded.frontend.center_frequencies, expected.frontend.center_frequencies)


@pytest.mark.parametrize("settings", [{}, {"low_cpu_mem_usage": True}, {"device_map": "cpu"}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_pretrained_model_loads_to_the_same_bits(saved, noise, settings, dtype):
    model, folder = saved
    if dtype is not None:
        settings = {**settings, "dtype": dtype}
    loaded, report = Classifier.from_pretrained(folder, output_loading_info=True, **settings)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same(loaded, model, noise, dtype)
    assert loaded.frontend.is_frozen == model.frontend.is_frozen


def test_a_model_that_was_loaded_trains_and_saves_again(saved, noise, tmp_path_factory):
    model, folder = saved
    loaded, again = Classifier.from_pretrained(folder), tmp_path_factory.mktemp("again")
    groups = [*loaded.frontend.param_groups(1e-3, 1e-2), {"params": loaded.head.parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    loaded(noise(2, 1000)).square().sum().backward()
    optimizer.step()
    loaded.save_pretrained(again)
    assert_same(Classifier.from_pretrained(again), loaded, noise)
    assert not torch.equal(loaded(noise(2, 1000)), model(noise(2, 1000)))


def test_a_checkpoint_without_a_fingerprint_loads(saved, noise):
    from safetensors.torch import load_file, save_file

    model, folder = saved
    file = folder / "model.safetensors"
    state = {name: value for name, value in load_file(file).items() if not name.endswith("fingerprint")}
    save_file(state, file, {"format": "pt"})
    loaded = Classifier.from_pretrained(folder)
    assert_same(loaded, model, noise)
    Classifier(Config(loaded.config.kind)).load_state_dict(loaded.state_dict())


@pytest.mark.parametrize("include_buffers", [False, True])
def test_a_model_built_empty_and_dispatched_gives_the_same_bits(kind, noise, tmp_path, include_buffers):
    model = trained(kind)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with accelerate.init_empty_weights(include_buffers=include_buffers):
        empty = Classifier(Config(kind))
    assert all(parameter.is_meta for parameter in empty.parameters())
    dispatched = accelerate.load_checkpoint_and_dispatch(
        empty, str(tmp_path / "pytorch_model.bin"), device_map={"": "cpu"}
    )
    assert_same(dispatched, model, noise)


def test_hooks_on_heads_and_bank_leave_the_heads_in(noise):
    model = MultiHeadRelevance(CosGaussFilterbank(RATE, N_FILTERS), context=2)
    expected = model(noise(1000))
    for module in (model.frontend, model):
        accelerate.hooks.add_hook_to_module(module, accelerate.hooks.ModelHook())
    assert torch.equal(model(noise(1000)), expected)
    assert not torch.equal(model(noise(1000)), model.frontend(noise(1000)))


def test_accelerate_prepares_and_steps_a_front_end(noise):
    model = MultiHeadRelevance(CosGaussFilterbank(RATE, N_FILTERS), context=2)
    before = model.frontend.center_frequencies.detach().clone()
    accelerator = accelerate.Accelerator(cpu=True)
    prepared, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.param_groups(1e-3, 1e-1)))
    accelerator.backward(prepared(noise(2, 1000)).square().mean())
    optimizer.step()
    assert not torch.equal(accelerator.unwrap_model(prepared).frontend.center_frequencies, before)
