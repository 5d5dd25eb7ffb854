"""Front-ends wherever PyTorch takes a module: torch.func, neighbors, workers, processes, precisions.

Run as a script it prints the table of precisions in docs/guides/libraries.md.
"""

import copy
import math
import os
import pickle
import sys
import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close

from learnable_frontends import CosGaussFilterbank, Log, MelFrontend, MultiHeadRelevance, SincFilterbank

RATE, N_FILTERS, FRAMES = 8000, 6, 13
# Sums in another order; relative, in float32 and float64.
SINGLE, EXACT = {"rtol": 2e-5, "atol": 1e-6}, {"rtol": 1e-9, "atol": 1e-12}
# In-place and overlapping operations are looped over, and torch says so.
SLOW_VMAP = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


def classifier(frontend=None):
    """The same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if frontend is None:
            frontend = MultiHeadRelevance(CosGaussFilterbank(RATE, N_FILTERS), 2, context=2, hidden=3)
        return nn.Sequential(frontend, nn.Flatten(), nn.Linear(N_FILTERS * FRAMES, 4))


def batch(n=4):
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(n, 1000, generator=generator), torch.arange(n) % 4


def learn(model, waveform, labels, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(waveform), labels).backward()
    optimizer.step()


def assert_same(model, other, **tolerance):
    expected = dict(other.named_parameters())
    assert len(expected) > 0
    for name, parameter in model.named_parameters():
        assert_close(parameter, expected[name], **(tolerance or {"rtol": 0, "atol": 0}))


# torch.func


@SLOW_VMAP
def test_vmap_gives_the_features_of_the_batch(build, noise):
    frontend, waveform = build(), noise(3, 1000)
    assert_close(vmap(frontend)(waveform), frontend(waveform), **SINGLE)


@SLOW_VMAP
def test_gradients_of_each_clip_by_vmap_are_those_of_the_clip_alone(build, noise):
    frontend, waveform = build(dtype=torch.float64), noise(3, 1000, dtype=torch.float64)
    parameters = {name: parameter.detach() for name, parameter in frontend.named_parameters()}

    def loss(parameters, clip):
        return functional_call(frontend, parameters, (clip,)).square().mean()

    of_parameters, of_clips = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, waveform)
    for i, clip in enumerate(waveform):
        clip.requires_grad_()
        expected = torch.autograd.grad(frontend(clip).square().mean(), [clip, *frontend.parameters()])
        assert_close([of_clips[i], *(gradient[i] for gradient in of_parameters.values())], list(expected), **EXACT)


@SLOW_VMAP
def test_an_ensemble_is_one_call_over_stacked_states(build, noise):
    ensemble, waveform = [build(), build()], noise(2, 1000)
    with torch.no_grad():
        for parameter in ensemble[1].parameters():
            parameter.mul_(0.9)
    parameters, buffers = stack_module_state(ensemble)

    def features(parameters, buffers):
        return functional_call(ensemble[0], (parameters, buffers), (waveform,))

    expected = torch.stack([member(waveform) for member in ensemble])
    assert_close(vmap(features)(parameters, buffers), expected, **SINGLE)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own forward mode
def test_forward_mode_equals_differences_without_heads(family, noise):
    frontend = family(RATE, N_FILTERS).double()
    waveform, direction = noise(1000, dtype=torch.float64), noise(1000, dtype=torch.float64, seed=1)
    _, slope = torch.func.jvp(frontend, (waveform,), (direction,))
    step = 1e-6
    expected = (frontend(waveform + step * direction) - frontend(waveform - step * direction)) / (2 * step)
    assert_close(slope, expected, rtol=1e-5, atol=1e-7)  # the error of the difference


def test_second_derivatives_equal_differences_without_heads(family, noise):
    settings = {"f_min": 500.0, "win_length": 12, "hop_length": 7, "compression": Log(1e-2)}
    frontend = family(RATE, 3, **settings).double()
    assert torch.autograd.gradgradcheck(frontend, 10 * noise(1, 20, dtype=torch.float64).requires_grad_())


# Neighbors, copies


def test_a_parametrized_neighbor_learns_with_the_front_end_and_is_copied(build):
    waveform, labels = batch()
    plain, normed = classifier(build()), classifier(build())
    weight_norm(normed[2])
    assert_close(normed(waveform), plain(waveform), **SINGLE)
    learn(normed, waveform, labels)
    copied, loaded = copy.deepcopy(normed), classifier(build())
    weight_norm(loaded[2])
    loaded.load_state_dict(normed.state_dict())
    for model in (copied, loaded):
        assert_close(model(waveform), normed(waveform), rtol=0, atol=0)
        learn(model, waveform, labels)
    assert_same(loaded, copied)
    assert any(not torch.equal(a, b) for a, b in zip(copied.parameters(), normed.parameters(), strict=True))


def test_a_copy_and_a_pickle_made_in_training_go_on_as_the_model_does(build):
    waveform, labels = batch()
    model = classifier(build())
    learn(model, waveform, labels)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for each in (model, *others):
        learn(each, waveform, labels)
    for other in others:
        assert_same(other, model)


def test_an_averaged_model_averages_the_free_parameters(build):
    waveform, labels = batch()
    model = classifier(build())
    averaged = torch.optim.swa_utils.AveragedModel(model)
    states = []
    for _ in range(3):
        learn(model, waveform, labels)
        averaged.update_parameters(model)
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    for name, value in averaged.module.named_parameters():
        assert_close(value, torch.stack([state[name] for state in states]).mean(0), **SINGLE)


# Worker processes


class Features(torch.utils.data.Dataset):
    """Features computed where the data set is: in the workers."""

    def __init__(self, frontend, waveforms):
        self.frontend, self.waveforms = frontend, waveforms

    def __len__(self):
        return len(self.waveforms)

    def __getitem__(self, index):
        with torch.no_grad():
            return self.frontend(self.waveforms[index]), os.getpid()


def test_spawned_workers_compute_the_features_of_this_process():
    frontend, (waveforms, _) = classifier()[0], batch(6)
    loader = torch.utils.data.DataLoader(
        Features(frontend, waveforms), batch_size=2, num_workers=2, multiprocessing_context="spawn"
    )
    batches = list(loader)
    assert os.getpid() not in torch.cat([pids for _, pids in batches])
    assert_close(torch.cat([features for features, _ in batches]), frontend(waveforms).detach(), **SINGLE)


def _train_wrapped(rank, world, folder):
    """Train behind DDP, then behind FSDP2, on a half of the batch each, and save full parameters."""
    from torch.distributed.device_mesh import init_device_mesh  # here, since the workers above load this file too
    from torch.distributed.fsdp import fully_shard

    warnings.simplefilter("error")
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=world)
    waveform, labels = (tensor.chunk(world)[rank] for tensor in batch())
    model = classifier()
    ddp = nn.parallel.DistributedDataParallel(model)
    for _ in range(2):
        learn(ddp, waveform, labels)
    results = {"ddp": model.state_dict()}
    model, mesh = classifier(), init_device_mesh("cpu", (world,))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    groups = [*model[0].param_groups(0.1, 0.1), {"params": list(model[2].parameters())}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    for _ in range(2):
        learn(model, waveform, labels, optimizer)
    results["fsdp"] = {name: parameter.full_tensor().detach() for name, parameter in model.named_parameters()}
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()
    # All is done and saved. Without this, a thread of gloo's that still runs aborts about one exit in ten: "terminate
    # called without an active exception".
    os._exit(0)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("torch is built without gloo")
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(_train_wrapped, args=(2, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("wrapper", ["ddp", "fsdp"])
def test_two_processes_take_the_steps_of_one(two_processes, wrapper):
    expected = classifier()
    for _ in range(2):
        learn(expected, *batch())
    for results in two_processes:
        for name, tensor in expected.named_parameters():
            # Two steps on sums of halves, in float32 and on one thread or two.
            assert_close(results[wrapper][name], tensor, rtol=1e-4, atol=1e-5)
    assert not torch.equal(expected[0].frontend.raw_center, classifier()[0].frontend.raw_center)


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_gradient_scaler_gives_the_step_without_it_and_leaves_out_one_that_overflows(build, dtype):
    waveform, labels = batch()
    scaled, plain = classifier(build()), classifier(build())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    steps = []
    for model in (scaled, plain):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with torch.autocast("cpu", dtype=dtype):
            loss = nn.functional.cross_entropy(model(waveform), labels)
        (scaler.scale(loss) if model is scaled else loss).backward()
        if model is scaled:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        steps.append(optimizer)
    assert_same(scaled, plain, rtol=1e-3, atol=1e-5)  # half precision behind the front-end
    before = copy.deepcopy(scaled)
    steps[0].zero_grad()
    scaler.scale(math.inf * scaled(waveform).sum()).backward()
    scaler.step(steps[0])
    scaler.update()
    assert_same(scaled, before)
    assert scaler.get_scale() == 2.0**9


def _time(seconds):
    return torch.arange(16000 * seconds, dtype=torch.float64) / 16000


WAVEFORMS = {
    "silence": lambda: torch.zeros(16000, dtype=torch.float64),
    "full-scale square wave": lambda: 1.0 - 2.0 * (440 * _time(1) % 1.0 >= 0.5).double(),
    "60 s of noise": lambda: torch.randn(
        _time(60).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    .mul(0.1)
    .clamp(-1.0, 1.0),
}
# What runs in which precision: the module, the waveform, autocast.
ROUTES = {
    "float32": (torch.float32, torch.float32, None),
    "float32, autocast to float16": (torch.float32, torch.float32, torch.float16),
    "float32, autocast to bfloat16": (torch.float32, torch.float32, torch.bfloat16),
    "float16 waveform": (torch.float32, torch.float16, None),
    "bfloat16 waveform": (torch.float32, torch.bfloat16, None),
    "float16 waveform and module": (torch.float16, torch.float16, None),
    "bfloat16 waveform and module": (torch.bfloat16, torch.bfloat16, None),
}
FRONTENDS = {
    "mel": lambda: MelFrontend(16000, 40),
    "sinc": lambda: SincFilterbank(16000, 40),
    "cos-Gauss": lambda: CosGaussFilterbank(16000, 40),
    "heads": lambda: MultiHeadRelevance(CosGaussFilterbank(16000, 40), 2),
}


def made(kind, dtype):
    """A front-end of ``dtype`` whose parameters and windows are float32's rounded to it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FRONTENDS[kind]().to(dtype)


