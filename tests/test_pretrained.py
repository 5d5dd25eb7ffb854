import hashlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import default_dtype
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn
from torch.testing import assert_close

from learnable_frontends import (
    PCEN,
    CosGaussFilterbank,
    Decibels,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
    __version__,
)
from learnable_frontends.analysis import movement
from learnable_frontends.pretrained import (
    card,
    from_pretrained,
    push_to_hub,
    reading,
    register,
    registry,
    save_pretrained,
)
from learnable_frontends.pretrained import hub as sharing
from learnable_frontends.pretrained.tensors import constants_of


def disturb(frontend, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in frontend.parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise.to(parameter.dtype))
    return frontend


def tensors_of(frontend):
    constants = {key: torch.from_numpy(own[name]) for key, (own, name) in constants_of(frontend).items()}
    return {**constants, **dict(frontend.named_buffers()), **dict(frontend.named_parameters())}


def assert_same(loaded, frontend):
    assert type(loaded) is type(frontend)
    assert repr(loaded) == repr(frontend)
    held, expected = tensors_of(loaded), tensors_of(frontend)
    assert held.keys() == expected.keys()
    for name, tensor in expected.items():
        assert held[name].dtype == tensor.dtype, name
        assert held[name].requires_grad == tensor.requires_grad, name
        assert torch.equal(held[name], tensor), name


def test_a_loaded_front_end_is_the_one_that_was_saved(build, noise, tmp_path):
    frontend = disturb(build())
    save_pretrained(frontend, tmp_path / "new" / "folder")
    loaded = from_pretrained(tmp_path / "new" / "folder")
    assert_same(loaded, frontend)
    waveform = noise(2, 3000)
    assert torch.equal(loaded(waveform), frontend(waveform))
    assert torch.equal(loaded.bandwidths, frontend.bandwidths)
    for now, then in zip(movement(loaded), movement(frontend), strict=True):
        assert torch.equal(now, then)
    assert loaded.training
    assert loaded.state_dict().keys() == frontend.state_dict().keys()
    parameters = list(loaded.parameters())
    if parameters:
        gradients = [torch.autograd.grad(f(waveform).square().sum(), f.parameters()) for f in (loaded, frontend)]
        assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


WINDOWS = {
    "hann": torch.hann_window,
    "symmetric": lambda length: torch.hamming_window(length, periodic=False, dtype=torch.float64),
    "ends in zeros": lambda length: torch.arange(length).remainder(5).float(),
}
COMPRESSIONS = st.one_of(
    st.none(),
    st.builds(Log, st.floats(1e-8, 10.0), learn=st.booleans()),
    st.builds(Decibels, ref=st.floats(0.1, 9.0), amin=st.floats(1e-12, 1e-3), top_db=st.sampled_from([None, 80, 4.5])),
    st.builds(PCEN, st.just(4), gain=st.floats(0.1, 0.9), smoothing=st.floats(0.01, 0.9), learn=st.booleans()),
    st.builds(nn.Identity),
)
BANK = {
    "n_filters": st.just(4),
    "win_length": st.sampled_from([None, 150, 201]),
    "hop_length": st.sampled_from([None, 77]),
    "f_min": st.floats(0.0, 500.0),
    "f_max": st.sampled_from([None, 3500.5]),
    "center": st.booleans(),
    "pad_mode": st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    "window": st.sampled_from(sorted(WINDOWS)).map(WINDOWS.get),
    "compression": COMPRESSIONS,
}
RATES = st.sampled_from([8000, 8001.5])
KERNELS = {
    "kernel_size": st.sampled_from([None, 31]),
    "padding": st.sampled_from(["full", "valid"]),
    "gain": st.sampled_from(["raw", "peak"]),
    "init": st.sampled_from(["mel", "bark", "linear", [600.0, 700.25, 1000.0, 2500.0]]),
}
WIDTHS = st.one_of(st.floats(0.2, 50.0), st.just("spacing"), st.lists(st.floats(0.2, 50.0), min_size=4, max_size=4))
BANKS = st.one_of(
    st.builds(CosGaussFilterbank, RATES, **BANK, **KERNELS, width=WIDTHS, learn_width=st.booleans()),
    st.builds(SincFilterbank, RATES, **BANK, **KERNELS),
    st.builds(
        MelFrontend,
        RATES,
        **BANK,
        n_fft=st.sampled_from([512, 601]),
        power=st.sampled_from([2, 1.0, 1.5]),
        norm=st.sampled_from([None, "slaney"]),
        mel_scale=st.sampled_from(["htk", "slaney"]),
    ),
)
HEADS = {
    "n_heads": st.just(2),
    "context": st.integers(1, 4),
    "hidden": st.integers(1, 4),
    "split": st.sampled_from(["contiguous", "even-odd", [1, 3]]),
    "first_layer": st.sampled_from(["linear", "conv"]),
    "skip": st.booleans(),
}
FRONTENDS = st.recursive(BANKS, lambda inner: st.builds(MultiHeadRelevance, inner, **HEADS), max_leaves=3)


