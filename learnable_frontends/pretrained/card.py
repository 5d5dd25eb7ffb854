"""The page of a shared front-end, with its settings and the line that loads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from learnable_frontends import __version__
from learnable_frontends.pretrained.registry import OWN, SETTINGS

__all__ = ["write_card"]


def write_card(described: dict[str, Any], repo_id: str) -> str:
    """Return the Markdown of a repository's page."""
    rows = list(_rows(described))
    foreign = sorted({value for _, value in rows} & {cls.__name__ for cls in SETTINGS if cls not in OWN})
    hint = "".join(f"\nFirst define `{name}` and call `register({name})` of the same module.\n" for name in foreign)
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""---
library_name: learnable-frontends
tags:
- audio
- learnable-frontends
---

# {described["class"]}

An audio front-end: waveforms `(..., time)` in, features `(..., n_filters, frames)` out. Saved by learnable-frontends
{__version__}, `pip install "learnable-frontends[hub]"`.

```python
from learnable_frontends.pretrained import from_pretrained

frontend = from_pretrained("{repo_id}")
```
{hint}
Frequencies are in Hz, lengths in samples.

| setting | value |
|---|---|
{table}
"""


def _rows(described: dict[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    yield name or "class", described["class"]
    for key, value in described["settings"].items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            yield from _rows(value, path)
        else:
            long = isinstance(value, list) and len(value) > 8
            yield path, f"{len(value)}, one each" if long else json.dumps(value).replace("|", "\\|")
