"""The front-ends that experiments compare: from a name and options to the settings of a run."""

from __future__ import annotations

import argparse
from typing import Any

from experiments.arguments import not_negative, positive, positive_int
from experiments.starts import STARTS, choose_start
from learnable_frontends.functional import spaced_edges

FAMILIES = {
    "mel": "learnable_frontends.MelFrontend",
    "sinc": "learnable_frontends.SincFilterbank",
    "cos-gauss": "learnable_frontends.CosGaussFilterbank",
    "learnable-mel": "learnable_frontends.LearnableMelFilterbank",
    "gaussian": "learnable_frontends.GaussianFilterbank",
    "gabor": "learnable_frontends.GaborFilterbank",
    "two-windows": "learnable_frontends.ConcatFrontend",
    "long-mel": "learnable_frontends.MelFrontend",
    "triangular-mel": "experiments.training.triangles.TriangularMelFilterbank",
}
# What a comparison has unless it is told otherwise, and all that it can have.
NAMES = tuple(name + heads for heads in ("", "+heads") for name in ("mel", "sinc", "cos-gauss"))
ALL_NAMES = tuple(name + heads for heads in ("", "+heads") for name in FAMILIES)
WINDOWS = ("hann", "hamming")
COMPRESSIONS = ("log", "learned-log", "clip-log", "pcen")


def add_frontend_options(group: argparse._ActionsContainer) -> None:
    """Add the options that `frontend_settings` reads; those without a default depend on the sounds."""
    group.add_argument("--n-filters", type=positive_int, help="filters (default: 80 with --data, else 40)")
    group.add_argument("--win-length", type=positive_int, help="samples per frame (default: 25 ms)")
    group.add_argument("--hop-length", type=positive_int, help="samples from frame to frame (default: 10 ms)")
    group.add_argument("--kernel-size", type=positive_int, help="sinc, cos-gauss: taps, odd (default: 16 ms)")
    group.add_argument("--compression", default="log", choices=COMPRESSIONS, help="compression (default: %(default)s)")
    group.add_argument(
        "--log-offset", type=not_negative, default=1e-3, help="added before the log (default: %(default)s)"
    )
    group.add_argument("--init", default="mel", help=f"scale of centers, or {', '.join(STARTS)} (default: %(default)s)")
    group.add_argument(
        "--width", type=_width, default=5.0, help="cos-gauss: in periods, or spacing (default: %(default)s)"
    )
    group.add_argument("--learn-width", action="store_true", help="cos-gauss: also learn the width of each filter")
    group.add_argument("--window", default="hamming", choices=WINDOWS, help="sinc, cos-gauss (default: %(default)s)")
    group.add_argument("--gain", default="raw", choices=("raw", "peak"), help="sinc, cos-gauss (default: %(default)s)")


def frontend_settings(
    name: str, args: argparse.Namespace, seed: int, heads: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a front-end as ``class_path`` and ``init_args``.

    Args:
        name: A family of ``FAMILIES``, or one with ``"+heads"``.
        args: Options of `add_frontend_options`, and ``sample_rate``.
        seed: Of centers that start at random.
        heads: Keyword arguments of `MultiHeadRelevance`, for a name with heads.

    Raises:
        ValueError: If ``name`` is unknown.
    """
    if name not in ALL_NAMES:
        raise ValueError(f"name must be one of {ALL_NAMES}, got {name!r}")
    family, _, with_heads = name.partition("+")
    own: dict[str, Any] = {key: getattr(args, key) for key in ("sample_rate", "n_filters", "win_length", "hop_length")}
    if args.compression == "pcen":
        own["compression"] = {"class_path": "learnable_frontends.PCEN", "init_args": {"n_filters": args.n_filters}}
    else:
        log = {"offset": args.log_offset, "learn": args.compression == "learned-log"}
        own["compression"] = {"class_path": "learnable_frontends.Log", "init_args": log}
    if args.compression == "clip-log":
        stages = [own["compression"], {"class_path": "learnable_frontends.ClipNormalize"}]
        own["compression"] = {"class_path": "learnable_frontends.Chain", "init_args": {"stages": stages}}
    if family in ("sinc", "cos-gauss", "gaussian", "gabor"):
        own["init"] = choose_start(args.init, args.n_filters, args.sample_rate, seed)
    if family in ("sinc", "cos-gauss", "gabor"):
        own |= {"gain": args.gain, "kernel_size": args.kernel_size, "window": f"torch.{args.window}_window"}
    if family == "cos-gauss":
        own |= {"width": args.width, "learn_width": args.learn_width}
    if family == "mel" and getattr(args, "mel_window", None):
        own["window"] = f"torch.{args.mel_window}_window"
    if family == "two-windows":
        own = {"frontends": _two_windows(own)}
    if family == "long-mel":
        own["win_length"] = 2 * _window(own)
    settings = {"class_path": FAMILIES[family], "init_args": own}
    if not with_heads:
        return settings
    return {
        "class_path": "learnable_frontends.MultiHeadRelevance",
        "init_args": {"frontend": settings, **(heads or {})},
    }


def _two_windows(mel: dict[str, Any]) -> list[dict[str, Any]]:
    """Return two mel spectrograms in place of one: its lower filters with twice its window, its upper with half."""
    n, top, window = mel["n_filters"], mel["sample_rate"] / 2, _window(mel)
    border = float(spaced_edges(n, 0.0, top, "mel")[n // 2])
    parts = (
        {"n_filters": n // 2, "f_max": border, "win_length": 2 * window},
        {"n_filters": n - n // 2, "f_min": border, "win_length": 2 * (window // 4)},
    )
    return [{"class_path": FAMILIES["mel"], "init_args": mel | part} for part in parts]


def _window(own: dict[str, Any]) -> int:
    """Return the samples of a frame, 25 ms unless settings tell."""
    return int(own["win_length"] or round(0.025 * own["sample_rate"]))


def _width(text: str) -> float | str:
    return text if text == "spacing" else positive(text)
