import copy
import math
import pickle

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from torch._dynamo.testing import CompileCounterWithBackend
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from learnable_frontends import PCEN, CosGaussFilterbank, MultiHeadRelevance
from learnable_frontends._parameters import parameters_by_role
from learnable_frontends.compression.pcen import smooth

pytestmark = pytest.mark.usefixtures("double")
# docs/start/install.md says so.
exports = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason=f"torch {torch.__version__} cannot export PCEN for any number of frames; 2.13 can",
)
inside = st.floats(0.01, 0.99)


def energies_of(*shape, seed=0):
    """Positive numbers over six decades."""
    generator = torch.Generator().manual_seed(seed)
    return 10 ** (6 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 5)


@given(frames=st.integers(1, 300), shares=st.lists(inside, min_size=3, max_size=3))
def test_smoothing_is_the_recursion(frames, shares):
    values = energies_of(2, 3, frames)
    for row, share in enumerate(shares):
        start = (1 - share) * values[:, row, :1].numpy()
        expected, _ = lfilter([share], [1, share - 1], values[:, row].numpy(), zi=start)
        assert_close(smooth(values, torch.tensor(shares))[:, row], torch.tensor(expected), rtol=1e-10, atol=1e-14)


@given(gain=inside, bias=st.floats(0.01, 20.0), power=st.floats(0.05, 0.95), smoothing=inside)
def test_pcen_equals_librosa(gain, bias, power, smoothing):
    energies = energies_of(2, 4, 90)
    start = (1 - smoothing) * energies[..., :1].numpy()
    expected = librosa.pcen(
        energies.numpy(), gain=gain, bias=bias, power=power, b=smoothing, eps=1e-6, zi=start, axis=-1
    )
    actual = PCEN(4, gain=gain, bias=bias, power=power, smoothing=smoothing)(energies)
    assert_close(actual, torch.tensor(expected), rtol=1e-8, atol=1e-10)


def test_each_filter_has_its_own_numbers():
    energies, pcen = energies_of(3, 50), PCEN(3)
    with torch.no_grad():
        pcen.free += torch.linspace(-1, 1, 12).reshape(4, 3)
    together = pcen(energies)
    for i in range(3):
        alone = PCEN(
            1,
            gain=pcen.gain[i].item(),
            bias=pcen.bias[i].item(),
            power=pcen.power[i].item(),
            smoothing=pcen.smoothing[i].item(),
        )
        assert_close(together[i : i + 1], alone(energies[i : i + 1]))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=16), min_size=4, max_size=4))
def test_numbers_stay_in_their_range_for_any_parameters(values):
    pcen = PCEN(1)
    with torch.no_grad():
        pcen.free.copy_(torch.tensor(values)[:, None].clamp(-600, 600))
    for name in ("gain", "power", "smoothing"):
        assert 0 <= getattr(pcen, name).item() <= 1
    assert pcen.bias.item() > 0


def test_gradients_are_those_of_differences():
    pcen = PCEN(2)
    energies = energies_of(2, 2, 70).requires_grad_()

    def run(energies, free):
        return torch.func.functional_call(pcen, {"free": free}, (energies,))

    assert torch.autograd.gradcheck(run, (energies + 0.1, pcen.free.detach().requires_grad_()))
    PCEN(2, learn=False)(energies).sum().backward()
    assert energies.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 1e-12, 1e4])
def test_silence_and_loud_sound_give_finite_features_and_gradients(dtype, level):
    energies = torch.full((2, 3, 200), level, dtype=dtype, requires_grad=True)
    pcen = PCEN(3)
    features = pcen(energies)
    features.sum().backward()
    assert features.dtype == dtype
    assert features.isfinite().all()
    assert pcen.free.grad.isfinite().all()
    # At silence the slope is near 1 / eps, beyond float16. Front-ends give energies in float32 or better.
    assert energies.grad.isfinite().all() or dtype == torch.float16


def test_float32_is_close_to_float64():
    energies = energies_of(3, 1000)
    assert_close(PCEN(3).float()(energies.float()).double(), PCEN(3)(energies), rtol=1e-4, atol=1e-5)


