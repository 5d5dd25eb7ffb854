import copy
import pickle
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch.nn import functional as F
from torch.testing import assert_close

from learnable_frontends import CosGaussFilterbank, MelFrontend, MultiHeadRelevance, RelevanceWeighting
from learnable_frontends.relevance import blocked

pytestmark = pytest.mark.usefixtures("double")

KINDS = [{"gate": gate, "first_layer": layer} for gate in ("sigmoid", "softmax") for layer in ("linear", "conv")]
SPLITS = [{"split": "contiguous"}, {"split": "even-odd"}, {"split": [4, 2]}, {"n_heads": 1}]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
splits = pytest.mark.parametrize("split", SPLITS, ids=str)


def small(kind, split=None, seed=0):
    """Heads for six filters, the same ones for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RelevanceWeighting(6, **{"context": 1, "hidden": 3, **kind, **(split or {})})


def network(relevance, head):
    """One head as a user would write it, with the weights of the module."""
    window = 2 * relevance.context + 1
    if relevance.first_layer == "linear":
        first, second = nn.Linear(window, relevance.hidden), nn.Linear(relevance.hidden, 1)
    else:
        first, second = nn.Conv1d(1, 8, 3), nn.Linear(8 * (window - 2), 1)
    with torch.no_grad():
        first.weight.copy_(relevance.weight1[head].reshape(first.weight.shape))
        first.bias.copy_(relevance.bias1[head])
        second.weight.copy_(relevance.weight2[head].reshape(1, -1))
        second.bias.copy_(relevance.bias2[head])

    def score(frames):
        inputs = frames[None] if relevance.first_layer == "linear" else frames[None, None]
        return second(torch.sigmoid(first(inputs)).flatten(1))[0, 0]

    return score


def parts_of(n_filters, n_heads, split):
    if split == "contiguous":
        return [part.tolist() for part in np.array_split(np.arange(n_filters), n_heads)]
    if split == "even-odd":
        return [list(range(head, n_filters, n_heads)) for head in range(n_heads)]
    return [part.tolist() for part in np.split(np.arange(n_filters), np.cumsum(split)[:-1])]


def masks_of_separate_networks(relevance, features, parts):
    """Masks of one clip ``(n_filters, frames)``, window by window."""
    c, frames = relevance.context, features.shape[-1]
    window = 2 * c + 1
    masks = torch.empty_like(features)
    for head, part in enumerate(parts):
        score = network(relevance, head)
        if relevance.gate == "sigmoid":
            padded = F.pad(features, (c, c))
            for i in part:
                for t in range(frames):
                    masks[i, t] = torch.sigmoid(score(padded[i, t : t + window]))
        else:
            padded = F.pad(features, (0, window))
            for start in range(0, frames, window):
                scores = torch.stack([score(padded[i, start : start + window]) for i in part])
                masks[part, start : start + window] = torch.softmax(scores, 0)[:, None]
    return masks


@st.composite
def configurations(draw):
    n_filters = draw(st.integers(1, 7))
    gate = draw(st.sampled_from(["sigmoid", "softmax"])) if n_filters > 1 else "sigmoid"
    n_heads = draw(st.integers(1, n_filters if gate == "sigmoid" else n_filters // 2))
    least = 1 if gate == "sigmoid" else 2
    sizes = [least] * n_heads
    for _ in range(n_filters - least * n_heads):
        sizes[draw(st.integers(0, n_heads - 1))] += 1
    first_layer = draw(st.sampled_from(["linear", "conv"]))
    return {
        "n_filters": n_filters,
        "n_heads": n_heads,
        "context": draw(st.integers(0 if first_layer == "linear" else 1, 3)),
        "hidden": draw(st.integers(1, 5)),
        "split": draw(st.sampled_from(["contiguous", "even-odd", sizes])),
        "first_layer": first_layer,
        "gate": gate,
        "skip": draw(st.booleans()),
    }


@given(
    settings=configurations(), frames=st.integers(1, 12), block=st.sampled_from([1, 30, 2**19]), seed=st.integers(0, 9)
)
def test_heads_equal_separate_networks(settings, frames, block, seed):
    torch.manual_seed(seed)
    relevance = RelevanceWeighting(**settings)
    features = 3 * torch.randn(3, settings["n_filters"], frames)
    parts = parts_of(settings["n_filters"], settings["n_heads"], settings["split"])
    expected = torch.stack([masks_of_separate_networks(relevance, clip, parts) for clip in features])
    with mock.patch.multiple(blocked, CPU_BLOCK=block, THREADS_BLOCK=block):  # whole, and cut into blocks of every size
        masks, weighted = relevance.masks(features), relevance(features)
    assert relevance.parts == parts
    assert_close(masks, expected, rtol=1e-12, atol=1e-14)  # rounding
    assert_close(weighted, expected * features + (features if settings["skip"] else 0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
@pytest.mark.parametrize("first_layer", ["linear", "conv"])
def test_front_end_with_heads_equals_separate_networks_on_its_features(noise, gate, first_layer):
    frontend = CosGaussFilterbank(8000, 7)
    model = MultiHeadRelevance(frontend, 3, context=2, hidden=4, gate=gate, first_layer=first_layer, skip=False)
    waveform = noise(500, dtype=torch.float64)
    features = frontend(waveform)
    expected = masks_of_separate_networks(model.relevance, features, [[0, 1, 2], [3, 4], [5, 6]])
    assert_close(model.masks(waveform), expected, rtol=1e-12, atol=0)  # rounding
    assert_close(model(waveform), expected * features, rtol=1e-12, atol=0)
    assert_close(model.energies(waveform), frontend.energies(waveform), rtol=0, atol=0)


def test_one_head_has_the_papers_number_of_parameters():
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(RelevanceWeighting(80, 1, context=10)) == 1151  # 21 -> 50 -> 1, "1.1k" in the paper
    assert count(RelevanceWeighting(80, 80, context=10)) == 80 * 1151
    assert count(RelevanceWeighting(40, 1, context=25, hidden=10, gate="softmax")) == 51 * 10 + 10 + 10 + 1
    assert count(RelevanceWeighting(80, 1, first_layer="conv")) == 8 * 3 + 8 + 8 * 19 + 1


@given(
    features=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=1, max_dims=2, max_side=3).map(lambda lead: (*lead[:-1], 6, lead[-1] * 5)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    gate=st.sampled_from(["sigmoid", "softmax"]),
    first_layer=st.sampled_from(["linear", "conv"]),
    split=st.sampled_from(["contiguous", "even-odd", [4, 2]]),
)
def test_masks_are_in_the_open_unit_interval_and_keep_the_shape(features, gate, first_layer, split):
    torch.manual_seed(0)
    relevance = RelevanceWeighting(6, 2, context=1, split=split, gate=gate, first_layer=first_layer).float()
    features = torch.tensor(features)
    masks = relevance.masks(features)
    assert masks.shape == relevance(features).shape == features.shape
    assert masks.min() > 0
    assert masks.max() < 1
    if gate == "softmax":
        for part in relevance.parts:
            total = masks[..., part, :].sum(-2)
            assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)  # a few roundings of float32


@pytest.mark.parametrize("lead", [(), (3,), (2, 1, 3), (0,)])
@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
def test_any_leading_axes_give_the_features_of_each_item(noise, lead, gate):
    relevance = RelevanceWeighting(5, 2, context=2, gate=gate)
    features = noise(*lead, 5, 9, dtype=torch.float64)
    weighted = relevance(features)
    assert weighted.shape == features.shape
    for item, expected in zip(weighted.reshape(-1, 5, 9), features.reshape(-1, 5, 9), strict=True):
        assert_close(item, relevance(expected), rtol=1e-12, atol=0)  # rounding of another matrix size


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("first_layer", ["linear", "conv"])
def test_features_keep_their_type(noise, dtype, first_layer):
    relevance = RelevanceWeighting(5, 2, context=2, first_layer=first_layer).float()
    features = noise(2, 5, 9, dtype=torch.float64)
    weighted = relevance(features.to(dtype))
    assert weighted.dtype == relevance.masks(features.to(dtype)).dtype == dtype
    exact = relevance.double()(features)
    # One rounding each of the features, the masks and their product; parameters are float32.
    tolerance = 4 * max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    assert_close(weighted.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("kind", "block", "kept"),
    # A pair of a filter and a clip has 9 hidden units: one pair; two of three clips and one; three of four filters and
    # one; and all.
    [(KINDS[0], block, kept) for block in (1, 20, 90, 2**19) for kept in (0, 2**22)]
    + [(kind, 1, 0) for kind in KINDS[1:]],
)
def test_gradients_of_features_and_parameters_equal_differences(noise, kind, block, kept):
    relevance = RelevanceWeighting(4, 2, context=1, hidden=3, split=[2, 2], **kind)
    names, parameters = zip(*relevance.named_parameters(), strict=True)
    features = (10 * noise(3, 4, 3, dtype=torch.float64)).requires_grad_()

    def weighted(features, *parameters):
        return torch.func.functional_call(relevance, dict(zip(names, parameters, strict=True)), (features,))

    with mock.patch.multiple(blocked, CPU_BLOCK=block, THREADS_BLOCK=block, KEPT=kept):
        assert torch.autograd.gradcheck(weighted, (features, *parameters))


@pytest.mark.parametrize(
    ("first_layer", "split"), [("linear", "even-odd"), ("linear", [2, 4, 1]), ("conv", "even-odd")]
)
def test_gradients_of_three_heads_in_other_splits_equal_differences(noise, first_layer, split):
    relevance = RelevanceWeighting(7, 3, context=1, hidden=2, first_layer=first_layer, split=split)
    features = (3 * noise(1, 7, 4, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(relevance.masks, features)
    for parameter in relevance.parameters():
        assert torch.autograd.gradcheck(lambda _: relevance(features.detach()), parameter)


@pytest.mark.parametrize("kept", [0, 2**22])
def test_a_graph_that_is_kept_gives_the_same_gradients_again(noise, kept):
    relevance, features = RelevanceWeighting(5, 2), noise(2, 5, 9, dtype=torch.float64).requires_grad_()
    with mock.patch.object(blocked, "KEPT", kept):
        loss = relevance(features).square().sum()
    inputs = [features, *relevance.parameters()]
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    assert_close(torch.autograd.grad(loss, inputs), first, rtol=0, atol=0)


def test_threads_that_come_or_go_between_the_passes_change_nothing(noise, monkeypatch):
    relevance, features = RelevanceWeighting(5, 2), noise(2, 5, 9, dtype=torch.float64).requires_grad_()
    monkeypatch.setattr(blocked, "CPU_BLOCK", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = torch.autograd.grad(relevance(features).square().sum(), [features, *relevance.parameters()])
    loss = relevance(features).square().sum()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert_close(torch.autograd.grad(loss, [features, *relevance.parameters()]), expected, rtol=0, atol=0)


def test_hidden_units_of_large_batches_are_not_kept(noise):
    relevance, features = RelevanceWeighting(5, 2, context=1), noise(2, 5, 90, dtype=torch.float64).requires_grad_()

    def saved_units(kept):
        sizes = []
        with (
            mock.patch.multiple(blocked, CPU_BLOCK=10_000, THREADS_BLOCK=10_000, KEPT=kept),
            torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x),
        ):
            relevance.masks(features)
        return sum(size for size in sizes if size > 5 * 2 * 90)

    every = 5 * 2 * 90 * 50
    assert saved_units(every - 1) == 0
    assert saved_units(every) == every


def test_differentiating_twice_is_refused_but_with_convolutions_possible(noise):
    features = noise(2, 5, 9, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(RelevanceWeighting(5, 2)(features).sum(), features, create_graph=True)
    with pytest.raises(RuntimeError, match=r"^relevance heads can be differentiated once only"):
        gradient.sum().backward()
    for settings in ({"first_layer": "conv"}, {"gate": "softmax"}):
        relevance = RelevanceWeighting(4, 2, context=1, hidden=2, **settings)
        assert torch.autograd.gradgradcheck(relevance, features[:1, :4, :5].detach().requires_grad_())


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no batching rule for unfold's gradient
@pytest.mark.parametrize("settings", [{}, {"first_layer": "conv"}, {"gate": "softmax"}])
def test_function_transforms_equal_loops(noise, settings):
    relevance = RelevanceWeighting(5, 2, context=1, hidden=4, **settings)
    parameters = {name: parameter.detach() for name, parameter in relevance.named_parameters()}
    clips = noise(3, 5, 9, dtype=torch.float64)

    def loss(parameters, clip):
        return torch.func.functional_call(relevance, parameters, (clip,)).square().sum()

    def by_backward(clip):
        return torch.autograd.grad(loss(dict(relevance.named_parameters()), clip), list(relevance.parameters()))

    assert_close(tuple(torch.func.grad(loss)(parameters, clips).values()), by_backward(clips))
    assert_close(torch.func.vmap(relevance.masks)(clips), relevance.masks(clips))
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, clips)
    for i, clip in enumerate(clips):
        assert_close(tuple(values[i] for values in each.values()), by_backward(clip))
    several = {name: torch.stack([value, 2 * value]) for name, value in parameters.items()}
    ensemble = torch.func.vmap(loss, in_dims=(0, None))(several, clips)
    assert_close(ensemble, torch.stack([loss({n: v[i] for n, v in several.items()}, clips) for i in range(2)]))


@pytest.mark.parametrize(
    ("kind", "strict", "called"), [(KINDS[0], True, True), (KINDS[1], False, False), (KINDS[2], False, True)]
)
def test_exports_with_dynamic_batch_and_frames(noise, kind, strict, called):
    relevance = RelevanceWeighting(6, 3, context=2, split="even-odd", **kind).float()
    if called:
        relevance(noise(2, 6, 9))
    dynamic = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC},)
    exported = torch.export.export(relevance, (noise(2, 6, 40),), dynamic_shapes=dynamic, strict=strict).module()
    for shape in ((2, 6, 40), (3, 6, 57), (5, 6, 9)):
        features = noise(*shape)
        assert_close(exported(features), relevance(features), rtol=1e-5, atol=1e-5)
    features[1, 2, 3] = torch.nan
    assert_close(exported(features), relevance(features), rtol=1e-5, atol=1e-5, equal_nan=True)
    assert type(relevance._constants.tensor("head_of_filter", torch.int64, torch.device("cpu"))) is torch.Tensor


@pytest.mark.parametrize(
    ("kind", "n_heads", "called"), [(KINDS[1], 1, False), (KINDS[1], 2, True), (KINDS[2], 1, True)]
)
def test_compiled_heads_learn_the_same(noise, kind, n_heads, called):
    relevance, features = small(kind, {"n_heads": n_heads}), noise(2, 6, 9, dtype=torch.float64).requires_grad_()
    inputs = [features, *relevance.parameters()]
    if called:
        relevance(features)
    operations = set()

    def forward(graph, _):
        operations.update(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    torch._dynamo.reset()
    compiled = torch.compile(relevance, fullgraph=True, backend=aot_autograd(fw_compiler=forward))
    results = [
        (weighted, torch.autograd.grad(weighted.square().sum(), inputs))
        for weighted in (compiled(features), relevance(features))
    ]
    assert_close(*results)
    if n_heads == 1 and kind["gate"] == "sigmoid":  # inductor cannot compile the gradient of an index into one number
        assert not any("index" in operation for operation in operations)


def test_heads_learn_the_same_on_features_that_need_no_gradient(noise):
    relevance, features = RelevanceWeighting(5, 2, context=1), noise(2, 5, 9, dtype=torch.float64)
    expected = torch.autograd.grad(relevance(features.clone().requires_grad_()).sum(), list(relevance.parameters()))
    assert_close(torch.autograd.grad(relevance(features).sum(), list(relevance.parameters())), expected, rtol=0, atol=0)


@kinds
@splits
@pytest.mark.parametrize("assign", [False, True])
def test_heads_built_without_memory_and_then_loaded_are_those_that_were_saved(noise, kind, split, assign):
    saved, features = small(kind, split), noise(2, 6, 9, dtype=torch.float64)
    with torch.device("meta"):
        built = small(kind, split, seed=1)
    assert built(features.to("meta")).shape == features.shape
    assert built.parts == saved.parts
    if not assign:
        built.to_empty(device="cpu")
    built.load_state_dict(saved.state_dict(), assign=assign)
    assert not list(built.buffers())  # to_empty leaves uninitialized memory in these
    assert_close(built(features), saved(features), rtol=0, atol=0)


def test_constants_do_not_come_from_constructors_that_frameworks_patch(noise):
    saved, features = small(KINDS[2], {"split": "even-odd"}), noise(6, 9, dtype=torch.float64)
    names = ("empty", "zeros", "ones", "full", "tensor", "arange")
    made = {name: getattr(torch, name) for name in names}

    def on_meta(name):  # as accelerate.init_empty_weights(include_buffers=True)
        return lambda *args, **kwargs: made[name](*args, **{**kwargs, "device": "meta"})

    with mock.patch.multiple(torch, **{name: on_meta(name) for name in names}):
        built = small(KINDS[2], {"split": "even-odd"}, seed=1)
    assert built.weight1.is_meta
    built.load_state_dict(saved.state_dict(), assign=True)
    assert_close(built(features), saved(features), rtol=0, atol=0)


@kinds
def test_copies_and_pickles_of_heads_weight_the_same(noise, kind):
    relevance, features = small(kind, {"split": "even-odd"}), noise(2, 6, 9, dtype=torch.float64)
    weighted = relevance(features)
    for other in (copy.deepcopy(relevance), pickle.loads(pickle.dumps(relevance))):
        assert_close(other(features), weighted, rtol=0, atol=0)
        assert repr(other) == repr(relevance)


@kinds
def test_heads_first_called_in_inference_mode_learn_as_others_do(noise, kind):
    features = noise(2, 6, 9, dtype=torch.float64)
    gradients = []
    for called in (False, True):
        relevance = small(kind)
        if called:
            with torch.inference_mode():
                relevance(features)
        gradients.append(torch.autograd.grad(relevance(features).square().sum(), list(relevance.parameters())))
    assert_close(*gradients, rtol=0, atol=0)


@kinds
@splits
@pytest.mark.parametrize("shape", [(6, 0), (2, 6, 0), (0, 6, 9), (2, 0, 6, 9), (0, 6, 0)])
def test_no_frames_or_no_clips_give_none_and_gradients_of_zero(kind, split, shape):
    relevance, features = small(kind, split), torch.ones(shape, requires_grad=True)
    for call in (relevance, relevance.masks):
        output = call(features)
        assert output.shape == shape
        gradients = torch.autograd.grad(output.sum(), [features, *relevance.parameters()])
        assert gradients[0].shape == shape
        assert not any(gradient.any() for gradient in gradients)


@kinds
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_masks_of_its_own_context_or_patch_only(noise, kind, plain, value):
    relevance = RelevanceWeighting(6, 2, context=2, hidden=3, split="even-odd", **kind)
    clean = noise(2, 6, 43, dtype=torch.float64)
    expected, patch = relevance.masks(clean), 2 * relevance.context + 1
    for frame in (0, 7, 20, 42):  # in both gates and rows of 16 windows: at the ends, and amid them
        features = clean.clone()
        features[1, 3, frame] = value
        reached = torch.zeros(clean.shape, dtype=torch.bool)
        if kind["gate"] == "sigmoid":
            reached[1, 3, max(0, frame - 2) : frame + 3] = True
        else:
            reached[1, 1::2, frame // patch * patch :][:, :patch] = True
        with mock.patch.object(torch.compiler, "is_compiling", return_value=plain):  # plain: as in compiled programs
            masks = relevance.masks(features)
        assert_close(masks[~reached], expected[~reached], rtol=1e-12, atol=0)  # rounding of the plain form
        if np.isnan(value) or kind == KINDS[1]:
            assert masks[reached].isnan().all()


def test_weights_start_as_those_of_linear_layers_do():
    torch.manual_seed(0)
    relevance = RelevanceWeighting(80, 80)
    for name, inputs in (("weight1", 21), ("bias1", 21), ("weight2", 50), ("bias2", 50)):
        weights, bound = getattr(relevance, name), inputs**-0.5
        assert weights.abs().max() <= bound
        # A uniform variable's deviation is bound / sqrt(3); 80 draws scatter by 7 %, three times that is allowed.
        assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
    before = relevance.weight1.clone()
    relevance.reset_parameters()
    assert not torch.equal(before, relevance.weight1)


@pytest.mark.parametrize("settings", [{}, {"first_layer": "conv"}, {"gate": "softmax", "context": 2}])
def test_autocast_leaves_masks_and_their_gradients_alone(noise, settings):
    relevance = RelevanceWeighting(5, 2, **settings).float()
    features = noise(2, 5, 9).requires_grad_()
    plain = relevance.masks(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        masks = relevance.masks(features)
    assert_close(masks, plain, rtol=0, atol=0)
    inputs = [features, *relevance.parameters()]
    gradients = (torch.autograd.grad(some.square().sum(), inputs) for some in (masks, plain))
    assert_close(next(gradients), next(gradients), rtol=0, atol=0)


def test_heads_stack_on_a_front_end_with_heads_and_in_a_sequential(noise):
    frontend = MelFrontend(8000, 6)
    one, two = RelevanceWeighting(6, 3), RelevanceWeighting(6, 2)
    outer = MultiHeadRelevance(MultiHeadRelevance(frontend, 3), 2)
    outer.frontend.relevance.load_state_dict(one.state_dict())
    outer.relevance.load_state_dict(two.state_dict())
    waveform = noise(2, 1000, dtype=torch.float64)
    assert_close(outer(waveform), nn.Sequential(frontend, one, two)(waveform), rtol=0, atol=0)
    assert (outer.sample_rate, outer.n_filters, outer.hop_length) == (8000, 6, 80)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_filters", 7),
        ("n_heads", 1),
        ("context", 2),
        ("hidden", 5),
        ("split", "even-odd"),
        ("first_layer", "conv"),
        ("gate", "softmax"),
        ("skip", False),
    ],
)
def test_settings_cannot_be_changed(name, value):
    relevance = RelevanceWeighting(6, 2, split=[4, 2])
    before = repr(relevance)
    with pytest.raises(AttributeError, match=rf"^{name} of RelevanceWeighting must stay as it was made, got {value!r}"):
        setattr(relevance, name, value)
    assert repr(relevance) == before


def test_sizes_of_parts_are_copied():
    sizes = [4, 2]
    relevance = RelevanceWeighting(6, 2, split=sizes)
    sizes.reverse()
    assert relevance.split == [4, 2]


def test_printed_form_shows_the_settings():
    assert repr(RelevanceWeighting(6, 2, split=[4, 2])) == (
        "RelevanceWeighting(n_filters=6, n_heads=2, context=10, hidden=50, split=[4, 2], first_layer='linear', "
        "gate='sigmoid', skip=True)"
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_filters": 2.5}, TypeError, r"^n_filters must be a whole number, got 2.5$"),
        ({"n_heads": True}, TypeError, r"^n_heads must be a whole number, got True$"),
        ({"n_filters": 0}, ValueError, r"^n_filters must be at least 1, got 0$"),
        ({"n_heads": 0}, ValueError, r"^n_heads must be at least 1, got 0$"),
        ({"context": -1}, ValueError, r"^context must be at least 0, got -1$"),
        ({"hidden": 0}, ValueError, r"^hidden must be at least 1, got 0$"),
        ({"n_heads": 7}, ValueError, r"^n_heads must be at most n_filters=6, got 7 \(one head per filter\)$"),
        ({"first_layer": "rnn"}, ValueError, r"^first_layer must be 'linear' or 'conv', got 'rnn'$"),
        (
            {"first_layer": "conv", "context": 0},
            ValueError,
            r"^context must be at least 1 with first_layer='conv', got 0$",
        ),
        ({"gate": "relu"}, ValueError, r"^gate must be 'sigmoid' or 'softmax', got 'relu'$"),
        (
            {"gate": "softmax", "n_heads": 4},
            ValueError,
            r"^n_heads must leave each part 2 filters or more with gate='softmax', got 4 for 6 "
            r"\(the weight of a lone filter would always be 1\)$",
        ),
        (
            {"split": "odd-even"},
            ValueError,
            r"^split must be 'contiguous', 'even-odd' or the sizes of the parts, got 'odd-even'$",
        ),
        (
            {"split": [4, 3]},
            ValueError,
            r"^split must be n_heads=2 positive sizes that sum to n_filters=6, got \[4, 3\]$",
        ),
        ({"split": 3}, ValueError, r"^split must be 'contiguous', 'even-odd' or the sizes of the parts, got 3$"),
        ({"split": [6, 0]}, ValueError, r"got \[6, 0\]$"),
        ({"split": [3.5, 2.5]}, TypeError, r"^split must be a whole number, got 3.5$"),
        ({"split": [6]}, ValueError, r"got \[6\]$"),
        ({"split": []}, ValueError, r"got \[\]$"),
    ],
)
def test_invalid_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        RelevanceWeighting(**{"n_filters": 6, **settings})


@pytest.mark.parametrize("kind", [float, np.int64, np.float32])
def test_whole_floats_and_numbers_of_numpy_count_as_numbers(kind):
    relevance = RelevanceWeighting(kind(6), kind(2), context=kind(1), hidden=kind(2), split=np.array([4, 2], kind))
    assert relevance.parts == [[0, 1, 2, 3], [4, 5]]
    assert relevance(torch.ones(6, 3)).shape == (6, 3)
    assert repr(relevance) == repr(RelevanceWeighting(6, 2, context=1, hidden=2, split=[4, 2]))


def test_invalid_features_are_refused():
    relevance = RelevanceWeighting(80)
    with pytest.raises(TypeError, match=r"^features must be a floating-point tensor, got torch.int64$"):
        relevance(torch.ones(80, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"^features must be a tensor, got ndarray \(torch.as_tensor makes one\)$"):
        relevance(np.ones((80, 3), np.float32))
    message = r"^features must have 80 filters on axis -2, got shape \(2, 40, 431\)$"
    with pytest.raises(ValueError, match=message):
        relevance(torch.zeros(2, 40, 431))
    with pytest.raises(ValueError, match=r"got shape \(80,\)$"):
        relevance.masks(torch.zeros(80))


def test_something_else_than_a_front_end_is_refused():
    message = (
        r"^frontend must be a Frontend such as CosGaussFilterbank, got Linear "
        r"\(RelevanceWeighting takes features of any origin\)$"
    )
    with pytest.raises(TypeError, match=message):
        MultiHeadRelevance(nn.Linear(2, 2))


def test_attributes_of_the_wrapped_front_end_are_its_own():
    model = MultiHeadRelevance(CosGaussFilterbank(8000, 6))
    with pytest.raises(AttributeError, match="has no attribute 'kernels'"):
        model.kernels()
    assert not hasattr(model, "raw_center")
    assert model.frontend.kernels().shape == (6, 129)


@pytest.mark.parametrize("frames", [1, 3, 40])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("split", ["contiguous", "even-odd", [1, 6], [4, 3]])
@pytest.mark.parametrize("first_layer", ["linear", "conv"])
def test_frames_with_their_whole_context_are_weighted_as_in_the_whole(frames, skip, split, first_layer):
    relevance = RelevanceWeighting(7, 2, context=3, split=split, first_layer=first_layer, skip=skip)
    features = torch.randn(2, 3, 7, frames + 6, generator=torch.Generator().manual_seed(frames))
    with torch.no_grad():
        assert_close(relevance.weigh_inside(features), relevance(features)[..., 3:-3], rtol=1e-5, atol=1e-6)
        equal = RelevanceWeighting(6, 3, context=3, skip=skip)
        assert_close(
            equal.weigh_inside(features[..., :6, :]), equal(features[..., :6, :])[..., 3:-3], rtol=1e-5, atol=1e-6
        )
