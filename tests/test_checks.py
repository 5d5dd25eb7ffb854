"""The check of the site finds each fault in a small site that has it, and none in one that has none."""

from pathlib import Path

import pytest

from checks.links import find_link_faults
from checks.site import find_browser, find_shown_faults

GOOD = """<!doctype html><html><head><title>{name}</title><style>
body {{ margin: 0 }} pre {{ overflow: auto }} .box {{ overflow-x: auto; width: 380px }}
</style></head><body><h1 id="top">{name}</h1>{body}</body></html>"""
WIDE = "x" * 100

WRITTEN = {
    "fence": ("markup shown as text", "<p>```{csv-table} a</p>"),
    "colons": ("markup shown as text", "<p>:::{tip} a</p>"),
    "role": ("markup shown as text", "<p>see {doc}`/a`</p>"),
    "page": ("broken link", '<a href="nowhere.html">a</a>'),
    "folder": ("broken link", '<a href="nowhere/">a</a>'),
    "picture": ("broken link", '<img src="nowhere.png" alt="">'),
    "anchor": ("broken anchor", '<a href="index.html#nowhere">a</a>'),
    "own_anchor": ("broken anchor", '<a href="#nowhere">a</a>'),
}
SHOWN = {
    "code": ("code is wider than its box", f"<pre>{WIDE}\nshort</pre>"),
    "folded": ("code is wider than its box", f"<details><summary>more</summary><pre>{WIDE}</pre></details>"),
    "table": ("table is wider than its box", f'<div class="box"><table><tr><td>{WIDE}</td></tr></table></div>'),
    "cell": (
        "table is wider than its box",
        f'<table style="table-layout: fixed; width: 90px"><tr><td><b>{WIDE}</b></td></tr></table>',
    ),
    "signature": ("signature is wider than its box", f'<dl><dt class="sig"><b>{WIDE}</b></dt></dl>'),
    "text": ("page is wider than the window", f"<p><b>{WIDE}</b></p>"),
    "cut_off": ("page is wider than the window", f'<div style="overflow: hidden"><b>{WIDE}</b></div>'),
    "thrown": ("error in the console", '<script>throw new Error("planted")</script>'),
    "logged": ("error in the console", '<script>console.error("planted")</script>'),
    "font": ("request to another host", '<link rel="stylesheet" href="https://fonts.invalid/a.css">'),
    "script": ("request to another host", '<script src="https://cdn.invalid/a.js"></script>'),
}


def write(root: Path, name: str, body: str) -> None:
    (root / f"{name}.html").write_text(GOOD.format(name=name, body=body), encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    links = '<a href="index.html#top">a</a><a href="#">b</a><a href="https://example.org/c">c</a>'
    write(root, "index", f"{links}<pre>```python</pre><code>{{doc}}`/a`</code>")
    write(root, "dark", "<style>@media (prefers-color-scheme: dark) { p { width: 500px } }</style><p>a</p>")
    for name, (_, body) in (WRITTEN | SHOWN).items():
        write(root, name, body)
    (root / "untitled.html").write_text("<html><body><h1>a</h1></body></html>", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def shown(site, tmp_path_factory):
    pytest.importorskip("playwright")
    browser = find_browser()
    if browser is None:
        pytest.skip("needs Chromium or Google Chrome")
    pictures = tmp_path_factory.mktemp("pictures")
    faults = find_shown_faults(site, browser, screenshots=pictures, pictured=["index"])
    return faults, sorted(path.name for path in pictures.iterdir())


def test_each_fault_of_the_files_is_found_once(site):
    found = [(fault.page, fault.what) for fault in find_link_faults(site)]
    expected = [(f"{name}.html", what) for name, (what, _) in WRITTEN.items()]
    assert sorted(found) == sorted([*expected, ("untitled.html", "no title")])


@pytest.mark.parametrize("name", SHOWN)
def test_a_planted_fault_is_found(name, shown):
    faults, _ = shown
    assert SHOWN[name][0] in [fault.what for fault in faults if fault.page == f"{name}.html"]


def test_a_page_without_faults_has_none_and_a_fault_says_where_it_was_seen(shown):
    faults, _ = shown
    assert not [fault for fault in faults if fault.page in ("index.html", "untitled.html")]
    (dark,) = [fault for fault in faults if fault.page == "dark.html"]
    assert dark.what == "page is wider than the window"
    assert dark.where.endswith("[420 px, dark]")


def test_named_pages_are_pictured_at_both_widths_and_themes(shown):
    _, pictures = shown
    assert pictures == [f"index_{width}_{theme}.png" for width in (1400, 420) for theme in ("dark", "light")]