def test_a_front_end_learns_it_with_the_rest(noise):
    frontend = MultiHeadRelevance(CosGaussFilterbank(8000, 6, compression=PCEN(6)), context=2, hidden=3)
    features = frontend(noise(2, 2, 4000))
    assert features.shape == (2, 2, 6, 51)
    features.square().sum().backward()
    assert frontend.frontend.compression.free.grad.any(-1).all()
    groups = {group["name"]: len(group["params"]) for group in frontend.param_groups(1e-3, 1e-2)}
    assert groups["filters"] == 1
    for other in (copy.deepcopy(frontend), pickle.loads(pickle.dumps(frontend))):
        assert_close(other(noise(4000)), frontend(noise(4000)))


def test_a_level_does_not_matter_but_an_event_does():
    steady = torch.full((1, 400), 0.01)
    steady[0, 300] = 1.0
    pcen = PCEN(1, eps=1e-12, learn=False)
    quiet, loud = pcen(steady), pcen(1000 * steady)
    assert_close(quiet, loud, rtol=0.15, atol=0.0)  # 1000 ** 0.02 of the energy
    assert quiet[0, 300] > 3 * quiet[0, 299]
    assert math.isclose(quiet[0, 298].item(), quiet[0, 299].item(), rel_tol=1e-6)


# Energies that are not finite


def loop(energies, pcen, mean=None):
    """PCEN frame by frame, as it is defined: features, and the mean at their end."""
    gain, bias, power, share = (getattr(pcen, name).detach() for name in ("gain", "bias", "power", "smoothing"))
    mean = torch.full(energies.shape[:-1], torch.nan) if mean is None else mean
    features = [energies[..., :0]]
    for energy in energies.unbind(-1):
        moved = torch.where(mean.isnan(), energy, (1 - share) * mean + share * energy)
        mean = torch.where(energy.isfinite(), moved, mean)
        feature = (energy / (pcen.eps + mean) ** gain + bias) ** power - bias**power
        features.append(torch.where(energy.isfinite(), feature, torch.nan)[..., None])
    return torch.cat(features, -1), mean


def spoiled(*shape, seed=0):
    """Energies of which a third is not finite: the first of some filters, and all of one."""
    generator = torch.Generator().manual_seed(seed)
    energies = energies_of(*shape, seed=seed)
    for bad in (torch.nan, torch.inf, -torch.inf):
        energies[torch.rand(shape, generator=generator, dtype=torch.float64) < 0.12] = bad
    energies[..., 1, :3] = torch.nan
    energies[..., -1, :] = torch.inf
    return energies


def varied(n_filters):
    """A PCEN whose filters differ."""
    pcen = PCEN(n_filters)
    with torch.no_grad():
        pcen.free += torch.linspace(-2, 2, 4 * n_filters).reshape(4, n_filters)
    return pcen


