"""Measure how far the masks of trained relevance heads are from constant, and in what they vary.

Takes folders of finished runs with heads, each of which is examined on its test clips. Every head is compared with
untrained heads on the same features. Frames near the ends of a clip, where a head reads zeros instead of features, are
drawn but not counted.

Writes to --out: masks_*.png, the masks of one clip over the features that they weight; mean_masks_*.png, the mean mask
of each class; statistics.csv and classes.csv.
"""

from __future__ import annotations

import copy
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from experiments.arguments import make_parser
from experiments.figures import save
from experiments.files import BadDataError, check_different, check_folder, command, write_rows
from experiments.runs import load_frontend, open_test_clips, read_result
from experiments.statistics import mean_and_spread
from experiments.tables import Row, plain_table
from learnable_frontends import MultiHeadRelevance, RelevanceWeighting
from learnable_frontends.analysis import mask_statistics
from learnable_frontends.plotting import plot_masks, plot_mean_masks

DRAWS = 10  # untrained heads to average over
BATCH = 16  # clips at a time
COLUMNS = ("mean", "total", "between_bands", "between_clips", "between_classes", "within_clip", "level")
MEANINGS = """
Weights of held-out clips. Total: standard deviation of all bins; its square is the sum of the squares of between bands,
between clips and within clip. Between classes is part of between clips. Level: correlation of weights with the features
they weight. Untrained: means of {draws} draws, for level of its size. Classes: mean weight minus that of all classes. ±
is the standard deviation over runs.
{out}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and draw; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.masks", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs with heads")
    parser.add_argument("--out", type=Path, default=Path("runs/masks"), help="output folder (default: %(default)s)")
    parser.add_argument("--clip", help="clip to draw, CLASS/FILE (default: the first test clip of the first run)")
    args = parser.parse_args(argv)

    def work() -> None:
        runs = [HeadsRun(folder, f"{folder.resolve().parent.name}-{folder.name}") for folder in args.runs]
        check_different("runs", [run.label for run in runs])
        clip = args.clip or runs[0].names[0]
        if clip not in {name for run in runs for name in run.names}:
            raise BadDataError(f"--clip must be one that a run was tested on, as {runs[0].names[0]}, got {clip}")
        check_folder("--out", args.out)
        rows: list[Row] = []
        classes: list[Row] = []
        for run in tqdm(runs, unit="run"):
            run.examine(clip, args.out, rows, classes)
        write_rows(args.out / "statistics.csv", rows)
        write_rows(args.out / "classes.csv", classes)
        print("\n\n".join(_tables(rows, classes)) + "\n" + MEANINGS.format(draws=DRAWS, out=args.out))

    return command(work, "experiments.masks")


class HeadsRun:
    """A run with heads, and the clips it was tested on."""

    def __init__(self, folder: Path, label: str) -> None:
        if (result := read_result(folder)) is None:
            raise BadDataError(f"{folder} has no finished run")
        if not isinstance(frontend := load_frontend(folder), MultiHeadRelevance):
            raise BadDataError(f"{folder} has no relevance heads (those of a front-end called ...+heads have)")
        self.label, self.result, self.frontend, self.clips = label, result, frontend, open_test_clips(result)
        catalog = self.clips.store.catalog
        self.classes = catalog.classes
        self.names = [catalog.name(i) for i, _ in self.clips.items]

    def features(self) -> tuple[Tensor, Tensor]:
        """Return what the heads weight in each clip, shape ``(clips, n_filters, frames)``, and the labels."""
        examples = [self.clips[0, k] for k in range(len(self.clips))]
        if len({len(waveform) for waveform, _, _ in examples}) > 1:
            raise BadDataError(f"{self.result.folder} must have clips of one length (data.seconds), got several")
        waveforms = torch.stack([torch.from_numpy(waveform) for waveform, _, _ in examples])
        with torch.no_grad():
            features = torch.cat([self.frontend.frontend(batch) for batch in waveforms.split(BATCH)])
        return features, torch.tensor([label for _, label, _ in examples])

    def examine(self, clip: str, out: Path, rows: list[Row], classes: list[Row]) -> None:
        """Measure and draw; what is measured is added to ``rows`` and ``classes``."""
        relevance = self.frontend.relevance
        features, labels = self.features()
        trained, means = measure(relevance, features, labels)
        key = {"run": self.label, "front-end": self.result.variant, "fold": self.result.key[0]}
        for kind, found in (("trained", trained), ("untrained", measure_untrained(relevance, features, labels))):
            rows += [{**key, "head": head, "heads": kind, **row} for head, row in enumerate(found, start=1)]
        names = [self.classes[label] for label in labels.unique().tolist()]
        for head, part in enumerate(relevance.parts, start=1):
            weights = means[:, part].mean(1)
            for name, weight, more in zip(names, weights.tolist(), (weights - weights.mean()).tolist(), strict=True):
                classes.append({**key, "head": head, "class": name, "weight": weight, "more": more})
        fig, ax = plot_mean_masks(dict(zip(names, means, strict=True)), self.frontend)
        ax.set_title(f"{self.label}: mean masks of {len(labels)} held-out clips")
        save(fig, out / f"mean_masks_{self.label}.png")
        if clip in self.names:
            fig = _draw_masks(self.frontend, features[self.names.index(clip)])
            fig.suptitle(f"{self.label}: {clip}")
            save(fig, out / f"masks_{self.label}.png", dpi=80)


def measure(relevance: RelevanceWeighting, features: Tensor, labels: Tensor) -> tuple[list[dict[str, float]], Tensor]:
    """Measure the masks that heads compute from features.

    Args:
        relevance: The heads.
        features: What they weight, shape ``(clips, n_filters, frames)``.
        labels: Class of each clip, shape ``(clips,)``.

    Returns:
        For each head the fields of `MaskStatistics`, ``between_classes``, the part of ``between_clips`` that the
        means of the classes have, and ``level``, the correlation of weights with the features they weight; and the
        mean mask of each class, shape ``(classes, n_filters)``, classes in the order of their numbers.

    Raises:
        BadDataError: If no frame has all its context inside the clip.
    """
    context, frames = relevance.context, features.shape[-1]
    if frames <= 2 * context:
        raise BadDataError(f"clips must have more than {2 * context} frames, the context of the heads, got {frames}")
    with torch.no_grad():
        masks = torch.cat([relevance.masks(batch) for batch in features.split(BATCH)])
    masks, features = (values[..., context : frames - context] for values in (masks, features))
    of_clips = masks.mean(-1)
    means = torch.stack([of_clips[labels == label].mean(0) for label in labels.unique()])
    of_heads, of_means = (mask_statistics(values, relevance.parts) for values in (masks, means[:, :, None]))
    rows = []
    for part, of_head, of_mean in zip(relevance.parts, of_heads, of_means, strict=True):
        level = torch.corrcoef(torch.stack([masks[:, part].flatten(), features[:, part].flatten()]).double())[0, 1]
        rows.append({**of_head._asdict(), "between_classes": of_mean.between_clips, "level": float(level)})
    return rows, means


def measure_untrained(relevance: RelevanceWeighting, features: Tensor, labels: Tensor) -> list[dict[str, float]]:
    """Measure fresh heads of the same kind: means over ``DRAWS`` draws, for ``level`` of its size."""
    draws = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        fresh = copy.deepcopy(relevance)
        fresh.reset_parameters()
        draws.append(measure(fresh, features, labels)[0])
    return [
        {name: statistics.fmean(abs(draw[head][name]) for draw in draws) for name in COLUMNS}
        for head in range(relevance.n_heads)
    ]


def _draw_masks(frontend: MultiHeadRelevance, features: Tensor) -> Figure:
    """Draw each head's mask over the features it weights, and beside it the mask alone, the highest head on top."""
    parts = frontend.relevance.parts
    heights = [max(0.3, len(part) / frontend.n_filters) for part in reversed(parts)]
    fig = Figure((12.0, 0.4 + 6.0 * sum(heights)), layout="constrained")
    axes = fig.subplots(len(parts), 2, sharex=True, squeeze=False, height_ratios=heights)
    with torch.no_grad():
        masks = frontend.relevance.masks(features)
    for (over, alone), head in zip(axes, reversed(range(len(parts))), strict=True):
        plot_masks(masks, frontend, head=head, features=features, ax=over)
        plot_masks(masks, frontend, head=head, ax=alone)
    for ax in axes.flat:
        ax.label_outer()
    return fig


def _tables(rows: Sequence[Row], classes: Sequence[Row]) -> Iterable[str]:
    """Tables for the screen: each run, and each front-end and class over its runs."""
    titles = [column.replace("_", " ") for column in COLUMNS]
    for first in ("run", "front-end"):
        groups = _group(rows, first, "head", "heads")
        lines = [[*map(str, key), *(_spread([row[c] for row in own]) for c in COLUMNS)] for key, own in groups.items()]
        if first == "run" or len(lines) < len(rows):
            yield plain_table([[first, "head", "", *titles], *lines])
    columns = _group(classes, "front-end", "head")
    names = dict.fromkeys(row["class"] for row in classes)
    lines = [
        [name, *(_spread([row["more"] for row in own if row["class"] == name], "+") for own in columns.values())]
        for name in names
    ]
    yield plain_table([["class", *(f"{name} {head}" for name, head in columns)], *lines])


def _group(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _spread(values: Sequence[float], sign: str = "") -> str:
    mean, spread = mean_and_spread(values)
    if mean is None:
        return "-"  # no run was tested on a clip of this class
    return f"{mean:{sign}.3f}" + ("" if spread is None else f" ± {spread:.3f}")


if __name__ == "__main__":
    sys.exit(main())
