"""Say and draw what trained relevance heads do: how far their masks are from constant, and in what they vary.

Takes checkpoints of compare_frontends.py, files of its cells/ folder too, and the sounds they were trained on; each is
looked at on the clips of the fold that it has not seen. Beside every head stand untrained ones on the same features.
Frames near the ends of a clip, where a head reads zeros in place of features, are drawn but not counted.

Writes to --out: masks_*.png, the masks of one clip over the features they weight; mean_masks_*.png, the mean mask of
each class; statistics.csv and classes.csv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from checkpoints import FileError, choose_labels, read_checkpoint
from mask_measures import BATCH, COLUMNS, DRAWS, measure, measure_untrained
from matplotlib.figure import Figure
from reporting import mean_and_spread, plain_table, write_csv
from sound_folders import BadSoundsError, SoundSet
from sounds import add_sound_options, load_chosen
from torch import Tensor
from tqdm import tqdm

from learnable_frontends import MultiHeadRelevance
from learnable_frontends.plotting import plot_masks, plot_mean_masks


class Case(NamedTuple):
    """A checkpoint: its label, the name of its front-end, its fold, and the front-end itself."""

    label: str
    name: str
    fold: int
    frontend: MultiHeadRelevance


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path, help="files that compare_frontends.py saved, with heads")
    parser.add_argument("--out", type=Path, default=Path("runs/masks"), help="output folder (default: %(default)s)")
    parser.add_argument("--clip", help="clip to draw, CLASS/FILE (default: the first that the first checkpoint can)")
    add_sound_options(parser.add_argument_group("sounds, as in the run of the checkpoints"))
    options = parser.parse_args(arguments)
    try:
        cases, sounds = _load(options)
        clip = _choose_clip(options.clip, cases, sounds)
        options.out.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        classes: list[dict[str, Any]] = []
        for case in tqdm(cases, unit="checkpoint"):
            _examine(case, sounds, clip, options.out, rows, classes)
    except (BadSoundsError, FileError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    write_csv(options.out / "statistics.csv", rows)
    write_csv(options.out / "classes.csv", classes)
    print(_report(rows, classes))
    print(options.out)
    return 0


def _load(options: argparse.Namespace) -> tuple[list[Case], SoundSet]:
    """Read checkpoints and sounds, and see that they belong together."""
    read = [read_checkpoint(path, ("classes", "fold", "targets")) for path in options.checkpoints]
    names = [str(content.get("variant", content["frontend"])) for content, _ in read]
    labels = choose_labels(names, options.checkpoints)
    rate = read[0][1].sample_rate
    sounds = load_chosen(options, int(rate))
    cases = []
    for path, label, name, (content, frontend) in zip(options.checkpoints, labels, names, read, strict=True):
        if not isinstance(frontend, MultiHeadRelevance):
            raise FileError(f"{path} has no relevance heads (those of a front-end called ...+heads have)")
        if frontend.sample_rate != rate:
            raise FileError(f"{path} has {frontend.sample_rate:g} samples a second, the first checkpoint {rate:g}")
        targets = sounds.labels[sounds.folds == content["fold"]]
        if content["classes"] != sounds.classes or not torch.equal(content["targets"], targets):
            raise FileError(
                f"{path} was tested on other clips than fold {content['fold']} of these sounds "
                "(give --data and what else its run was given)"
            )
        cases.append(Case(label, name, content["fold"], frontend))
    return cases, sounds


def _choose_clip(name: str | None, cases: list[Case], sounds: SoundSet) -> int:
    """Place of the clip to draw among all clips; one of the checkpoints has not seen it."""
    held_out = torch.isin(sounds.folds, torch.tensor([case.fold for case in cases]))
    if name is None:
        return int((sounds.folds == cases[0].fold).nonzero()[0])
    if name not in sounds.names or not held_out[sounds.names.index(name)]:
        raise BadSoundsError(f"--clip must name a clip that a checkpoint holds out, as {sounds.names[0]}, got {name}")
    return sounds.names.index(name)


def _examine(
    case: Case, sounds: SoundSet, clip: int, out: Path, rows: list[dict[str, Any]], classes: list[dict[str, Any]]
) -> None:
    """Measure and draw one checkpoint; what is measured is added to ``rows`` and ``classes``."""
    bank, relevance = case.frontend.frontend, case.frontend.relevance
    held_out = sounds.folds == case.fold
    labels = sounds.labels[held_out]
    with torch.no_grad():
        features = torch.cat([bank(batch) for batch in sounds.waveforms[held_out].split(BATCH)])
    try:
        trained, means = measure(relevance, features, labels)
    except ValueError as error:
        raise BadSoundsError(str(error)) from error
    names = [sounds.classes[label] for label in labels.unique().tolist()]
    key = {"checkpoint": case.label, "frontend": case.name, "fold": case.fold}
    for kind, found in (("trained", trained), ("untrained", measure_untrained(relevance, features, labels))):
        rows += [{**key, "head": head, "heads": kind, **row} for head, row in enumerate(found, start=1)]
    for head, part in enumerate(relevance.parts, start=1):
        weights = means[:, part].mean(1)
        for name, weight, more in zip(names, weights.tolist(), (weights - weights.mean()).tolist(), strict=True):
            classes.append({**key, "head": head, "class": name, "weight": weight, "more": more})
    stem = case.label.replace("/", "_")
    fig, ax = plot_mean_masks(dict(zip(names, means, strict=True)), case.frontend)
    ax.set_title(f"{case.label}: mean masks of {len(labels)} held-out clips")
    fig.savefig(out / f"mean_masks_{stem}.png", dpi=110)
    plt.close(fig)
    if held_out[clip]:
        picture = features[int(held_out[:clip].sum())]
        fig = _draw_masks(case.frontend, picture)
        fig.suptitle(f"{case.label}: {sounds.names[clip]}")
        fig.savefig(out / f"masks_{stem}.png", dpi=80)


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


def _report(rows: list[dict[str, Any]], classes: list[dict[str, Any]]) -> str:
    """Tables for the screen: each checkpoint, and each front-end and class over its checkpoints."""
    titles = [column.replace("_", " ") for column in COLUMNS]
    each = [
        [row["checkpoint"], str(row["head"]), row["heads"], *(f"{row[column]:.3f}" for column in COLUMNS)]
        for row in rows
    ]
    lines = [plain_table([["checkpoint", "head", "", *titles], *each])]
    if len({row["checkpoint"] for row in rows}) > len({row["frontend"] for row in rows}):
        over = [
            [*map(str, key), *(_mean_and_spread([row[column] for row in group]) for column in COLUMNS)]
            for key, group in _group(rows, "frontend", "head", "heads").items()
        ]
        lines += ["", plain_table([["front-end", "head", "", *titles], *over])]
    columns = _group(classes, "frontend", "head")
    names = list(dict.fromkeys(row["class"] for row in classes))
    table = [[name] for name in names]
    for group in columns.values():
        of_class = _group(group, "class")
        for line in table:
            line.append(_mean_and_spread([row["more"] for row in of_class.get((line[0],), [])], "+"))
    lines += [
        "",
        plain_table([["class", *(f"{name} {head}" for name, head in columns)], *table]),
        "",
        "Weights of held-out clips. Total: standard deviation of all bins; its square is the sum of the squares of",
        "between bands, between clips and within clip. Between classes is part of between clips. Level: correlation",
        f"of weights with the features they weight. Untrained: means of {DRAWS} draws, for level of its size. Classes:",
        "mean weight minus that of all classes. ± is the standard deviation over checkpoints.",
    ]
    return "\n".join(lines)


def _group(rows: list[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _mean_and_spread(values: list[float], sign: str = "") -> str:
    mean, spread = mean_and_spread(values)
    if mean is None:
        return "-"  # no checkpoint holds out a clip of this class
    return f"{mean:{sign}.3f}" + ("" if spread is None else f" ± {spread:.3f}")


if __name__ == "__main__":
    sys.exit(main())