@pytest.mark.parametrize("frames", [1, 17, 33, 600])
@pytest.mark.parametrize("make", [energies_of, spoiled])
def test_a_clip_and_any_two_parts_of_it_equal_the_loop(make, frames):
    energies, pcen = make(2, 4, frames), varied(4)
    expected, last = loop(energies, pcen)
    exact = {"rtol": 1e-10, "atol": 1e-13, "equal_nan": True}
    assert_close(pcen(energies), expected, **exact)
    for cut in {0, 1, 3, 16, frames // 2, frames - 1, frames} & {*range(frames + 1)}:
        before, mean = pcen.resume(energies[..., :cut], None)
        assert_close(mean, loop(energies[..., :cut], pcen)[1], **exact)
        after, mean = pcen.resume(energies[..., cut:], mean)
        assert_close(torch.cat([before, after], -1), expected, **exact)
        assert_close(mean, last, **exact)


def test_a_frame_that_is_not_finite_might_as_well_not_be_there():
    whole, pcen = energies_of(1, 300), PCEN(1)
    gaps = torch.zeros(1, 300, dtype=torch.bool)
    gaps[0, [0, 1, 7, 100, 101, 299]] = True
    results = []
    for energies in (torch.where(gaps, torch.nan, whole), whole[~gaps][None]):
        energies.requires_grad_()
        pcen.zero_grad()
        features = pcen(energies)
        features[features.isfinite()].square().sum().backward()
        results.append((features.detach(), energies.grad, pcen.free.grad.clone()))
    (features, gradient, free), expected = results
    assert features[gaps].isnan().all()
    assert_close(features[~gaps][None], expected[0])
    assert_close(gradient[~gaps][None], expected[1])
    assert (gradient[gaps] == 0).all()
    assert_close(free, expected[2])


def test_a_filter_that_is_never_finite_leaves_all_gradients_finite():
    energies, pcen = spoiled(2, 4, 60).requires_grad_(), PCEN(4)
    pcen(energies).nansum().backward()
    assert energies.grad.isfinite().all()
    assert pcen.free.grad.isfinite().all()
    assert (pcen.free.grad[:, :3] != 0).all()


# Streams


def test_no_frames_leave_the_mean_as_it_is():
    pcen, mean = PCEN(3), torch.tensor([[1.0, torch.nan, 2.0]])
    features, after = pcen.resume(torch.zeros(1, 3, 0), mean)
    assert features.shape == (1, 3, 0)
    assert_close(after, mean, equal_nan=True)
    features, after = pcen.resume(torch.zeros(1, 3, 0), None)
    assert features.shape == (1, 3, 0)
    assert after.isnan().all()
    assert after.shape == (1, 3)


class Sizes(TorchDispatchMode):
    """Numbers of elements that operations return: the largest, and the sum of all."""

    def __init__(self):
        super().__init__()
        self.largest = self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(value, torch.Tensor):
                self.largest, self.total = max(self.largest, value.numel()), self.total + value.numel()
        return out


def sizes_of(call):
    with Sizes() as sizes:
        call()
    return sizes


def test_time_and_memory_grow_as_the_length():
    pcen, totals = PCEN(2), []
    for frames in (4_000, 16_000):
        energies = torch.rand(2, frames, requires_grad=True)
        sizes = sizes_of(lambda energies=energies: pcen(energies).sum().backward())
        assert sizes.largest < 1.01 * energies.numel()
        totals.append(sizes.total)
    assert totals[1] < 4.1 * totals[0]


def test_a_stream_that_goes_on_by_a_frame_is_cheap():
    pcen, mean = PCEN(40), torch.ones(40)
    assert sizes_of(lambda: pcen.resume(torch.ones(40, 1), mean)).largest <= 5 * 40  # the parameters


# Programs

FLOAT32 = {"rtol": 1e-4, "atol": 1e-5, "equal_nan": True}  # rounding in another order
SHAPES = [(2, 3, 150), (5, 3, 64), (3, 3, 5000), (7, 3, 17), (2, 3, 2)]


def exported(strict):
    """A PCEN in float32, and its program for any number of clips and frames."""
    pcen = varied(3).float()
    dynamic = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("frames")},)
    energies = torch.ones(2, 3, 150, dtype=torch.float32)
    return pcen, torch.export.export(pcen, (energies,), dynamic_shapes=dynamic, strict=strict)


@pytest.fixture(scope="module")
def program():
    return exported(strict=False)


def check_program(run, pcen):
    for shape in SHAPES:
        energies = spoiled(*shape).float()
        assert_close(run(energies), pcen(energies).detach(), **FLOAT32)


@exports
def test_a_program_takes_any_number_of_clips_and_frames(program):
    pcen, program = program
    run = program.module()
    check_program(run, pcen)
    sizes = sizes_of(lambda: run(torch.rand(2, 3, 12_000, dtype=torch.float32)))
    assert sizes.largest < 1.01 * 2 * 3 * 12_000


@exports
def test_a_strict_program_gives_the_same():
    pcen, program = exported(strict=True)
    check_program(program.module(), pcen)


