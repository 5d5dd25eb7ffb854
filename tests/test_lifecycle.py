"""The ways in which people build, empty, load, copy, wrap and cast modules: the same bits, or an error that helps."""

import copy
import io
import pickle
import re

import pytest
import torch
from conftest import default_dtype
from torch import nn
from torch.nn.utils import parametrize
from torch.testing import assert_close

from learnable_frontends import (
    PCEN,
    ConcatFrontend,
    CosGaussFilterbank,
    Decibels,
    FreeFilterbank,
    FreeResponseFilterbank,
    GaborFilterbank,
    GammatoneFilterbank,
    GaussianFilterbank,
    LearnableMelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    RelevanceWeighting,
    SincFilterbank,
)

RATE, N_FILTERS = 8000, 6


def heads(frontend, n_heads=2, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MultiHeadRelevance(frontend, n_heads, context=2, hidden=3, **settings)


# Every kind of constant: windows, ramps, widths, triangles, matrices of transforms, heads of filters, starts.
MODELS = {
    "mel": lambda: MelFrontend(RATE, N_FILTERS),
    "mel power norm": lambda: MelFrontend(
        RATE, N_FILTERS, power=1.0, norm="slaney", window=lambda n: torch.hann_window(n)
    ),
    "sinc": lambda: SincFilterbank(RATE, N_FILTERS),
    "sinc peak": lambda: SincFilterbank(RATE, N_FILTERS, gain="peak", compression=Decibels()),
    "cos-gauss": lambda: CosGaussFilterbank(RATE, N_FILTERS),
    "cos-gauss spacing": lambda: CosGaussFilterbank(RATE, N_FILTERS, width="spacing", compression=PCEN(N_FILTERS)),
    "cos-gauss widths": lambda: CosGaussFilterbank(RATE, N_FILTERS, learn_width=True, compression=Log(learn=True)),
    "cos-gauss valid": lambda: CosGaussFilterbank(RATE, N_FILTERS, padding="valid", kernel_size=33),
    "cos-gauss matmul": lambda: CosGaussFilterbank(RATE, N_FILTERS).set_transform("matmul"),
    "learnable mel": lambda: LearnableMelFilterbank(RATE, N_FILTERS, norm="slaney"),
    "gaussian": lambda: GaussianFilterbank(RATE, N_FILTERS),
    "gabor": lambda: GaborFilterbank(RATE, N_FILTERS, n_fft=200),
    "gammatone": lambda: GammatoneFilterbank(RATE, N_FILTERS, learn_width=True),
    "free": lambda: FreeFilterbank(RATE, N_FILTERS),
    "free response": lambda: FreeResponseFilterbank(RATE, N_FILTERS),
    "side by side": lambda: ConcatFrontend([GaussianFilterbank(RATE, 3), SincFilterbank(RATE, 3, win_length=100)]),
    "heads": lambda: heads(CosGaussFilterbank(RATE, N_FILTERS)),
    "even-odd heads": lambda: heads(CosGaussFilterbank(RATE, N_FILTERS), split="even-odd"),
    "sizes of heads": lambda: heads(SincFilterbank(RATE, N_FILTERS), split=[1, 5]),
    "conv heads": lambda: heads(MelFrontend(RATE, N_FILTERS), first_layer="conv"),
    "softmax heads": lambda: heads(MelFrontend(RATE, N_FILTERS), gate="softmax"),
    "nested heads": lambda: heads(heads(CosGaussFilterbank(RATE, N_FILTERS), split="even-odd"), n_heads=3),
}


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


def on_meta(make):
    with torch.device("meta"):
        return make()


def emptied(model):
    """Emptied as frameworks do: what memory happens to hold is made worse, so that nobody can live on it."""
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(torch.nan if tensor.is_floating_point() else 17)
    return model


def replaced_buffers(model):
    """As transformers 5 does to every buffer outside of the state dict."""
    for module in model.modules():
        for name in module._non_persistent_buffers_set:
            setattr(module, name, torch.full_like(getattr(module, name), 17))
    return model


WAYS = {
    "built on meta, assigned": lambda make: (on_meta(make), {"assign": True}),
    "built on meta, emptied": lambda make: (emptied(on_meta(make)), {}),
    "emptied": lambda make: (emptied(make()), {}),
    "moved to meta, assigned": lambda make: (make().to("meta"), {"assign": True}),
    "used, moved to meta, assigned": lambda make: (used(make()).to("meta"), {"assign": True}),
    "assigned": lambda make: (make(), {"assign": True}),
    "buffers replaced": lambda make: (replaced_buffers(on_meta(make)), {"assign": True}),
    "frozen on meta, assigned": lambda make: (on_meta(lambda: make().freeze()), {"assign": True}),
    "frozen, emptied": lambda make: (emptied(used(make().freeze())), {}),
    "built in float64": lambda make: (in_default(make, torch.float64).float(), {}),
    "built in bfloat16": lambda make: (in_default(make, torch.bfloat16).float(), {}),
    "copied": lambda make: (copy.deepcopy(used(make())), {}),
    "pickled": lambda make: (pickle.loads(pickle.dumps(used(make()))), {}),
}


def used(model):
    with torch.inference_mode():
        model(torch.zeros(1000))
    return model


def in_default(make, dtype):
    with default_dtype(dtype):
        return make()


def disturbed(model):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("way", WAYS)
def test_a_module_loaded_in_any_way_gives_the_same_bits(make, noise, way):
    expected = disturbed(make())
    model, settings = WAYS[way](make)
    model.load_state_dict(copy.deepcopy(expected.state_dict()), strict=True, **settings)
    waveform = noise(2, 1000)
    for _ in range(2):
        assert torch.equal(model(waveform), expected(waveform))
    assert torch.equal(model.center_frequencies, expected.center_frequencies)
    assert torch.equal(model.power_response(1024), expected.power_response(1024))
    assert model.state_dict().keys() == expected.state_dict().keys()
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in model.state_dict().items())
    again = model.as_initialized()
    assert torch.equal(again.center_frequencies, make().center_frequencies)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_module_built_in_a_type_equals_one_cast_to_it(make, noise, dtype):
    state = disturbed(make()).to(dtype).state_dict()
    built, cast = in_default(make, dtype), make().to(dtype)
    waveform = noise(2, 1000).to(dtype)
    for model in (built, cast):
        model.load_state_dict(state)
    assert torch.equal(built(waveform), cast(waveform))
    assert built(waveform).dtype == dtype


