"""The variants of experiments.levers: front-ends that differ in one thing, and the same changes made to mel."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from experiments.grid import Variant
from experiments.options import model_settings

Options = Mapping[str, Any]
NONE: Options = {}
HEADS = {"n_heads": 2, "context": 10}  # of every front-end with heads
WIDE: Options = {"width": 0.5}
NARROWING: Options = {**WIDE, "learn_width": True}
SPACED: Options = {"width": "spacing"}
LEARNED_FROM_SPACING: Options = {**SPACED, "learn_width": True}
HANN: Options = {"window": "hann"}
LEARNED_OFFSET: Options = {"compression": "learned-log"}
PCEN: Options = {"compression": "pcen"}
# Energies of mel are sums of powers, those of cos-Gauss means of squares: for noise the ratio is 130 to 860 for the
# middle filter of 80 to 8, so this is about the floor for mel that 1e-3 is for cos-Gauss.
LARGE_OFFSET: Options = {"log_offset": 0.3}
FIXED: Options = {"frontend_lr": 0.0}
NATURAL: Options = {"frontend_lr": 0.1, "natural": True}
ONE_NORMALIZATION: Options = {"normalize": "all"}
CLIP_NORMALIZATION: Options = {"compression": "clip-log"}
LINEAR: Options = {"init": "linear"}
# Energies of kernels of unit gain are means of squares: for noise a millionth of those of mel here, and so the floor.
UNIT_GAIN: Options = {"window": "hann", "gain": "peak", "log_offset": 1e-9}


class Lever(NamedTuple):
    """What a variant is made of.

    Attributes:
        frontend: A name of `experiments.frontends.ALL_NAMES`.
        options: Options of the command line that it has otherwise.
        training: Arguments of `model_settings` for its training.
    """

    frontend: str
    options: Options = NONE
    training: Options = NONE


COS_GAUSS: dict[str, tuple[Options, Options]] = {
    # How much, and when, filters learn.
    "fixed": (NONE, FIXED),
    "rate 0.003": (NONE, {"frontend_lr": 0.003}),
    "rate 0.1": (NONE, {"frontend_lr": 0.1}),
    "warm-up": (NONE, {"schedule": "warm-up"}),
    "filters first": (NONE, {"schedule": "filters-first"}),
    "filters last": (NONE, {"schedule": "filters-last"}),
    "natural steps": (NONE, NATURAL),
    "repulsion": (NONE, {"repulsion": 1.0}),
    # Where they start.
    "linear start": ({"init": "linear"}, NONE),
    "ERB start": ({"init": "erb"}, NONE),
    "random start": ({"init": "random"}, NONE),
    "bad start": ({"init": "bad"}, NONE),
    # Their shape.
    "learned width": ({"learn_width": True}, NONE),
    "wide": (WIDE, NONE),
    "fixed, wide": (WIDE, FIXED),
    "wide to narrow": (NARROWING, NONE),
    "width of spacing": (SPACED, NONE),
    "learned from spacing": (LEARNED_FROM_SPACING, NONE),
    "fixed, width of spacing": (SPACED, FIXED),
    "learned from spacing, unit gain": ({**LEARNED_FROM_SPACING, **UNIT_GAIN}, NONE),
    # What comes after them.
    "peak gain": ({"gain": "peak", "log_offset": 1e-7}, NONE),
    "small offset": ({"log_offset": 1e-6}, NONE),
    "learned offset": (LEARNED_OFFSET, NONE),
    "PCEN": (PCEN, NONE),
    "one normalization": (NONE, ONE_NORMALIZATION),
    # How frames are cut: the sidelobes of Hamming's window let a loud low sound into every high filter.
    "Hann window": (HANN, NONE),
    "fixed, Hann window": (HANN, FIXED),
    # Together.
    "Hann window, rate 0.01": (HANN, {"frontend_lr": 0.01}),
    "bad start, wide to narrow": ({"init": "bad", **NARROWING}, NONE),
    "wide to narrow, natural steps": (NARROWING, NATURAL),
}
COS_GAUSS_HEADS: dict[str, tuple[Options, Options]] = {
    "heads": (NONE, NONE),
    "heads, filters first": (NONE, {"schedule": "filters-first"}),
    "heads, filters last": (NONE, {"schedule": "filters-last"}),
    "heads, Hann window": (HANN, NONE),
    "wide to narrow, heads": (NARROWING, NONE),
    "learned from spacing, heads": (LEARNED_FROM_SPACING, NONE),
}
LEVERS = {
    "mel": Lever("mel"),
    "mel, large offset": Lever("mel", LARGE_OFFSET),
    "mel, learned offset": Lever("mel", LEARNED_OFFSET),
    "mel, PCEN": Lever("mel", PCEN),
    "mel, Hamming window": Lever("mel", {"mel_window": "hamming"}),
    "mel, one normalization": Lever("mel", NONE, ONE_NORMALIZATION),
    "mel, heads": Lever("mel+heads"),
    "mel, clip normalization": Lever("mel", CLIP_NORMALIZATION),
    "mel, two windows": Lever("two-windows"),
    "mel, long window": Lever("long-mel"),
    "mel, large offset, heads": Lever("mel+heads", LARGE_OFFSET),
    "learnable mel": Lever("learnable-mel"),
    "learnable mel, triangles": Lever("triangular-mel"),
    "Gaussian": Lever("gaussian"),
    "linear, fixed": Lever("gaussian", LINEAR, FIXED),
    "linear, learned": Lever("gaussian", LINEAR),
    "linear, heads": Lever("gaussian+heads", LINEAR),
    "ERB, fixed": Lever("gaussian", {"init": "erb"}, FIXED),
    "Gabor": Lever("gabor", UNIT_GAIN),
    "sinc": Lever("sinc"),
    "sinc, Hann window": Lever("sinc", HANN),
    "sinc, unit gain": Lever("sinc", UNIT_GAIN),
    "sinc, heads": Lever("sinc+heads"),
    "cos-gauss": Lever("cos-gauss"),
    **{f"cos-gauss, {name}": Lever("cos-gauss", *lever) for name, lever in COS_GAUSS.items()},
    **{f"cos-gauss, {name}": Lever("cos-gauss+heads", *lever) for name, lever in COS_GAUSS_HEADS.items()},
}


# Filters that are placed by what tells the classes of the training folds apart.
INFORMED = {
    "information, fixed": Lever("gaussian", NONE, FIXED),
    "information, learned": Lever("gaussian"),
}


def make_variants(
    names: Sequence[str], args: argparse.Namespace, n_classes: int, informed: Mapping[str, list[float]] = NONE
) -> list[Variant]:
    """Make variants of the names of levers and completed options.

    Args:
        names: Keys of ``LEVERS``, or of ``INFORMED``.
        args: Completed options.
        n_classes: Classes of the sounds.
        informed: Centers in Hz of ``INFORMED``, by the fold that is tested, and has no part in them.
    """

    def settings(name: str, seed: int, fold: str) -> dict[str, Any]:
        lever, placed = (INFORMED[name], {"init": informed[fold]}) if name in INFORMED else (LEVERS[name], NONE)
        own = argparse.Namespace(**{**vars(args), **lever.options, **placed})
        return {"model": model_settings(lever.frontend, own, n_classes, seed, heads=HEADS, **lever.training)}

    return [Variant(name, partial(settings, name)) for name in names]