@given(frontend=FRONTENDS, seed=st.integers(0, 9), fixed=st.booleans(), frozen=st.booleans())
def test_any_settings_come_back(tmp_path_factory, noise, frontend, seed, fixed, frozen):
    disturb(frontend, seed)
    if fixed:
        for name, parameter in frontend.named_parameters():
            parameter.requires_grad_("raw_" not in name)
    if frozen:
        frontend.freeze()
    folder = tmp_path_factory.mktemp("saved")
    save_pretrained(frontend, folder)
    loaded = from_pretrained(folder)
    assert_same(loaded, frontend)
    waveform = noise(2, 1500)
    assert torch.equal(loaded(waveform), frontend(waveform))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_another_type_comes_back_as_it_is(build, noise, tmp_path, dtype):
    window = torch.hann_window(150, dtype=torch.float64)
    frontends = [build(win_length=150, window=lambda _: window).to(dtype)]
    frontends += [build(dtype=dtype, win_length=150, window=lambda _: window)] if dtype == torch.float64 else []
    for number, frontend in enumerate(frontends):
        save_pretrained(frontend, tmp_path / str(number))
        with default_dtype(torch.float64):  # of no influence
            loaded = from_pretrained(tmp_path / str(number))
        assert_same(loaded, frontend)
        waveform = noise(2000, dtype=dtype)
        assert torch.equal(loaded(waveform), frontend(waveform))


def test_widths_that_only_float64_tells_apart_come_back(tmp_path):
    with default_dtype(torch.float64):
        bank = CosGaussFilterbank(8000, 3, width=[2.1, 3.3, 3.3 + 1e-9])
    for frontend in (bank, MultiHeadRelevance(bank, 2)):
        save_pretrained(frontend, tmp_path)
        assert_same(from_pretrained(tmp_path), frontend)


def test_numbers_of_numpy_and_whole_floats_become_plain(tmp_path):
    numpy = pytest.importorskip("numpy")
    bank = CosGaussFilterbank(numpy.int64(8000), 5.0, f_max=numpy.float32(3000), width=numpy.full(5, 2.5))
    heads = MultiHeadRelevance(bank, 2, split=numpy.array([2, 3]).tolist())
    save_pretrained(heads, tmp_path)
    loaded = from_pretrained(tmp_path)
    assert type(loaded.sample_rate) is int
    assert (loaded.f_max, loaded.relevance.split) == (3000.0, [2, 3])
    assert loaded.frontend.widths.tolist() == [2.5] * 5


def test_loading_leaves_random_numbers_and_defaults_alone(tmp_path):
    save_pretrained(MultiHeadRelevance(CosGaussFilterbank(8000, 4)), tmp_path)
    state = torch.get_rng_state()
    with default_dtype(torch.float64):
        loaded = from_pretrained(tmp_path)
        save_pretrained(loaded, tmp_path)
        assert torch.get_default_dtype() == torch.float64
    with torch.device("meta"):
        loaded = from_pretrained(tmp_path)
    assert {tensor.device.type for tensor in tensors_of(loaded).values()} == {"cpu"}
    assert torch.equal(torch.get_rng_state(), state)


def test_a_mel_filter_without_a_bin_warns_where_it_is_loaded_not_where_it_is_saved(tmp_path):
    with pytest.warns(UserWarning, match="without a bin"):
        mel = MelFrontend(8000, 128, n_fft=256)
    save_pretrained(mel, tmp_path)
    with pytest.warns(UserWarning, match="without a bin"):
        assert_same(from_pretrained(tmp_path), mel)