def test_no_module_holds_a_buffer_that_its_features_depend_on(make, noise):
    model = make()
    assert {name.rpartition(".")[2] for name, _ in model.named_buffers()} <= {"fingerprint"}
    before = model(noise(1000))
    for buffer in model.buffers():
        buffer.fill_(17)
    assert torch.equal(model(noise(1000)), before)


def test_a_module_on_meta_computes_shapes(make):
    features = on_meta(make)(torch.empty(2, 1000, device="meta"))
    assert features.is_meta
    assert features.shape == (2, N_FILTERS, 13)


# First values


def test_reset_parameters_brings_back_the_constructors_filters(make):
    model, start = emptied(on_meta(make)), make()
    torch.manual_seed(0)
    for module in model.modules():  # as FSDP does: each module that holds parameters or buffers
        if [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            module.reset_parameters()
    weights = {"weight1", "bias1", "weight2", "bias2"}  # drawn anew
    for name, tensor in model.state_dict().items():
        if name.rpartition(".")[2] in weights:
            assert tensor.isfinite().all()
        else:
            assert torch.equal(tensor, start.state_dict()[name])


class Shift(nn.Module):
    """A parametrization: values moved by one."""

    def forward(self, value):
        return value + 1

    def right_inverse(self, value):
        return value - 1


def filter_parameters(model):
    """The parameters of filters, found without the package's own rules: by the names that the families document."""
    names = ("raw_center", "raw_width", "raw_low", "raw_band", "raw_displacements", "raw_taps", "raw_gains")
    found = {name: p for name, p in model.named_parameters() if any(known in name.split(".") for known in names)}
    return {id(parameter) for parameter in found.values()}


def parametrized(model):
    """All numbers of filters behind a parametrization."""
    for module in list(model.modules()):
        for name in [name for name, _ in module.named_parameters(recurse=False) if name.startswith("raw_")]:
            parametrize.register_parametrization(module, name, Shift())
    return model


@pytest.mark.parametrize("wrap", [lambda model: model, parametrized], ids=["plain", "parametrized"])
def test_groups_find_filters_and_free_numbers_whatever_they_are_called_now(make, wrap):
    model = wrap(make())
    groups = {group["name"]: group for group in model.param_groups(lr=1e-3, frontend_lr=1e-2)}
    in_group = {name: {id(p) for p in group["params"]} for name, group in groups.items()}
    assert in_group.get("filters", set()) == filter_parameters(model)
    free = {id(p) for name, p in model.named_parameters() if name.rpartition(".")[2] in ("free", "log_offset")}
    assert in_group.get("free", set()) == free
    everything = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())
    for name in ("filters", "free"):
        assert groups.get(name, {"weight_decay": 0})["weight_decay"] == 0
    assert "weight_decay" not in groups.get("frontend", {})
    assert groups.get("free", {"lr": 1e-3})["lr"] == 1e-3


