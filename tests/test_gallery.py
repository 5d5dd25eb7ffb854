"""The gallery's scripts: what the docs build, which runs them, does not check."""

import ast
import re
from pathlib import Path

import pytest

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("plot_*.py"))
ALLOWED = {"learnable_frontends", "matplotlib", "numpy", "soundfile", "torch"}
STANDARD = {"base64", "copy", "io", "pathlib", "tempfile", "wave"}
OKABE_ITO = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"}


def test_there_are_ten_scripts_in_one_order():
    assert [int(path.name[5:7]) for path in SCRIPTS] == list(range(1, 11))


def lines_of_code(text):
    """Count lines without empty ones, comments, and the text at the top."""
    body = text.split('"""', 2)[2]
    return sum(1 for line in body.splitlines() if line.strip() and not line.lstrip().startswith("#"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
class TestScript:
    def test_it_is_short_and_ends_with_its_figures(self, path):
        text = path.read_text(encoding="utf-8")
        assert lines_of_code(text) <= 80
        assert max(map(len, text.splitlines())) <= 84
        last = [line for line in text.splitlines() if line.strip() and not line.startswith("#")][-1]
        assert last == "plt.show()"

    def test_it_stands_alone(self, path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= ALLOWED | STANDARD

    def test_its_random_numbers_have_a_seed(self, path):
        text = path.read_text(encoding="utf-8")
        drawn = re.search(r"torch\.rand|nn\.\w+\(|random\.", text)
        assert not drawn or "torch.manual_seed(" in text

    def test_its_figures_fit_a_phone_and_its_colors_the_color_blind(self, path):
        text = path.read_text(encoding="utf-8")
        sizes = re.findall(r"figsize=\((\d+(?:\.\d+)?), (\d+(?:\.\d+)?)\)", text)
        assert sizes
        assert all(float(width) <= 6 and float(height) <= 6 for width, height in sizes)
        assert set(re.findall(r'"(#[0-9A-Fa-f]{6})"', text)) <= OKABE_ITO
        assert set(re.findall(r'cmap="(\w+)"', text)) <= {"cividis", "viridis"}

    def test_it_writes_no_file_but_into_temporary_folders(self, path):
        text = path.read_text(encoding="utf-8")
        assert ".savefig(" not in text
        assert not re.search(r"soundfile\.write|\.mkdir\(", text) or "TemporaryDirectory()" in text