def test_the_configuration_is_readable(tmp_path):
    bank = CosGaussFilterbank(16000, 40, width="spacing", compression=Decibels(top_db=60.0))
    save_pretrained(MultiHeadRelevance(bank, 2).freeze(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    data = (tmp_path / "model.safetensors").read_bytes()
    assert config.pop("tensors_sha256") == hashlib.sha256(data).hexdigest()
    inner = config["settings"].pop("frontend")
    assert config == {
        "format_version": 3,
        "package_version": __version__,
        "class": "MultiHeadRelevance",
        "settings": {
            "n_heads": 2,
            "context": 10,
            "hidden": 50,
            "split": "contiguous",
            "first_layer": "linear",
            "gate": "sigmoid",
            "skip": True,
        },
        "frozen": True,
        "fixed_parameters": ["frontend.raw_center"],
    }
    assert inner["class"] == "CosGaussFilterbank"
    assert inner["settings"] == {
        "sample_rate": 16000,
        "n_filters": 40,
        "win_length": 400,
        "hop_length": 160,
        "f_min": 0.0,
        "f_max": 8000.0,
        "center": True,
        "pad_mode": "reflect",
        "compression": {"class": "Decibels", "settings": {"ref": 1.0, "amin": 1e-10, "top_db": 60.0}},
        "inputs": None,
        "frame_stages": None,
        "pad": None,
        "drop_last": False,
        "kernel_size": 257,
        "n_fft": None,
        "padding": "full",
        "gain": "raw",
        "init": "mel",
        "width": "spacing",
        "learn_width": False,
    }
    heads = {f"relevance.{name}" for name in ("weight1", "bias1", "weight2", "bias2")}
    names = ("raw_center", "fingerprint", "constants.window", "constants.frame_window")
    filters = {f"frontend.{name}" for name in names}
    tensors = load(data)
    assert tensors.keys() == heads | filters
    window = torch.hamming_window(400, dtype=torch.float64)
    assert_close(tensors["frontend.constants.window"], window, rtol=0, atol=0)


# Classes from outside the package.


class Narrow(CosGaussFilterbank):
    def __init__(self, sample_rate, n_filters=5, *, periods=9.0, window=torch.hann_window, init="erb"):
        super().__init__(sample_rate, n_filters, window=window, init=init, width=periods)
        self.periods = periods


class Root(nn.Module):
    def __init__(self, degree=3):
        super().__init__()
        self.degree = degree

    def forward(self, energies):
        return energies ** (1 / self.degree)


@pytest.fixture
def table(monkeypatch):
    """What is registered in a test is forgotten after it."""
    settings = dict(registry.SETTINGS)
    for module in (registry, reading, card):
        monkeypatch.setattr(module, "SETTINGS", settings)


@pytest.mark.usefixtures("table")
def test_a_family_and_a_compression_of_a_user_come_back_once_they_are_registered(noise, tmp_path):
    frontend = MultiHeadRelevance(Narrow(8000, periods=4.5), 2)
    with pytest.raises(TypeError, match=r"known classes to be saved, got Narrow \(.*pretrained\.register\(Narrow\)"):
        save_pretrained(frontend, tmp_path)
    assert not list(tmp_path.iterdir())
    assert register(Narrow) is Narrow
    with pytest.raises(TypeError, match="known classes to be saved, got Root"):
        save_pretrained(SincFilterbank(8000, 4, compression=Root(4)), tmp_path)
    register(Root)
    cubic = SincFilterbank(8000, 4, compression=Root())
    for folder, saved in (("heads", frontend), ("root", cubic)):
        save_pretrained(disturb(saved), tmp_path / folder)
        loaded = from_pretrained(tmp_path / folder)
        assert_same(loaded, saved)
        waveform = noise(2000)
        assert torch.equal(loaded(waveform), saved(waveform))


@pytest.mark.usefixtures("table")
def test_a_class_of_a_user_is_not_imported_by_name(tmp_path):
    register(Narrow)
    save_pretrained(Narrow(8000), tmp_path)
    del registry.SETTINGS[Narrow]
    with pytest.raises(ValueError, match=r"config\.json: class must be one of .*, got 'Narrow' \(nothing is imported"):
        from_pretrained(tmp_path)


@pytest.mark.usefixtures("table")
def test_a_class_may_be_defined_and_registered_again_but_a_name_is_taken_once(tmp_path):
    register(Root)

    def named(name, module):
        class Again(Root):
            def __init__(self, degree=3):
                super().__init__(degree)

        Again.__name__, Again.__qualname__, Again.__module__ = name, name, module
        return Again

    again = register(named("Root", Root.__module__))
    save_pretrained(SincFilterbank(8000, 4, compression=again()), tmp_path)
    assert type(from_pretrained(tmp_path).compression) is again
    for name in ("Root", "Log"):
        with pytest.raises(ValueError, match=f"cls must have a name of its own, got {name}"):
            register(named(name, "elsewhere"))


@pytest.mark.usefixtures("table")
def test_what_register_and_save_need_of_a_class(tmp_path):
    with pytest.raises(TypeError, match=r"cls must be a class of modules, got 'os\.system'"):
        register("os.system")

    class Swallows(Root):
        def __init__(self, **settings):
            super().__init__(**settings)

    with pytest.raises(ValueError, match="settings must be given for Swallows"):
        register(Swallows)
    register(Swallows, ["degree"])
    bank = SincFilterbank(8000, 4, compression=Swallows(degree=5))
    save_pretrained(bank, tmp_path)
    assert_same(from_pretrained(tmp_path), bank)
    with pytest.raises(ValueError, match=r"settings must be arguments of Root, \['degree'\], got \['order'\]"):
        register(Root, ["order"])
    with pytest.raises(
        ValueError, match=r"settings must have \['sample_rate'\], which Narrow needs, got \['periods'\]"
    ):
        register(Narrow, ["periods"])

    class Forgets(nn.Module):
        def __init__(self, degree=3):
            super().__init__()
            self.power = 1 / degree

    register(Forgets)
    with pytest.raises(TypeError, match="Forgets must keep its setting 'degree' as an attribute"):
        save_pretrained(SincFilterbank(8000, 4, compression=Forgets()), tmp_path)

    class Changes(Root):
        def __init__(self, degree=3):
            super().__init__(degree + 1)

    register(Changes)
    with pytest.raises(ValueError, match="degree of Changes must be what the constructor makes of it, 5, got 4"):
        save_pretrained(SincFilterbank(8000, 4, compression=Changes()), tmp_path)

    class Adds(Root):
        def __init__(self, degrees=(3,)):
            super().__init__()
            self.degrees = [degree + 1 for degree in degrees]

    register(Adds)
    with pytest.raises(ValueError, match="frontend must keep its settings when it is made again"):
        save_pretrained(SincFilterbank(8000, 4, compression=Adds()), tmp_path)


# What cannot be saved.


def broken(change):
    bank = CosGaussFilterbank(8000, 4)
    with torch.no_grad():
        change(bank)
    return bank


UNSAVABLE = {
    "not a front-end": (nn.Linear(2, 2), TypeError, "frontend must be a Frontend .*, got Linear"),
    "a module of modules": (
        MelFrontend(8000, 4, n_fft=256, compression=nn.Sequential(Log())),
        TypeError,
        "got Sequential",
    ),
    "a setting": (
        broken(lambda bank: setattr(bank.compression, "offset", float("inf"))),
        ValueError,
        "offset.*got inf",
    ),
    "diverged": (broken(lambda bank: bank.raw_center.fill_(float("nan"))), ValueError, "raw_center must be finite"),
    "a parameter": (
        broken(lambda bank: bank.register_parameter("extra", nn.Parameter(torch.ones(1)))),
        ValueError,
        "the tensors that its settings make, got others: .*extra",
    ),
    "a shape": (
        broken(lambda bank: bank._constants.__setitem__("window", torch.ones(3))),
        ValueError,
        "got others: .*window",
    ),
}


@pytest.mark.parametrize("case", sorted(UNSAVABLE))
def test_what_would_not_load_as_it_is_is_not_saved(tmp_path, case):
    frontend, error, text = UNSAVABLE[case]
    kept = CosGaussFilterbank(8000, 4)
    save_pretrained(kept, tmp_path)
    with pytest.raises(error, match=text):
        save_pretrained(frontend, tmp_path)
    assert_same(from_pretrained(tmp_path), kept)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("done", [0, 1])
def test_a_kill_while_saving_leaves_what_was_there_or_nothing_that_loads(tmp_path, monkeypatch, done):
    before, after = CosGaussFilterbank(8000, 4), disturb(CosGaussFilterbank(8000, 4))
    save_pretrained(before, tmp_path / "old")
    replace, calls = os.replace, []

    def killed(source, target):
        if len(calls) == done:
            raise KeyboardInterrupt
        calls.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        for folder in ("old", "new"):
            calls.clear()
            with pytest.raises(KeyboardInterrupt):
                save_pretrained(after, tmp_path / folder)
    if done == 0:
        assert_same(from_pretrained(tmp_path / "old"), before)
    else:
        with pytest.raises(ValueError, match=r"SHA-256 must be .*saving was cut off"):
            from_pretrained(tmp_path / "old")
    with pytest.raises(FileNotFoundError, match=r"config\.json must be a file"):
        from_pretrained(tmp_path / "new")
    for folder in ("old", "new"):
        save_pretrained(after, tmp_path / folder)
        assert_same(from_pretrained(tmp_path / folder), after)


# What is refused.


def rewrite(folder, change_config=None, change_tensors=None, data=None):
    """Change files of a folder, as one would who knows the format: the checksum is right."""
    config = json.loads((folder / "config.json").read_text())
    if data is None:
        tensors = load((folder / "model.safetensors").read_bytes())
        if change_tensors is not None:
            change_tensors(tensors)
        data = save(tensors)
    (folder / "model.safetensors").write_bytes(data)
    config["tensors_sha256"] = hashlib.sha256(data).hexdigest()
    if change_config is not None:
        change_config(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def folder(tmp_path):
    save_pretrained(MultiHeadRelevance(CosGaussFilterbank(8000, 4), 2), tmp_path / "saved")
    return tmp_path / "saved"


def nested(levels):
    described = {"class": "Log", "settings": {"offset": 1.0, "learn": False}}
    for _ in range(levels):
        settings = {"n_heads": 1, "context": 1, "hidden": 1, "split": "contiguous", "first_layer": "linear"}
        settings |= {"gate": "sigmoid", "skip": True}
        described = {"class": "MultiHeadRelevance", "settings": {**settings, "frontend": described}}
    return described


def setting(name, value, inner=True):
    def change(config):
        (config["settings"]["frontend"] if inner else config)["settings"][name] = value

    return change


CONFIGS = {
    "class": (lambda c: c.update({"class": "os.system"}), "class must be one of .*, got 'os.system'"),
    "a class inside": (setting("compression", {"class": "os.system", "settings": {}}), "got 'os.system'"),
    "a base": (lambda c: c.update({"class": "KernelFilterbank"}), "class must be one of .*, got 'KernelFilterbank'"),
    "a list as class": (lambda c: c.update({"class": ["Log"]}), "class must be one of"),
    "no front-end": (lambda c: c.update({"class": "Identity", "settings": {}}), "class must be that of a front-end"),
    "unknown setting": (setting("__class__", "os.system"), "settings of CosGaussFilterbank must be among .*__class__"),
    "a stand-in": (setting("window", "ones"), "settings of CosGaussFilterbank must be among .*, got .'window'"),
    "settings": (lambda c: c.update(settings=[1]), "settings of MultiHeadRelevance must be named"),
    "missing setting": (lambda c: c["settings"].pop("gate"), r"settings of MultiHeadRelevance must have \['gate'\]"),
    "module of nothing": (setting("width", {}), "a module must be given by 'class' and 'settings', got {}"),
    "a module as number": (setting("n_filters", {"class": "Identity", "settings": {}}), "n_filters must be a whole"),
    "a rule": (setting("f_min", 5000.0), "settings of CosGaussFilterbank must be .*f_min=5000.0"),
    "text": (setting("sample_rate", "8000"), "settings of CosGaussFilterbank must be"),
    "a flag": (setting("center", "no"), "center of CosGaussFilterbank must be .*True, got 'no'"),
    "nothing": (setting("compression", None), "compression of CosGaussFilterbank must be"),
    "large": (
        setting("kernel_size", 2**40 + 1),
        r"n_filters \* kernel_size must be at most .*, got \[4, 1099511627777",
    ),
    "larger": (setting("sample_rate", 10**400), "numbers must be finite"),
    "heads": (setting("hidden", 10**300, inner=False), r"n_heads \* hidden \* context must be at most"),
    "depth": (lambda c: c.update(nested(20)), "at most 16 modules deep"),
    "extra key": (lambda c: c.update(path="../.."), "the keys must be among .*, got .'path'"),
    "missing key": (lambda c: c.pop("frozen"), r"the keys must have \['frozen'\]"),
    "frozen": (lambda c: c.update(frozen="no"), "frozen must be of type bool, got 'no'"),
    "fixed": (lambda c: c.update(fixed_parameters=["forward"]), "fixed_parameters must be among .*, got .'forward'"),
    "fixed numbers": (lambda c: c.update(fixed_parameters=[1]), "fixed_parameters must be names"),
    "no version": (lambda c: c.pop("format_version"), "format_version must be a positive whole number, got None"),
    "version": (lambda c: c.update(format_version=True), "format_version must be a positive whole number, got True"),
    "other shapes": (setting("n_filters", 6), r"safetensors: .* must have shape \(6,\), got \(4,\)"),
    "checksum": (lambda c: c.update(tensors_sha256="0"), "SHA-256 must be '0'"),
}


@pytest.mark.parametrize("case", sorted(CONFIGS))
def test_a_wrong_configuration_is_refused(folder, case):
    change, text = CONFIGS[case]
    rewrite(folder, change)
    with pytest.raises(ValueError, match=text) as refused:
        from_pretrained(folder)
    name = "model.safetensors" if case in ("other shapes", "checksum") else "config.json"
    assert str(refused.value).startswith(str(folder / name))
    assert len(str(refused.value)) < 800


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 2**40), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["class", "settings"]), inner),
    max_leaves=3,
)


