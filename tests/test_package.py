import ast
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
import typing
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import learnable_frontends
from checks.wheel import closure
from learnable_frontends import Filterbank, Frontend, KernelFilterbank, MelFrontend, ResponseFilterbank

ROOT = Path(learnable_frontends.__file__).parent
PACKAGE = "learnable_frontends"
EXAMPLES = sorted((ROOT.parent / "examples").glob("*.py"))
# Layers, lowest first; a module imports from lower layers only. What is not named, as streaming, nobody imports.
LAYERS = [
    {"_checks", "_precision", "_constants"},
    {"_formulas", "_kept", "_parameters", "_settings", "_stages"},
    {"functional.*"},
    {"functional.opaque"},
    {"functional"},
    {"chain", "compression.*", "inputs.*", "relevance.heads", "relevance.blocked"},
    {"compression", "inputs", "relevance.opaque"},
    {"frontend"},
    {"filterbanks.framing", "filterbanks.fingerprint", "filterbanks.options"},
    {"filterbanks.spectra"},
    {"filterbanks.base"},
    {"filterbanks.centers"},
    {"filterbanks.by_kernels", "filterbanks.by_response"},
    {"filterbanks.mel"},
    {"filterbanks.*", "relevance.weighting"},
    {"filterbanks.free"},
    {"filterbanks.free_response"},
    {"filterbanks"},
    {"concat", "presets.making", "waveform_model"},
    {"presets.*"},
    {"presets"},
    {"relevance.multi_head"},
    {"relevance"},
    {""},
    {"analysis.information"},
    {"analysis.candidates", "analysis.discriminants", "analysis.simultaneous"},
    {"analysis.*"},
    {"analysis"},
    {"plotting.drawing"},
    {"plotting.features", "plotting.filters", "plotting.information", "plotting.learning"},
    {"plotting.masks"},
    {"plotting.relevance"},
    {"plotting"},
    {"transforms.parts"},
    {"transforms.*"},
    {"transforms"},
    {"inversion"},
    {"pretrained.registry", "pretrained.tensors"},
    {"pretrained.reading", "pretrained.card"},
    {"pretrained.writing"},
    {"pretrained.hub"},
    {"pretrained"},
    {"deployment.description", "deployment.exporters"},
    {"deployment.deploying"},
    {"deployment"},
]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in ROOT.rglob("*.py")
}


def layer(name):
    named = [name, f"{name.partition('.')[0]}.*"] if "." in name else [name]  # a name of its own comes first
    places = [i for part in named for i, names in enumerate(LAYERS) if part in names]
    return places[0] if places else len(LAYERS)


