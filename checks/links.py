"""Find links of a site that lead nowhere, pages without a title, and markup shown as text, from the HTML alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from checks.faults import Fault

_ADDRESSES = {"a": "href", "link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src"}
_VERBATIM = ("code", "pre", "script", "style", "textarea")
_MARKUP = re.compile(r"(```|:::|\{[\w:-]+\}`)[^\n]*")  # of Markdown that was not understood
_HOST = "http://site.invalid/"  # where the site is while its links are resolved


@dataclass
class _Page(HTMLParser):
    """The targets, links, title and unread markup of one page."""

    targets: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    title: str = ""
    markup: list[str] = field(default_factory=list)
    _in_title: bool = False
    _verbatim: int = 0  # elements with code around the present place

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.targets |= {values[name] for name in ("id", "name") if name in values}
        if tag in _ADDRESSES and _ADDRESSES[tag] in values:
            self.links.append(values[_ADDRESSES[tag]])
        self._in_title = tag == "title" and not self.title  # a drawing has titles too
        self._verbatim += tag in _VERBATIM

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        if not self._verbatim and (match := _MARKUP.search(data)):
            self.markup.append(match[0])

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
        self._verbatim -= tag in _VERBATIM


def pages(root: Path) -> list[str]:
    """Return the pages of the site in the folder ``root``, relative to it; files in ``_static`` are parts of pages."""
    found = (path.relative_to(root) for path in root.rglob("*.html"))
    return sorted(path.as_posix() for path in found if path.parts[0] != "_static")


def find_link_faults(root: Path) -> list[Fault]:
    """Return what is wrong with the files of the site in ``root``: links, anchors, titles, and markup shown as text."""
    parsed = {}
    for name in pages(root):
        parsed[name] = _Page()
        parsed[name].feed((root / name).read_text(encoding="utf-8"))
    faults = []
    for name, page in parsed.items():
        if not page.title.strip() or "<no title>" in page.title:
            faults.append(Fault(name, "no title", page.title.strip() or "<title>"))
        faults += [Fault(name, "markup shown as text", text) for text in page.markup]
        for link in dict.fromkeys(page.links):
            url = urlsplit(urljoin(_HOST + name, link))
            if f"{url.scheme}://{url.netloc}/" != _HOST:
                continue  # another host, or mail
            target = unquote(url.path).lstrip("/")
            if not target or target.endswith("/"):
                target += "index.html"
            if not (root / target).is_file():
                faults.append(Fault(name, "broken link", link))
            elif url.fragment and target in parsed and unquote(url.fragment) not in parsed[target].targets:
                faults.append(Fault(name, "broken anchor", link))
    return faults