@given(
    family=st.sampled_from([CosGaussFilterbank, SincFilterbank, MelFrontend]),
    compression=st.sampled_from([Log, Decibels, PCEN]),
    level=st.integers(0, 2),
    number=st.integers(0, 20),
    value=VALUES,
)
def test_any_value_of_a_setting_is_kept_as_it_is_or_refused(
    tmp_path_factory, family, compression, level, number, value
):
    folder = tmp_path_factory.mktemp("saved")
    made = PCEN(4) if compression is PCEN else compression()
    save_pretrained(MultiHeadRelevance(family(8000, 4, compression=made), 2), folder)

    def change(config):
        settings = config["settings"]
        for key in ("frontend", "compression")[:level]:
            settings = settings[key]["settings"]
        settings[sorted(settings)[number % len(settings)]] = value

    rewrite(folder, change)
    described = json.loads((folder / "config.json").read_text())
    refused = None
    try:
        save_pretrained(from_pretrained(folder), folder)
    except ValueError as error:
        refused = str(error)
    if refused is not None:
        assert str(folder) in refused
    else:
        assert json.loads((folder / "config.json").read_text())["settings"] == described["settings"]


TEXTS = {
    "no text": (b"", "the text must be JSON"),
    "cut off": (b'{"format_version": 1,', "the text must be JSON"),
    "not text": (b"\xff\xfe\x00", "the text must be JSON"),
    "no object": (b"[1]", "format_version must be a positive whole number, got None"),
    "NaN": (b'{"format_version": 1, "settings": NaN}', "numbers must be finite, got NaN"),
    "infinite": (b'{"format_version": 1, "settings": -1e999}', "numbers must be finite, got -1e999"),
    "deep": (b"[" * 100_000, "the text must be JSON"),
    "long": (b" " * (2**20 + 1), "the file must have at most 1048576 bytes"),
}


