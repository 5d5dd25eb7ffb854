"""Tell the metadata of a build where the project lives, as far as its environment knows: in GitHub Actions it does.

``GITHUB_REPOSITORY`` and ``GITHUB_SHA`` make the addresses of the source, and absolute links of the README, since the
package index has no files beside it. ``DOCUMENTATION_URL`` is the address of the site.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAPER = "https://arxiv.org/abs/2107.14793"


def addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses by their label."""
    found = {"Paper": PAPER}
    if repository := _repository(environment):
        changelog = f"{repository}/blob/HEAD/CHANGELOG.md"
        found |= {"Source": repository, "Issues": f"{repository}/issues", "Changelog": changelog}
    if site := environment.get("DOCUMENTATION_URL"):
        found["Documentation"] = site
    return found


def absolute(text: str, environment: Mapping[str, str]) -> str:
    """Return Markdown whose relative links and pictures lead to the commit that is built; code stays as it is."""
    if not (repository := _repository(environment)):
        return text

    def lead(match: re.Match[str]) -> str:
        start, target = match.groups()
        kind = "raw" if start.startswith("!") else "blob"
        return f"{start}({repository}/{kind}/{environment['GITHUB_SHA']}/{target})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)  # every second one is a block of code
    parts[::2] = [re.sub(r"(!?\[[^\]]*\])\((?!\w+:|#)([^)\s]+)\)", lead, prose) for prose in parts[::2]]
    return "".join(parts)


def _repository(environment: Mapping[str, str]) -> str | None:
    name, server = environment.get("GITHUB_REPOSITORY"), environment.get("GITHUB_SERVER_URL", "https://github.com")
    return f"{server}/{name}" if name else None


class Addresses(MetadataHookInterface):
    """Hatchling's hook for what pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the addresses and the README."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["urls"] = addresses(os.environ)
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, os.environ)}
