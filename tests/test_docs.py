import ast
import csv
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import hatch_build
import learnable_frontends

ROOT = Path(__file__).parents[1]
COLUMNS = 84  # what the site shows of a line of code without scrolling, at a window of 1400 pixels
TEXTS = [*ROOT.glob("*.md"), *(path for path in ROOT.glob("docs/**/*.md") if path.parts[-2] != "gallery_built")]
FENCE = re.compile(r" *(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>.*)")
CODE = re.compile(r"[\w+-]*\s*$|\{(code|code-block|code-cell|sourcecode|parsed-literal|literalinclude)\}")


def code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line of a code block in Markdown, without the block's own indentation, and its number."""
    open_fences: list[tuple[str, bool, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = FENCE.match(line)
        fence, info = (match["fence"], match["info"].strip()) if match else ("", "")
        in_code = bool(open_fences) and open_fences[-1][1]
        if open_fences and fence.startswith(open_fences[-1][0]) and not info:
            open_fences.pop()
        elif fence and not in_code:
            is_code = not fence.startswith(":") and bool(CODE.match(info))
            open_fences.append((fence, is_code, len(line) - len(line.lstrip())))
        elif in_code:
            yield number, line[min(open_fences[-1][2], len(line) - len(line.lstrip())) :]


def example_lines(source: str) -> Iterator[tuple[int, str]]:
    """Each line of an example in the docstrings of a module, without its indentation, and its number."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) or not ast.get_docstring(node):
            continue
        docstring = node.body[0].value  # type: ignore[attr-defined]
        lines = docstring.value.splitlines()
        for example in doctest.DocTestParser().get_examples(docstring.value):
            length = example.source.count("\n") + example.want.count("\n")
            for number in range(example.lineno, example.lineno + length):
                yield docstring.lineno + number, lines[number][example.indent :]


def too_long(path: Path, lines: Iterator[tuple[int, str]]) -> list[str]:
    place = path.relative_to(ROOT)
    return [f"{place}:{number}: {len(line)} columns: {line}" for number, line in lines if len(line) > COLUMNS]


def test_code_in_texts_fits_the_page():
    found = [fault for path in TEXTS for fault in too_long(path, code_lines(path.read_text(encoding="utf-8")))]
    assert not found, f"code of more than {COLUMNS} columns:\n" + "\n".join(found)


def test_examples_of_docstrings_fit_the_page():
    paths = sorted((ROOT / "learnable_frontends").rglob("*.py"))
    found = [fault for path in paths for fault in too_long(path, example_lines(path.read_text(encoding="utf-8")))]
    assert not found, f"examples of more than {COLUMNS} columns:\n" + "\n".join(found)


def test_lines_of_code_are_found_in_every_kind_of_block():
    text = "a\n```python\nb\n```\n:::{tip}\nc\n```{code-block} text\nd\n```\n:::\n- e\n  ```\n    f\n  ```\n"
    assert list(code_lines(text + "```{figure} g\nh\n```\n")) == [(3, "b"), (8, "d"), (13, "  f")]
    source = 'def f():\n    """A.\n\n    >>> g(\n    ...     1\n    ... )\n    2\n    """\n'
    assert list(example_lines(source)) == [(4, ">>> g("), (5, "...     1"), (6, "... )"), (7, "2")]


def test_cells_of_tables_are_text_and_not_lists():
    # Markdown makes a bullet of a cell that is a dash; one that is empty stands for what is not known.
    for path in (ROOT / "docs").rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = {cell.strip() for row in csv.reader(file) for cell in row}
        assert not cells & {"-", "+", "*"}, path


def test_the_tables_of_the_bench_are_those_of_its_runs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "pictures")
    drawn, predicted = importlib.import_module("bench"), importlib.import_module("prediction")
    first, later = drawn.first_rows(), drawn.later_rows()
    rows = drawn.together(first, later)
    with (drawn.EVIDENCE / "bench.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == drawn.evidence_table(rows)
    with (drawn.EVIDENCE / "fewer_filters_later.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == drawn.fewer_table()
    page = (drawn.EVIDENCE / "results.md").read_text(encoding="utf-8")
    missing = [line for line in drawn.difference_tables(rows).splitlines() if line not in page]
    assert not missing, "docs/evidence/results.md lacks:\n" + "\n".join(missing)
    kept = [line["after training %"] for line in drawn.read(drawn.EVIDENCE / "prediction.csv")]
    assert kept == [f"{100 * row['training']:.1f}" for row in predicted.probed_rows()]
    place = next(place for place in later if place[2] != "mel")
    with pytest.raises(ValueError, match="must have seeds once"):
        drawn.together(later, {place: later[place]})


# ---------------------------------------------------------------- the release


def test_version_changelog_and_citation_agree():
    """A released version stands in all three, with one date; before the first release there is no date."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", changelog, flags=re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    released = headings[1:]
    assert all(date for _, date in released), "every released version has its date: ## [1.2.3] - 2026-01-31"
    assert citation["version"] == learnable_frontends.__version__
    if released:
        assert (citation["version"], str(citation["date-released"])) == released[0]
    else:
        assert "date-released" not in citation


# ---------------------------------------------------------------- what a forge renders


def relative_links(text: str) -> set[str]:
    """The targets of links and pictures of a text that are not addresses, without their anchors."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", prose) + re.findall(r"(?:src|href|srcset)=\"([^\"\s]+)", prose)
    return {target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)}


def test_a_build_that_knows_the_repository_tells_the_package_index_where_everything_is():
    given = {"GITHUB_REPOSITORY": "us/lf", "GITHUB_SHA": "0123abc", "DOCUMENTATION_URL": "https://lf.example/en/"}
    source = "https://github.com/us/lf"
    assert hatch_build.addresses(given) == {
        "Paper": "https://arxiv.org/abs/2107.14793",
        "Source": source,
        "Issues": f"{source}/issues",
        "Changelog": f"{source}/blob/HEAD/CHANGELOG.md",
        "Documentation": "https://lf.example/en/",
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = hatch_build.absolute(readme, given)
    assert relative_links(readme)
    assert not relative_links(told)
    assert (
        f"![Eight mel filters, and the same after training: one has moved into the band of the class]({source}/raw/"
        in told
    )
    assert f"[MIT license]({source}/blob/0123abc/LICENSE)" in told
    found = [re.findall(r"^```.*?^```$", text, flags=re.DOTALL | re.MULTILINE) for text in (readme, told)]
    assert found[0] == found[1]


def test_a_build_that_does_not_know_the_repository_leaves_the_readme_as_it_is():
    assert set(hatch_build.addresses({})) == {"Paper"}
    assert hatch_build.absolute("[a](b.md)", {}) == "[a](b.md)"
    code = "```python\nbanks[0](clip)\n```"
    assert hatch_build.absolute(code, {"GITHUB_REPOSITORY": "us/lf", "GITHUB_SHA": "0"}) == code


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_relative_links_lead_to_files_that_a_forge_renders(name):
    """A page of the site is MyST: a forge shows its roles and directives as text."""
    for target in relative_links((ROOT / name).read_text(encoding="utf-8")):
        path = ROOT / target
        assert path.exists(), f"{name} links to {target}, which is not there"
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\{[\w:-]+\}`|^ *(```|:::)\{", text, flags=re.MULTILINE), (
                f"{name} links to {target}, which a forge does not render: it has roles or directives of MyST"
            )