@exports
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_gives_the_same(program, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    pytest.importorskip("onnxscript", reason="needs the extra [onnx]")
    pcen, program = program
    torch.onnx.export(program, dynamo=True, verbose=False, external_data=False).save(tmp_path / "pcen.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pcen.onnx", providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    check_program(lambda energies: torch.from_numpy(session.run(None, {name: energies.numpy()})[0]), pcen)


def test_one_graph_serves_every_batch_and_length():
    torch._dynamo.reset()
    pcen, counter, counts = varied(3), CompileCounterWithBackend("eager"), []
    compiled = torch.compile(pcen, fullgraph=True, dynamic=True, backend=counter)
    for shape in SHAPES:
        assert_close(compiled(spoiled(*shape)), pcen(spoiled(*shape)), equal_nan=True)
        counts.append(counter.frame_count)
    assert counts[1:] == counts[1:2] * (len(SHAPES) - 1)


def test_vmap_equals_a_batch():
    pcen, energies, means = varied(3), spoiled(4, 3, 40), torch.rand(4, 3)
    means[1] = torch.nan
    for together, each in zip(pcen.resume(energies, means), torch.func.vmap(pcen.resume)(energies, means), strict=True):
        assert_close(each, together, equal_nan=True)


def test_autocast_leaves_features_alone():
    pcen, energies = PCEN(3).float(), energies_of(3, 200).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(pcen(energies), pcen(energies.clone()), rtol=0, atol=0)
        features = pcen(energies)
    assert_close(features, pcen(energies), rtol=0, atol=0)


# Parameters and settings


def test_its_numbers_are_free_and_start_again():
    pcen = PCEN(3, gain=0.9, bias=3.0, power=0.2, smoothing=0.1)
    start = torch.tensor([[0.9 / 0.1], [3.0], [0.2 / 0.8], [0.1 / 0.9]]).log()[[0, 2, 3, 1]].expand(4, 3)
    assert_close(pcen.free.detach(), start, rtol=1e-14, atol=0)
    assert [parameter is pcen.free for parameter in parameters_by_role(pcen)["free"]] == [True]
    with torch.no_grad():
        pcen.free.zero_()
    pcen.reset_parameters()
    assert_close(pcen.free.detach(), start, rtol=1e-14, atol=0)
    assert list(pcen.state_dict()) == ["free"]
    assert list(pcen.buffers()) == []


def test_it_can_be_built_without_memory():
    with torch.device("meta"):
        fixed, learned = PCEN(3, gain=0.9, learn=False), PCEN(3)
    fixed.to_empty(device="cpu").reset_parameters()
    learned.load_state_dict(PCEN(3, gain=0.9).state_dict(), assign=True)
    energies = energies_of(3, 50)
    for pcen in (fixed, learned):
        assert_close(pcen(energies), PCEN(3, gain=0.9)(energies), rtol=0, atol=0)
    assert learned.free.requires_grad
    assert not fixed.free.requires_grad


def test_invalid_settings_are_refused():
    for name in ("gain", "power", "smoothing"):
        with pytest.raises(ValueError, match=rf"^{name} must be between 0 and 1, got 1.0$"):
            PCEN(4, **{name: 1.0})
    for name in ("bias", "eps"):
        with pytest.raises(ValueError, match=rf"^{name} must be positive and finite, got 0.0$"):
            PCEN(4, **{name: 0.0})
    for name in ("gain", "power", "smoothing", "bias", "eps"):
        with pytest.raises(TypeError, match=rf"^{name} must be a number, got 'a'$"):
            PCEN(4, **{name: "a"})
        with pytest.raises(ValueError, match=rf"^{name} must be .*finite, got nan$"):
            PCEN(4, **{name: math.nan})
    with pytest.raises(ValueError, match=r"^energies must be \(..., 4, frames\), got shape \(5, 10\)$"):
        PCEN(4)(torch.ones(5, 10))
    with pytest.raises(ValueError, match=r"^mean must have shape \(2, 4\), got \(4,\)$"):
        PCEN(4).resume(torch.ones(2, 4, 10), torch.ones(4))
    assert repr(PCEN(4, learn=False)) == "PCEN(4, eps=1e-06, learn=False)"
    assert not any(p.requires_grad for p in PCEN(4, learn=False).parameters())
    assert np.isclose(PCEN(4).power.mean().item(), 0.5)