@pytest.mark.parametrize("way", ["assigned", "moved to meta, assigned", "copied"])
def test_groups_and_freezing_follow_parameters_that_were_replaced(make, way):
    expected = disturbed(make())
    model, settings = WAYS[way](make)
    model.load_state_dict(expected.state_dict(), **settings)
    groups = {group["name"]: group["params"] for group in model.param_groups(1e-3, 1e-2)}
    assert {id(p) for p in groups.get("filters", [])} == filter_parameters(model)
    model.freeze()
    assert not any(p.requires_grad for p in model.parameters() if id(p) in filter_parameters(model))


def test_decay_leaves_the_numbers_of_filters_and_compressions_alone():
    model = heads(CosGaussFilterbank(RATE, N_FILTERS, learn_width=True, compression=PCEN(N_FILTERS)))
    other = CosGaussFilterbank(RATE, N_FILTERS, compression=Log(learn=True))
    before = copy.deepcopy([*model.frontend.parameters(), *other.parameters()])
    groups = [*model.param_groups(1e-3, 1e-2), *other.param_groups(1e-3, 1e-2)]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
    for _ in range(100):
        for parameter in (*model.parameters(), *other.parameters()):
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for now, then in zip([*model.frontend.parameters(), *other.parameters()], before, strict=True):
        assert torch.equal(now, then)
    assert (
        model.relevance.weight1.abs().max() < 0.999 * heads(MelFrontend(RATE, N_FILTERS)).relevance.weight1.abs().max()
    )


def test_a_parameter_that_a_wrapper_took_away_is_not_lost_in_silence():
    bank = CosGaussFilterbank(RATE, N_FILTERS)
    center = bank.raw_center
    del bank.raw_center
    bank.raw_center = center.detach()  # as FSDP's flat parameters, and torch's old weight_norm, leave it
    message = "raw_center of CosGaussFilterbank must be a parameter, got Tensor (a wrapper replaced it; call "
    for call in (lambda: bank.param_groups(1e-3, 1e-2), bank.freeze):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
            call()


def test_a_parameter_without_a_role_is_refused():
    bank = CosGaussFilterbank(RATE, N_FILTERS)
    bank.extra = nn.Parameter(torch.zeros(1))
    with pytest.raises(TypeError, match=r"^parameters of CosGaussFilterbank must be declared, got \['extra'\] \("):
        bank.param_groups(1e-3, 1e-2)


def test_a_parametrized_front_end_is_copied_whole():
    model = heads(CosGaussFilterbank(RATE, N_FILTERS))
    parametrize.register_parametrization(model.frontend, "raw_center", Shift())
    copied = copy.deepcopy(model)
    assert type(copied) is MultiHeadRelevance
    waveform = torch.randn(1000)
    assert torch.equal(copied(waveform), model(waveform))
    assert not torch.equal(copied(waveform), copied.frontend(waveform))


def test_a_parametrized_bank_is_the_same_bank_and_starts_again(noise):
    model, plain = (
        parametrized(CosGaussFilterbank(RATE, N_FILTERS, learn_width=True)),
        CosGaussFilterbank(RATE, N_FILTERS),
    )
    assert_close(model(noise(1000)), plain(noise(1000)), rtol=1e-4, atol=1e-5)  # minus one and plus one, rounded
    with torch.no_grad():
        model.parametrizations.raw_center.original.add_(1)
    assert_close(model.as_initialized().center_frequencies, plain.center_frequencies, rtol=1e-5, atol=0)


def test_heads_have_the_contract_and_no_attributes_of_the_bank():
    model = MultiHeadRelevance(CosGaussFilterbank(RATE, N_FILTERS, f_min=100.0, f_max=3000.0))
    bank = model.frontend
    for name in ("sample_rate", "n_filters", "hop_length", "f_min", "f_max", "n_fft"):
        assert getattr(model, name) == getattr(bank, name)
    for name in ("kernels", "raw_center", "win_length", "compression", "__deepcopy__", "_hf_hook", "_constants"):
        with pytest.raises(AttributeError):
            getattr(model, name)