def imported(path):
    """Modules of the package that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path.name}"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    inside = {name.removeprefix(PACKAGE).removeprefix(".") for name in names if name.split(".")[0] == PACKAGE}
    return {name for name in inside if name in MODULES}


@pytest.mark.parametrize("name", sorted(MODULES), ids=lambda name: name or PACKAGE)
def test_imports_point_to_lower_layers_only(name):
    assert {target for target in imported(MODULES[name]) if layer(target) >= layer(name)} == set()


def test_import_directions_are_seen():
    assert {"frontend", "functional", "filterbanks.sinc"} <= set(MODULES)
    assert {"filterbanks.by_kernels", "functional"} <= imported(MODULES["filterbanks.sinc"])
    assert "filterbanks" in imported(MODULES[""])


def test_importing_the_package_loads_torch_and_nothing_heavier():
    heavy = ["matplotlib", "scipy", "librosa", "soundfile", "soxr", "tqdm", "sklearn", "pandas", "torchaudio"]
    code = (
        "import sys, torch; before = set(sys.modules); import learnable_frontends; "
        "loaded = {name.split('.')[0] for name in set(sys.modules) - before}; "
        f"print(sorted(loaded & set({heavy})), 'learnable_frontends' in loaded)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] True"


@pytest.mark.parametrize("name", sorted({name for name in MODULES if MODULES[name].name != "__init__.py"}))
def test_all_names_every_public_function_and_class_of_a_module(name):
    module = importlib.import_module(f"{PACKAGE}.{name}")
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    assert defined <= set(module.__all__)
    assert all(hasattr(module, key) for key in module.__all__)
    assert list(module.__all__) == sorted(module.__all__)


def test_all_of_the_package_names_every_front_end_and_compression():
    public = set()
    for name in ("compression", "relevance", "filterbanks"):
        public |= set(importlib.import_module(f"{PACKAGE}.{name}").__all__)
    exported = set(learnable_frontends.__all__)
    assert public <= exported
    assert exported == {name for name in exported if hasattr(learnable_frontends, name)}
    imported_names = {
        key for key, value in vars(learnable_frontends).items() if inspect.isclass(value) and not key.startswith("_")
    }
    assert exported == imported_names
    assert list(learnable_frontends.__all__) == sorted(exported, key=lambda name: (not name.isupper(), name))


def test_every_family_file_gives_one_exported_front_end():
    package = importlib.import_module(f"{PACKAGE}.filterbanks")
    shared = {"base", "by_kernels", "fingerprint", "framing", "options", "spectra"}
    for found in pkgutil.iter_modules(package.__path__):
        if found.name in shared:
            continue
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        own = [
            value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        fronts = [value for value in own if issubclass(value, Frontend)]
        assert len(fronts) == 1
        assert fronts[0].__name__ in package.__all__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    if not (ROOT.parent / "pyproject.toml").exists():
        pytest.skip("the package is installed, its source is not here")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    command += ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    result = subprocess.run([*command, str(ROOT.parent)], capture_output=True, text=True, check=False)
    for trouble in ("No matching distribution found for hatchling", "No module named pip"):
        if trouble in result.stderr:
            pytest.skip(f"cannot build here: {trouble}")
    assert result.returncode == 0, result.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_typed_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(archive.read(name).decode() for name in names if name.endswith("METADATA"))
    assert f"{PACKAGE}/py.typed" in names
    assert {f"{PACKAGE}/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.py")} <= set(names)
    assert {name.split("/")[0] for name in names} == {PACKAGE, f"{PACKAGE}-{learnable_frontends.__version__}.dist-info"}
    runtime = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert {line.split()[1].split(">")[0] for line in runtime} == {"torch", "numpy", "typing-extensions"}


def test_no_file_is_longer_than_250_lines():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 250} == {}


def test_options_for_editors_are_the_arguments_of_the_bases():
    options = importlib.import_module(f"{PACKAGE}.filterbanks.options")
    for base, typed in [
        (Filterbank, options.FilterbankOptions),
        (KernelFilterbank, options.KernelOptions),
        (ResponseFilterbank, options.ResponseOptions),
        (MelFrontend, options.MelOptions),
    ]:
        signature = inspect.signature(base).parameters
        assert set(typed.__annotations__) | {"sample_rate", "n_filters"} == set(signature)
        described = {match[1] for match in options.ENTRY.finditer(base.__doc__)}
        assert set(signature) == described - {"TypeError", "ValueError", "UserWarning"}
        for name, annotation in typing.get_type_hints(typed).items():
            assert annotation == signature[name].annotation


def test_a_family_has_all_arguments_in_its_signature_and_its_help(family):
    base = KernelFilterbank if issubclass(family, KernelFilterbank) else ResponseFilterbank
    names = set(inspect.signature(family).parameters)
    assert names >= set(inspect.signature(base).parameters)
    assert all(f"        {name}: " in family.__doc__ for name in names)
    assert "**options" not in family.__doc__


def test_experiments_import_one_way():
    root = ROOT.parent / "experiments"
    if not root.is_dir():
        pytest.skip("experiments are not installed with the package")
    found = {}
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        found[name] = {module for module in modules if module and module.startswith("experiments.")}
    while free := {name for name, needed in found.items() if not needed & found.keys()}:
        for name in free:
            del found[name]
    assert not found, f"these import each other around: {sorted(found)}"


RUN_WITH = """
import runpy
import sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from packaging.utils import canonicalize_name

allowed, target = set(sys.argv[1].split(",")), sys.argv[2]
owners = packages_distributions()
hidden = {name for name in owners if not allowed & set(map(canonicalize_name, owners[name]))}

class Declared(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Declared
sys.argv[:] = [target, "--help"]
sys.path.insert(0, "")
runpy.run_path(target, run_name="__main__") if target.endswith(".py") else runpy.run_module(target, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("extra", "target"),
    [
        ("examples", "experiments.probe"),
        *(("examples", f"examples/{path.name}") for path in EXAMPLES if path.stem != "pretrained_model"),
        *(("recipes", f"experiments.{name}") for name in ("bench", "compare", "masks", "recipe")),
    ],
)
def test_an_extra_brings_what_it_is_for(extra, target):
    """With everything hidden that the extra does not declare, directly or not, its commands start."""
    declared = closure(distribution("learnable-frontends"), {extra})
    names = {"learnable-frontends", *(canonicalize_name(found.name) for found in declared)}
    command = [sys.executable, "-c", RUN_WITH, ",".join(names), target]
    run = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("usage: ")
