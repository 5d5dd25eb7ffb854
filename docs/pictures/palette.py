"""Pictures of few colors take a third of the space."""

from pathlib import Path

from PIL import Image


def reduce_colors(path: Path) -> None:
    """Write a picture again with a palette of 256 colors."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256).save(path, optimize=True)