# Settings


@pytest.mark.parametrize("name", ["sample_rate", "n_filters", "hop_length", "f_min", "f_max"])
def test_settings_cannot_be_set_again(make, name):
    model = make()
    with pytest.raises(
        AttributeError, match=rf"^{name} of \w+ must stay as it was made, got 80 \(make a new module\)$"
    ):
        setattr(model, name, 80)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (CosGaussFilterbank(RATE), "win_length"),
        (CosGaussFilterbank(RATE), "kernel_size"),
        (CosGaussFilterbank(RATE), "gain"),
        (CosGaussFilterbank(RATE), "learn_width"),
        (SincFilterbank(RATE), "padding"),
        (MelFrontend(RATE), "n_fft"),
        (MelFrontend(RATE), "norm"),
        (RelevanceWeighting(N_FILTERS), "context"),
        (RelevanceWeighting(N_FILTERS), "split"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_settings_of_families_and_heads_cannot_be_set_again(module, name):
    with pytest.raises(AttributeError, match=rf"^{name} of \w+ must stay as it was made, "):
        setattr(module, name, 80)


def test_a_compression_and_a_front_end_can_be_replaced(noise):
    model = heads(CosGaussFilterbank(RATE, N_FILTERS))
    model.frontend.compression = Log(1.0)
    expected = heads(CosGaussFilterbank(RATE, N_FILTERS, compression=Log(1.0)))
    assert torch.equal(model(noise(1000)), expected(noise(1000)))
    model.frontend = MelFrontend(RATE, N_FILTERS, hop_length=40)
    assert model.hop_length == 40
    assert model(noise(1000)).shape == (N_FILTERS, 26)


# States of other banks


def refusal(own, state):
    with pytest.raises(RuntimeError) as caught:
        own.load_state_dict(state, strict=False)
    return str(caught.value)


@pytest.mark.parametrize("family", [CosGaussFilterbank, SincFilterbank, MelFrontend])
@pytest.mark.parametrize("settings", [{"sample_rate": 44100}, {"f_min": 50.0}, {"f_max": 3500.0}])
@pytest.mark.parametrize("assign", [False, True])
def test_the_state_of_another_rate_or_band_is_refused(family, settings, assign):
    other = family(**{"sample_rate": RATE, "n_filters": N_FILTERS, **settings})
    model = nn.Sequential(family(RATE, N_FILTERS), nn.Flatten())
    state = nn.Sequential(other).state_dict()
    with pytest.raises(
        RuntimeError, match=r"state must be of a \w+ with sample_rate=8000, f_min=0, f_max=4000, got one"
    ):
        model.load_state_dict(state, assign=assign)
    del state["0.fingerprint"]  # as the message says
    model.load_state_dict(state, assign=assign)


def test_the_state_of_another_family_is_refused_where_its_parameters_would_be_taken():
    class Narrow(CosGaussFilterbank):
        pass

    assert "another family" in refusal(CosGaussFilterbank(RATE, N_FILTERS), Narrow(RATE, N_FILTERS).state_dict())
    # The rest of a model that had a mel spectrogram in front: nothing of the front-end is taken.
    model = nn.Sequential(CosGaussFilterbank(RATE, N_FILTERS), nn.Linear(13, 2))
    state = nn.Sequential(MelFrontend(RATE, N_FILTERS), nn.Linear(13, 2)).state_dict()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["0.raw_center"], [])
    assert torch.equal(model[0].center_frequencies, CosGaussFilterbank(RATE, N_FILTERS).center_frequencies)


def test_a_state_from_before_fingerprints_loads(make, noise):
    expected = disturbed(make())
    state = {name: value for name, value in expected.state_dict().items() if not name.endswith("fingerprint")}
    model = make()
    model.load_state_dict(state, strict=True)
    assert torch.equal(model(noise(1000)), expected(noise(1000)))


def test_a_fingerprint_that_was_emptied_is_saved_as_it_was_made(make):
    model = make()
    for buffer in model.buffers():
        buffer.fill_(17)
    make().load_state_dict(model.state_dict())


# Freezing


