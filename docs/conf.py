from __future__ import annotations

import os
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from docutils import nodes

sys.path.insert(0, os.fspath(Path(__file__).parents[1]))  # the pages describe this checkout, installed or not

from learnable_frontends import __version__

project = "learnable-frontends"
author = "The learnable-frontends authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_static"]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Docstrings name things in single backticks. Those of this package become links, and a name that is nowhere is an
# error. Names of other projects are not looked up, so that building needs no network.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(abc|collections|contextlib|librosa|matplotlib|numpy|os|pathlib|torch|torchaudio)\..*"),
    (
        "py:class",
        "Array|Axes|Figure|KernelOptions|Tensor|learnable_frontends.pretrained.registry.Module",
    ),  # annotations that are not evaluated
    ("py:class", r"learnable_frontends\.(_\w+|filterbanks\.fingerprint|filterbanks\.spectra)\..*"),  # private bases
    ("py:obj", "MelSpectrogram"),  # torchaudio's
]

autodoc_default_options = {"exclude-members": "extra_repr"}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shape"]
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"learnable-frontends {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["tables.js", "intervals.js"]
html_theme_options: dict[str, Any] = {}
copybutton_prompt_text = r">>> |\.\.\. |\$ "  # the button copies what a reader types, without prompts and output
copybutton_prompt_is_regexp = True

# A page links to its source, and names its canonical address, only where the build knows them: on Read the Docs and in
# GitHub Actions.
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
_repository = os.environ.get("READTHEDOCS_GIT_CLONE_URL", "").removesuffix(".git")
if not _repository and "GITHUB_REPOSITORY" in os.environ:
    _repository = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
if _repository.startswith("https://"):
    html_theme_options |= {
        "source_repository": f"{_repository}/",
        "source_branch": os.environ.get("READTHEDOCS_GIT_IDENTIFIER") or os.environ.get("GITHUB_REF_NAME") or "main",
        "source_directory": "docs/",
    }

# Formulas are set by MathJax 3 (Apache License 2.0), which the build takes from the package django-static-mathjax and
# copies into the site: pages ask no other host for anything.
mathjax_path = "mathjax/tex-chtml.js"
_MATHJAX_FILES = ("LICENSE", "es5/tex-chtml.js", "es5/output/chtml/fonts/woff-v2")
mathjax3_config = {"options": {"enableMenu": False}}  # the menu would load further files

# Gallery: scripts docs/gallery/plot_*.py become pages in docs/gallery_built. The build runs those that have changed;
# after a change in the package, remove that folder to run all. GALLERY=0 in the environment runs none.
extensions += ["sphinx_gallery.gen_gallery"]
source_suffix |= {".rst": "restructuredtext"}
exclude_patterns += ["gallery"]
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "gallery_built",
    "filename_pattern": r"plot_\d+_\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "plot_gallery": os.environ.get("GALLERY", "1") != "0",
    "abort_on_example_error": False,  # all scripts are tried, and the build fails at its end
    "reset_modules": ("matplotlib",),
    "reset_modules_order": "both",  # other pages draw with matplotlib's own settings
    "first_notebook_cell": '# %pip install "learnable-frontends[plot,probe]" soundfile',
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "backreferences_dir": None,
    "write_computation_times": False,
    "show_signature": False,
}


def _find_short_name(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Link a public class named from another module, and a member named in a class that inherits it."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    for owner in ("", "Frontend.", "Filterbank.", "KernelFilterbank."):
        name = f"learnable_frontends.{owner}{node['reftarget']}"
        if name in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    return None


def _name_windows(*event: Any) -> Any:
    """Write a default such as ``torch.hann_window`` by its name: its repr is no Python, so no line could be broken."""
    *_, signature, returns = event
    return signature and signature.replace("<built-in method ", "torch.").replace(" of type object>", ""), returns


def _keep_colons(*event: Any) -> None:
    """Put an empty comment before the text of a property: napoleon takes what precedes its first colon for a type."""
    _, what, _, _, _, lines = event
    if what == "property":
        lines[:0] = ["..", ""]


def _strip_examples(_: Any, doctree: Any) -> None:
    """Do not show the empty line that keeps doctest from reading the end of a code block as output."""
    for block in doctree.findall(nodes.literal_block):
        block.children = [nodes.Text(block.astext().rstrip("\n"))]
        block.rawsource = block.astext()


def _copy_mathjax(app: Any, error: Exception | None) -> None:
    """Put the files of MathJax that pages load, and its license, into the site."""
    if error is not None or app.builder.format != "html":
        return
    with as_file(files("mathjax") / "static" / "mathjax") as source:
        for name in _MATHJAX_FILES:
            target = Path(app.outdir, "_static", "mathjax", name.removeprefix("es5/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            if (source / name).is_dir():
                shutil.copytree(source / name, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source / name, target)


def _no_source_of_generated(_: Any, pagename: str, __: str, context: dict[str, Any], ___: Any) -> None:
    """Do not link from a page that the build wrote to a source that the repository lacks."""
    if pagename.startswith("gallery_built/"):
        context["theme_source_repository"] = ""


def setup(app: Any) -> None:
    app.connect("build-finished", _copy_mathjax)
    app.connect("html-page-context", _no_source_of_generated)
    app.connect("missing-reference", _find_short_name)
    app.connect("autodoc-process-signature", _name_windows)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)  # napoleon's is 500
    app.connect("doctree-read", _strip_examples)