@pytest.mark.parametrize("case", sorted(TEXTS))
def test_what_is_not_a_configuration_is_refused(folder, case):
    content, text = TEXTS[case]
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json: {text}|config\.json: .*{text}"):
        from_pretrained(folder)


RAW, FIRST, WINDOW = "frontend.raw_center", "frontend.constants.frame_window", "frontend.constants.window"
SPREAD = "frontend.constants.spread_start"
TENSORS = {
    "missing": (lambda t: t.pop(RAW), rf"tensors must have \['{RAW}'\]"),
    "missing first": (lambda t: t.pop(FIRST), rf"tensors must have \['{FIRST}'\]"),
    "missing window": (lambda t: t.pop(WINDOW), rf"tensors must have \['{WINDOW}'\]"),
    "extra": (lambda t: t.update({"../../x": torch.ones(1)}), r"tensors must be among .*, got \['\.\./\.\./x'\]"),
    "shape": (lambda t: t.update({RAW: torch.ones(5)}), rf"{RAW} must have shape \(4,\), got \(5,\)"),
    "padded": (lambda t: t.update({WINDOW: torch.ones(999)}), rf"{WINDOW} must have shape \(200,\), got \(999,\)"),
    "NaN": (lambda t: t[RAW].fill_(float("nan")), rf"{RAW} must be finite, got \[nan"),
    "infinite": (lambda t: t[FIRST].fill_(float("inf")), rf"{FIRST} must be finite, got \[inf"),
    "whole": (lambda t: t.update({RAW: torch.ones(4).long()}), rf"{RAW} must be of a type like torch.float32"),
    "a constant": (lambda t: t.update({SPREAD: torch.ones(9).double()}), rf"{SPREAD} must have shape \(1, 4\)"),
    "a constant as float32": (
        lambda t: t.update({SPREAD: torch.ones(1, 4)}),
        rf"{SPREAD} must be of a type like torch.float64",
    ),
    "of another bank": (
        lambda t: t.update({"frontend.fingerprint": t["frontend.fingerprint"] + 1}),
        "(.|\n)*state must be of a CosGaussFilterbank, got one of another family",
    ),
    "missing fingerprint": (lambda t: t.pop("frontend.fingerprint"), r"tensors must have \['frontend.fingerprint'\]"),
}


