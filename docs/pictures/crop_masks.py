"""Cut the left half out of the pictures of `experiments.masks`, so that their text can be read on a phone.

python docs/pictures/crop_masks.py
"""

from pathlib import Path

from PIL import Image

STATIC = Path(__file__).parents[1] / "_static"


def main() -> None:
    """Keep the features with the contours of the masks; leave out the masks alone, and the name of the run."""
    for name in ("mel", "cos-gauss"):
        with Image.open(STATIC / f"masks_{name}.png") as picture:
            picture.crop((0, 20, 506, picture.height)).save(STATIC / f"masks_over_{name}.png")


if __name__ == "__main__":
    main()
