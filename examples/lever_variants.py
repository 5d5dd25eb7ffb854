"""The lines of the table of levers: front-ends that differ in one thing, and what mel gets of the same."""

from __future__ import annotations

from typing import Any

from experiment import Variant
from training import Recipe

WIDE: dict[str, Any] = {"width": 0.5}
NARROWING = {**WIDE, "learn_width": True}
SPACED = {"width": "spacing"}
HEADS = {"n_heads": 2, "context": 10}
SMALL_OFFSET = {"log_offset": 1e-6}
# Energies of mel are sums of powers, those of cos-Gauss means of squares: for noise the ratio is 130 to 860 for the
# middle filter of 80 to 8, so this is about the floor for mel that 1e-3 is for cos-Gauss.
LARGE_OFFSET = {"log_offset": 0.3}
HANN = {"window": "hann"}
LEARNED_OFFSET = {"compression": "learned-log"}
PCEN = {"compression": "pcen"}
LEVERS: dict[str, tuple[dict[str, Any], Recipe]] = {
    # How much, and when, filters learn.
    "fixed": ({}, Recipe(frontend_lr=0.0)),
    "rate 0.003": ({}, Recipe(frontend_lr=0.003)),
    "rate 0.1": ({}, Recipe(frontend_lr=0.1)),
    "warm-up": ({}, Recipe(schedule="warm-up")),
    "filters first": ({}, Recipe(schedule="filters-first")),
    "filters last": ({}, Recipe(schedule="filters-last")),
    "natural steps": ({}, Recipe(frontend_lr=0.1, natural=True)),
    "repulsion": ({}, Recipe(repulsion=1.0)),
    # Where they start.
    "linear start": ({"init": "linear"}, Recipe()),
    "ERB start": ({"init": "erb"}, Recipe()),
    "random start": ({"init": "random"}, Recipe()),
    "bad start": ({"init": "bad"}, Recipe()),
    # Their shape.
    "learned width": ({"learn_width": True}, Recipe()),
    "wide": (WIDE, Recipe()),
    "fixed, wide": (WIDE, Recipe(frontend_lr=0.0)),
    "wide to narrow": (NARROWING, Recipe()),
    "width of spacing": (SPACED, Recipe()),
    "learned from spacing": (SPACED | {"learn_width": True}, Recipe()),
    "fixed, width of spacing": (SPACED, Recipe(frontend_lr=0.0)),
    # What comes after them.
    "peak gain": ({"gain": "peak", "log_offset": 1e-7}, Recipe()),
    "small offset": (SMALL_OFFSET, Recipe()),
    "learned offset": (LEARNED_OFFSET, Recipe()),
    "PCEN": (PCEN, Recipe()),
    "one normalization": ({}, Recipe(normalize="all")),
    # How frames are cut: the sidelobes of Hamming's window let a loud low sound into every high filter.
    "Hann window": (HANN, Recipe()),
    "fixed, Hann window": (HANN, Recipe(frontend_lr=0.0)),
    # Together.
    "Hann window, rate 0.01": (HANN, Recipe(frontend_lr=0.01)),
    "bad start, wide to narrow": ({"init": "bad", **NARROWING}, Recipe()),
    "wide to narrow, natural steps": (NARROWING, Recipe(frontend_lr=0.1, natural=True)),
}
STAGES = {"heads": "jointly", "heads, filters first": "filters-first", "heads, filters last": "filters-last"}


def _variants() -> list[Variant]:
    mel: dict[str, dict[str, Any]] = {"large offset": LARGE_OFFSET, "learned offset": LEARNED_OFFSET, "PCEN": PCEN}
    return [
        Variant("mel", "mel", {}),
        *(Variant(f"mel, {name}", "mel", {}, settings) for name, settings in mel.items()),
        Variant("mel, Hamming window", "mel", {}, {"window": "hamming"}),
        Variant("mel, one normalization", "mel", {}, recipe=Recipe(normalize="all")),
        Variant("mel, heads", "mel+heads", HEADS),
        Variant("mel, large offset, heads", "mel+heads", HEADS, LARGE_OFFSET),
        Variant("learnable mel", "learnable-mel", {}),
        Variant("learnable mel, triangles", "triangular-mel", {}),
        Variant("Gaussian", "gaussian", {}),
        Variant("sinc", "sinc", {}),
        Variant("sinc, Hann window", "sinc", {}, HANN),
        Variant("sinc, heads", "sinc+heads", HEADS),
        Variant("cos-gauss", "cos-gauss", {}),
        *(
            Variant(f"cos-gauss, {name}", "cos-gauss", {}, settings, recipe)
            for name, (settings, recipe) in LEVERS.items()
        ),
        *(
            Variant(f"cos-gauss, {name}", "cos-gauss+heads", HEADS, recipe=Recipe(schedule=schedule))
            for name, schedule in STAGES.items()
        ),
        Variant("cos-gauss, heads, Hann window", "cos-gauss+heads", HEADS, HANN),
        Variant("cos-gauss, wide to narrow, heads", "cos-gauss+heads", HEADS, NARROWING),
        Variant("cos-gauss, learned from spacing, heads", "cos-gauss+heads", HEADS, SPACED | {"learn_width": True}),
    ]


VARIANTS = {variant.name: variant for variant in _variants()}