@pytest.mark.parametrize("case", sorted(TENSORS))
def test_wrong_tensors_are_refused(folder, case):
    change, text = TENSORS[case]
    rewrite(folder, change_tensors=change)
    with pytest.raises(ValueError, match=rf"model\.safetensors: {text}"):
        from_pretrained(folder)


def header(size):
    return size.to_bytes(8, "little") + b"{" + b" " * 100


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file must be of safetensors, got b''"),
        (header(2**63), "the file must be of safetensors"),
        (header(50), "the file must be of safetensors"),
        (bytes(2**21), "the file must have at most .* bytes, got more"),
        (save({"a": torch.ones(3)})[:-1], "the file must be of safetensors"),
    ],
    ids=["empty", "huge header", "no header", "large", "cut off"],
)
def test_what_is_not_of_safetensors_is_refused(folder, data, text):
    rewrite(folder, data=data)
    with pytest.raises(ValueError, match=rf"model\.safetensors: {text}"):
        from_pretrained(folder)


def test_nothing_is_unpickled_or_executed(folder, tmp_path):
    trace = tmp_path / "trace"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {trace}",)

    pickled, stored = pickle.dumps(Payload()), io.BytesIO()
    torch.save({RAW: Payload()}, stored)
    for data in (pickled, stored.getvalue()):
        rewrite(folder, data=data)
        with pytest.raises(ValueError, match=r"model\.safetensors: the file must be of safetensors"):
            from_pretrained(folder)
    save_pretrained(CosGaussFilterbank(8000, 4), folder)
    rewrite(folder, lambda c: c.update({"class": "os.system", "settings": {"command": f"touch {trace}"}}))
    with pytest.raises(ValueError, match=r"config\.json: class must be one of .*nothing is imported by name"):
        from_pretrained(folder)
    assert not trace.exists()
    pickle.loads(pickled)  # the payload is live
    assert trace.exists()