@torch.no_grad()
def errors(kind, waveform):
    """Largest error of each route against float64, and the largest feature."""
    exact = made(kind, torch.float64)(waveform)
    found = {}
    for route, (module, dtype, autocast) in ROUTES.items():
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            features = made(kind, module)(waveform.to(dtype))
        assert features.dtype == dtype
        assert features.isfinite().all()
        found[route] = float((features.double() - exact).abs().max())
    return found, float(exact.abs().max())


@pytest.mark.parametrize("kind", FRONTENDS)
@pytest.mark.parametrize("name", WAVEFORMS)
def test_features_of_every_precision_are_finite_and_near_float64(kind, name):
    found, largest = errors(kind, WAVEFORMS[name]())
    for route, error in found.items():
        module, dtype, _ = ROUTES[route]
        # Rounding of the features and of the waveform; float32 kernels are known to 1e-5.
        bound = max(2 * torch.finfo(dtype).eps * largest, 3e-5)
        if module.itemsize == 2:  # rounded centers: off by a percent in bfloat16, where a filter may be as narrow
            bound += 100 * torch.finfo(module).eps
        assert error <= bound, (route, error, bound)


def table():
    """Markdown: routes by waveforms, the largest error over the front-ends."""
    found = {name: [errors(kind, make())[0] for kind in FRONTENDS] for name, make in WAVEFORMS.items()}
    yield f"| | {' | '.join(WAVEFORMS)} |"
    yield f"|---|{'---|' * len(WAVEFORMS)}"
    for route in ROUTES:
        cells = (f"{max(one[route] for one in found[name]):.1e}" for name in WAVEFORMS)
        yield f"| {route} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(table()) + "\n")
