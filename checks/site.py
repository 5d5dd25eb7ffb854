"""Look at every page of the built site in a browser, at two widths, light and dark: ``python -m checks.site DIR``.

A fault is anything wider than its box by the rule of ``overflow.js``, an error in the console, a request to another
host, a link or an anchor that leads nowhere, a page without a title, or markup shown as text. Each is printed as page,
what, and where.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from checks.faults import Fault
from checks.links import find_link_faults, pages

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

WIDTHS = (1400, 420)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MAIN_PAGES = ("index", "start/quick_start", "gallery_built/index", "api/index", "evidence/results")
NO_BROWSER = (
    "no browser found: install Chromium or Google Chrome, run `python -m playwright install chromium`, or name the "
    "executable in the environment variable CHROME_BIN"
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OVERFLOW = Path(__file__).with_name("overflow.js").read_text(encoding="utf-8")
# Folded sections and tabs that are not shown have no widths.
_UNFOLD = """async () => {
    document.querySelectorAll("details").forEach((section) => { section.open = true; });
    document.querySelectorAll(".sd-tab-content").forEach((tab) => { tab.style.display = "block"; });
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
}"""
# The page answers to another width, or to an open section, before the next frame is drawn.
_SETTLE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def serve(root: Path) -> Iterator[str]:
    """Serve the folder ``root`` on a free port of this machine and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=os.fspath(root))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def find_browser() -> str | None:
    """Return the path of a browser or ``None``: ``$CHROME_BIN``, the system's, or the one that playwright installed."""
    if "CHROME_BIN" in os.environ:
        return os.environ["CHROME_BIN"]
    if found := next(filter(None, map(shutil.which, _NAMES)), None):
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        installed = playwright.chromium.executable_path
    return installed if Path(installed).is_file() else None


def find_shown_faults(
    root: Path, browser: str, *, screenshots: Path | None = None, pictured: Sequence[str] = ()
) -> list[Fault]:
    """Open every page of the site in ``root`` and return what is wrong with it as shown.

    Args:
        root: Folder of the built site.
        browser: Path of a Chromium.
        screenshots: Folder for pictures of pages at each width and theme, or ``None``.
        pictured: Pages that are pictured, without ``.html``.
    """
    from playwright.sync_api import sync_playwright

    faults: dict[Fault, list[str]] = {}  # and where each was seen
    with serve(root) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser)
        page = chromium.new_page()
        name = ""

        def note(what: str, where: str, seen: str = "") -> None:
            faults.setdefault(Fault(name, what, where), []).append(seen)

        def answer(route: Route) -> None:
            url = route.request.url
            if url.startswith((address, "data:", "blob:")):
                route.continue_()
            else:
                note("request to another host", url)
                route.abort()

        page.route("**/*", answer)
        page.on("pageerror", lambda error: note("error in the console", str(error)))
        page.on(
            "console",
            lambda message: (
                note("error in the console", message.text)
                if message.type == "error" and message.location.get("url", address).startswith(address)
                else None
            ),
        )
        for name in pages(root):
            page.emulate_media(color_scheme=THEMES[0])
            page.goto(address + name, wait_until="load")
            page.evaluate(_UNFOLD)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                page.evaluate(_SETTLE)
                for theme in THEMES:
                    page.emulate_media(color_scheme=theme)
                    for what, where in page.evaluate(_OVERFLOW):
                        note(what, where, f"{width} px, {theme}")
                    if screenshots is not None and name.removesuffix(".html") in pictured:
                        _picture(page, screenshots / f"{name.removesuffix('.html')}_{width}_{theme}.png")
        chromium.close()
    return [
        fault._replace(where=f"{fault.where} [{'; '.join(dict.fromkeys(seen))}]") if any(seen) else fault
        for fault, seen in faults.items()
    ]


def _picture(page: Page, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=True)


def find_faults(root: Path, browser: str, **options: Any) -> list[Fault]:
    """Return everything that is wrong with the site in ``root``, by page."""
    return sorted([*find_link_faults(root), *find_shown_faults(root, browser, **options)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the site in a folder, print a line for each fault, and return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m checks.site", description=__doc__)
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="write pictures of pages into this folder")
    parser.add_argument("--pages", nargs="+", default=MAIN_PAGES, metavar="PAGE", help="pages to picture")
    options = parser.parse_args(arguments)
    if not pages(options.site):
        parser.error(f"{options.site} has no pages (make docs builds the site)")
    browser = find_browser()
    if browser is None:
        parser.error(NO_BROWSER)
    faults = find_faults(options.site, browser, screenshots=options.screenshots, pictured=options.pages)
    for fault in faults:
        print(fault)
    print(f"{len(pages(options.site))} pages, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