def test_a_frozen_front_end_follows_every_change_of_its_parameters(make, noise):
    waveform = noise(2, 1000)
    frozen, other = used(make().freeze()), disturbed(make())

    def same():
        return torch.equal(frozen(waveform), other(waveform))

    frozen.load_state_dict(other.state_dict())
    assert same()
    other = disturbed(other)
    frozen.load_state_dict(copy.deepcopy(other.state_dict()), assign=True)
    assert same()
    other = disturbed(other)
    with torch.no_grad():
        for parameter, value in zip(frozen.parameters(), other.parameters(), strict=True):
            parameter.copy_(value)
    assert same()
    other = disturbed(other)
    for name, value in dict(other.named_parameters()).items():
        owner, _, leaf = name.rpartition(".")
        setattr(frozen.get_submodule(owner), leaf, nn.Parameter(value.detach().clone()))
    assert same()
    other = disturbed(other)
    values = {name: value.detach() for name, value in other.named_parameters()}
    assert torch.equal(torch.func.functional_call(frozen, values, (waveform,)), other(waveform))
    assert same() == (not values)
    frozen = copy.deepcopy(frozen).double()
    frozen.load_state_dict(other.double().state_dict())
    waveform = waveform.double()
    assert same()


def test_a_frozen_response_is_computed_once(noise):
    bank, calls = CosGaussFilterbank(RATE, N_FILTERS), []
    original = bank.half_kernels
    bank.half_kernels = lambda: calls.append(1) or original()
    bank.freeze()
    for _ in range(3):
        bank(noise(1000))
    assert len(calls) == 1
    bank.unfreeze()
    for _ in range(3):
        bank(noise(1000))
    assert len(calls) == 4


def test_an_exported_frozen_front_end_holds_the_response_and_no_kernels(noise):
    bank = CosGaussFilterbank(RATE, N_FILTERS).freeze()
    program = torch.export.export(bank, (noise(2, 1000),), strict=False)
    operations = {str(node.target) for node in program.graph.nodes}
    assert not any("cos" in operation or "sigmoid" in operation for operation in operations)
    assert_close(program.module()(noise(2, 1000)), bank(noise(2, 1000)))
    with torch.no_grad():
        bank.raw_center.add_(1.0)  # what was kept is of other filters now, and no call has noticed
    program = torch.export.export(bank, (noise(2, 1000),), strict=False)
    assert_close(program.module()(noise(2, 1000)), bank(noise(2, 1000)))


def test_frozen_heads_learn_on_and_frozen_is_every_bank_inside():
    model = heads(heads(CosGaussFilterbank(RATE, N_FILTERS)))
    assert not model.is_frozen
    model.frontend.frontend.freeze()
    assert model.is_frozen
    assert model.relevance.weight1.requires_grad
    assert not model.unfreeze().frontend.frontend.is_frozen
    assert MelFrontend(RATE, N_FILTERS).freeze().is_frozen


def test_width_of_a_bank_is_what_it_is_now():
    bank = CosGaussFilterbank(RATE, N_FILTERS, width=0.5, learn_width=True)
    assert_close(bank.widths, torch.full((N_FILTERS,), 0.5))
    with torch.no_grad():
        bank.raw_width.add_(1.0)
    assert (bank.widths > 0.6).all()
    assert f"width={bank.widths[0].item():g}" in repr(bank)
    assert not hasattr(bank, "width")


# Traces before and after calls


# The contract suite exports every family that has just been made.
TRACED = ("mel", "cos-gauss widths", "learnable mel", "free")


@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("before", ["used", "loaded on meta"])
def test_a_trace_neither_needs_nor_leaves_tensors_of_constants(name, noise, before):
    make = MODELS[name]
    model = used(make()) if before == "used" else make()
    if before == "loaded on meta":
        model = on_meta(make)
        model.load_state_dict(make().state_dict(), assign=True)
    waveform = noise(2, 1000)
    dynamic = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(model, (waveform,), dynamic_shapes=dynamic, strict=False)
    expected = make()(noise(3, 1500))
    assert_close(program.module()(noise(3, 1500)), expected, rtol=2e-5, atol=1e-6)
    assert torch.equal(model(noise(3, 1500)), expected)  # nothing that the trace made is kept
    model(noise(3, 1500).requires_grad_()).sum().backward()


def test_a_call_under_inference_mode_or_a_transform_leaves_training_alone(make, noise):
    model = make()
    with torch.inference_mode():
        model(noise(1000))
    torch.func.grad(lambda waveform: model(waveform).sum())(noise(1000))
    waveform = noise(1000).requires_grad_()
    model(waveform).sum().backward()
    assert waveform.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_saved_file_is_as_small_as_its_parameters():
    bank, file = CosGaussFilterbank(44100, 80), io.BytesIO()
    bank(torch.randn(44100))
    torch.save(bank.state_dict(), file)
    assert file.tell() < 4096