def test_a_configuration_of_a_newer_format_says_what_to_do(folder):
    rewrite(folder, lambda c: c.update(format_version=4, package_version="9.1", news=[]))
    with pytest.raises(ValueError, match=r"format_version must be at most 3 .*, got 4 \(.*9\.1; pip install --upgrade"):
        from_pretrained(folder)


def test_a_configuration_from_before_the_first_release_is_refused(folder):
    rewrite(folder, lambda c: c.update(format_version=1))
    with pytest.raises(ValueError, match=r"format_version must be at least 3 .*, got 1 \(saved by a version before"):
        from_pretrained(folder)


def test_a_configuration_of_an_older_format_loads(folder, monkeypatch):
    expected = from_pretrained(folder)
    rewrite(folder, lambda c: (c["settings"].pop("skip"), c.pop("frozen")))

    def step(config):
        return {**config, "frozen": False, "settings": {**config["settings"], "skip": True}}

    monkeypatch.setattr(reading, "FORMAT_VERSION", 4)
    monkeypatch.setattr(reading, "UPGRADES", {3: step})
    assert_same(from_pretrained(folder), expected)


# Folders and the Hub.


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub in a folder; what is asked of it is kept."""
    asked = SimpleNamespace(folder=tmp_path / "hub", download={}, repo={}, upload={}, token=None)

    def snapshot_download(repo_id, **settings):
        asked.download = {"repo_id": repo_id, **settings}
        return str(asked.folder)

    class FakeApi:
        def __init__(self, token=None):
            asked.token = token

        def create_repo(self, repo_id, **settings):
            asked.repo = {"repo_id": repo_id, **settings}

        def upload_folder(self, *, folder_path, **settings):
            asked.upload = settings
            os.rename(folder_path, asked.folder)
            os.mkdir(folder_path)
            return SimpleNamespace(oid="0123abcd")

    monkeypatch.setattr(sharing, "snapshot_download", snapshot_download)
    monkeypatch.setattr(sharing, "HfApi", FakeApi)
    return asked


def test_a_repository_is_pushed_in_one_commit_and_loaded_from_two_files(hub):
    frontend = disturb(MultiHeadRelevance(CosGaussFilterbank(8000, 4), 2))
    commit = push_to_hub(frontend, "owner/name", private=True, token="secret", revision="tried")
    assert (commit, hub.token) == ("0123abcd", "secret")
    assert hub.repo == {"repo_id": "owner/name", "private": True, "exist_ok": True}
    assert hub.upload["revision"] == "tried"
    assert sorted(hub.upload["allow_patterns"]) == sorted(os.listdir(hub.folder))
    assert_same(from_pretrained("owner/name", revision=commit), frontend)
    assert hub.download["repo_id"] == "owner/name"
    assert hub.download["revision"] == "0123abcd"
    assert hub.download["allow_patterns"] == ["config.json", "model.safetensors"]
    assert not any("secret" in file.read_text(errors="replace") for file in hub.folder.iterdir())


def test_the_card_has_the_settings_and_the_line_that_loads(hub):
    bank = CosGaussFilterbank(8000, 9, width="spacing", compression=nn.Identity())
    frontend = MultiHeadRelevance(bank, 2, split=[3, 6])
    push_to_hub(frontend, "owner/name")
    card = (hub.folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: learnable-frontends\n")
    rows = dict(line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| "))
    assert rows["class"] == "MultiHeadRelevance"
    assert rows["frontend"] == "CosGaussFilterbank"
    assert rows["frontend.sample_rate"] == "8000"
    assert rows["frontend.compression"] == "Identity"
    assert rows["frontend.width"] == '"spacing"'
    assert (rows["skip"], rows["split"]) == ("true", "[3, 6]")
    names = {}
    exec(card.split("```python\n")[1].split("```")[0], names)
    assert_same(names["frontend"], frontend)


@pytest.mark.usefixtures("table")
def test_the_card_of_a_class_of_a_user_says_to_register_it(hub):
    register(Narrow)
    push_to_hub(Narrow(8000), "owner/name")
    assert "define `Narrow` and call `register(Narrow)`" in (hub.folder / "README.md").read_text()


def test_a_card_can_be_left_alone(hub):
    push_to_hub(MelFrontend(8000, 4), "owner/name", card=False)
    assert "README.md" not in hub.upload["allow_patterns"]
    assert not (hub.folder / "README.md").exists()


@pytest.mark.parametrize("source", ["missing", "./a/b", "../a", "/a/b", "a/b/c", "owner/..", "a\\b", "owner/name\n"])
def test_only_owner_and_name_are_looked_up(hub, source):
    with pytest.raises(FileNotFoundError, match="folder_or_repo_id must be a folder or 'owner/name' on the Hub, got"):
        from_pretrained(source)
    with pytest.raises(ValueError, match="repo_id must be 'owner/name', got"):
        push_to_hub(MelFrontend(8000, 4), source)
    assert hub.download == hub.repo == {}


def test_a_folder_comes_first_and_has_no_revision(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pretrained(MelFrontend(8000, 4), "owner/name")
    assert isinstance(from_pretrained("owner/name"), MelFrontend)
    assert hub.download == {}
    with pytest.raises(ValueError, match="revision must be None for a folder, got 'main'"):
        from_pretrained("owner/name", revision="main")
    with pytest.raises(FileNotFoundError, match="folder_or_repo_id must be"):
        from_pretrained(tmp_path / "other" / "name")


@pytest.mark.parametrize("name", ["out/none", "./out/none", "out/deep/none", "/out/none", "~/none"])
def test_a_folder_that_is_not_there_is_not_looked_up(hub, tmp_path, monkeypatch, name):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(f"got {name!r} (there is no such folder")):
        from_pretrained(name)
    assert hub.download == {}


def test_beside_a_folder_of_its_owner_a_repository_is_loaded_by_its_revision(hub, tmp_path, monkeypatch):
    save_pretrained(MelFrontend(8000, 4), hub.folder)
    (tmp_path / "owner").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such folder in 'owner'; revision='main' asks the Hub"):
        from_pretrained("owner/name")
    assert isinstance(from_pretrained("owner/name", revision="main"), MelFrontend)
    assert hub.download["revision"] == "main"


@pytest.mark.parametrize("error", [ConnectionError("no network"), ValueError("no such name")])
def test_if_the_hub_has_no_such_repository_the_error_says_that_there_is_no_folder_either(hub, monkeypatch, error):
    def snapshot_download(repo_id, **settings):
        hub.download = {"repo_id": repo_id, **settings}
        raise error

    monkeypatch.setattr(sharing, "snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match=rf"there is no such folder, and the Hub raised .*: {error}") as caught:
        from_pretrained("owner/name")
    assert hub.download["repo_id"] == "owner/name"
    assert caught.value.__cause__ is error


def test_a_repository_without_a_front_end_is_refused(hub):
    hub.folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"config\.json must be a file, got none \(save_pretrained writes"):
        from_pretrained("owner/name")


@pytest.mark.parametrize("missing", ["huggingface_hub", "safetensors"])
def test_without_its_libraries_the_extra_is_named(missing):
    code = f"import sys; sys.modules['{missing}'] = None; import learnable_frontends.pretrained"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "learnable-frontends[hub]"' in result.stderr


def test_importing_the_package_loads_neither():
    code = "import sys, learnable_frontends; print({'huggingface_hub', 'safetensors'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
