"""What tests share: hypothesis profiles, the families of filters found in the package, and noise."""

import contextlib
import functools
import importlib
import inspect
import os
import pkgutil
import sys
import warnings

# With a core busy elsewhere, OpenMP's other threads must not spin; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each worker
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

from learnable_frontends import Filterbank, Frontend, KernelFilterbank, MultiHeadRelevance, filterbanks

# A long search by hand: HYPOTHESIS_PROFILE=wide pytest, or pytest --hypothesis-profile=wide.
settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("wide", deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_runtest_setup() -> None:
    """Let a test draw the same numbers each time, whichever tests ran before it."""
    torch.manual_seed(0)


for found in pkgutil.iter_modules(filterbanks.__path__, "learnable_frontends.filterbanks."):
    importlib.import_module(found.name)  # a new family is tested as soon as its file is there


def families(base):
    """Concrete families of the package below a base; those that tests define and private ones do not count."""
    subclasses = set(base.__subclasses__())
    subclasses |= {family for child in subclasses for family in families(child)}
    own = (c for c in subclasses if c.__module__.startswith("learnable_frontends.") and not c.__name__.startswith("_"))
    public = (c for c in own if not inspect.isabstract(c))
    return sorted(
        (c for c in public if issubclass(c, Filterbank) and c is not KernelFilterbank),
        key=lambda family: family.__name__,
    )


@functools.cache
def trouble(name):
    """What a library says when it does not import; asked once, since half of it may be there the second time."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a library itself imports
            importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:  # the latter two: built for a CUDA that is not here
        return f"{type(error).__name__}: {error}"
    for key, module in list(sys.modules.items()):
        # Stand-ins of SpeechBrain's import what is not there as soon as another test's library looks at them.
        if type(module).__module__ == "speechbrain.utils.importutils":
            del sys.modules[key]
    return None


def needs(*names):
    for name in names:
        if reason := trouble(name):
            pytest.skip(f"{name} does not import: {reason}")


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Build:
    """Makes one small front-end of a family, bare or behind relevance heads, the same one at every call."""

    def __init__(self, family, wrapped):
        self.family, self.wrapped = family, wrapped
        self.has_kernels = issubclass(family, KernelFilterbank)
        self.__name__ = f"{family.__name__}{'-heads' if wrapped else ''}"

    def __call__(self, *, dtype=torch.float32, **settings):
        with default_dtype(dtype):
            frontend = self.family(**{"sample_rate": 8000, "n_filters": 6, **settings})
        if not self.wrapped:
            return frontend
        with torch.random.fork_rng(), default_dtype(torch.float32):
            torch.manual_seed(0)
            model = MultiHeadRelevance(frontend, 2, context=2, hidden=3)
        model.relevance.to(dtype)
        return model


# Heads see features, whatever these come from: behind these families they are tested in every way.
WRAPPED = ("CosGaussFilterbank", "LearnableMelFilterbank", "MelFrontend", "SincFilterbank")


def builds(base):
    return [
        Build(family, wrapped)
        for family in families(base)
        for wrapped in (False, True)
        if not wrapped or family.__name__ in WRAPPED
    ]


@pytest.fixture(scope="session", params=builds(Frontend), ids=lambda build: build.__name__)
def build(request):
    """Every front-end of the package."""
    return request.param


@pytest.fixture(scope="session", params=builds(KernelFilterbank), ids=lambda build: build.__name__)
def build_kernels(request):
    """Every front-end of the package that has kernels."""
    return request.param


def learns(build):
    return build.family.centers_ascend and list(build.family(8000, 6).parameters())


@pytest.fixture(
    scope="session", params=[build for build in builds(Frontend) if learns(build)], ids=lambda build: build.__name__
)
def build_learned(request):
    """Every front-end of the package whose centers are learned and stay in order."""
    return request.param


@pytest.fixture(scope="session", params=families(Frontend), ids=lambda family: family.__name__)
def family(request):
    """Every family of filters of the package."""
    return request.param


@pytest.fixture(scope="session")
def noise():
    """Function from a shape to white noise of standard deviation 0.1, the same at every call."""

    def draw(*shape, dtype=torch.float32, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return (0.1 * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)

    return draw


@pytest.fixture(scope="module")
def double():
    """Everything a module of tests makes is float64."""
    with default_dtype(torch.float64):
        yield
