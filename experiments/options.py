"""The parts that experiments share: the command line, the sounds, and the procedure."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.arguments import make_parser, not_negative, not_negative_int, positive, positive_int
from experiments.data.catalog import Catalog, read_catalog
from experiments.data.generated import KINDS, make_folder
from experiments.data.reading import duration, native_rate
from experiments.data.store import Store
from experiments.files import BadDataError, check_among, check_folder, command, write_whole
from experiments.frontends import add_frontend_options, frontend_settings
from experiments.grid import Variant, make_runs, run_grid
from experiments.runs import Result, describe_machine, instantiate
from learnable_frontends import Frontend

Report = Callable[[list[Result], Path], str]


def build_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """Build a parser with the options of every experiment; ``out`` is where its files go by default."""
    parser = make_parser(f"experiments.{Path(out).name}", description)
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder (default: %(default)s)")
    parser.add_argument("--jobs", type=positive_int, default=1, help="runs at the same time (default: %(default)s)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler, whose workers do the runs")
    add_sound_options(parser.add_argument_group("sounds"))
    add_frontend_options(parser.add_argument_group("front-ends"))
    group = parser.add_argument_group("training")
    group.add_argument("--folds", nargs="+", help="folds to test on (default: all; synthetic: 1 2)")
    group.add_argument("--seeds", type=not_negative_int, nargs="+", default=[0], help="one run for each (default: 0)")
    group.add_argument("--epochs", type=positive_int, help="passes over the clips (default: 25 with --data, else 10)")
    group.add_argument("--batch-size", type=positive_int, default=16, help="clips per step (default: %(default)s)")
    group.add_argument("--lr", type=positive, default=2e-3, help="network, heads: highest (default: %(default)s)")
    group.add_argument("--frontend-lr", type=not_negative, default=1e-2, help="filters: highest (default: %(default)s)")
    group.add_argument(
        "--average",
        type=not_negative,
        default=0.0,
        help="average weights over this last share of steps (default: %(default)s)",
    )
    group.add_argument(
        "--rotations",
        type=positive_int,
        default=1,
        help="starting points in a test clip (default: %(default)s)",
    )
    group.add_argument("--mixup", type=not_negative, default=0.4, help="Beta parameter, 0: none (default: %(default)s)")
    return parser


def add_sound_options(group: argparse._ActionsContainer, *, generated: bool = True) -> None:
    """Add the options that `open_sounds` reads, but for ``data`` where sounds cannot be generated."""
    if generated:
        group.add_argument("--data", type=Path, help="folder of class folders; without it, synthetic sounds")
        group.add_argument("--synthetic", choices=KINDS, default="urban", help="which sounds (default: %(default)s)")
    usual = "22050 with --data, else 16000" if generated else "that of most clips"
    group.add_argument("--sample-rate", type=positive_int, help=f"Hz (default: {usual})")
    group.add_argument(
        "--seconds", type=positive, help="clip length in s (default: fits 9 in 10, at most 10; synthetic: 2)"
    )
    group.add_argument("--windows", type=positive, metavar="S", help="train on windows of S seconds of long recordings")
    group.add_argument("--limit", type=positive_int, help="clips per class (default: all; synthetic: 60)")
    group.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be used")
    group.add_argument("--table", type=Path, help="CSV of file, label, and fold or group")
    group.add_argument("--group", metavar="PATTERN", help="regex; clips with the same match share a fold")
    group.add_argument("--random-folds", action="store_true", help="draw folds, even if file names define some")
    group.add_argument("--make-folds", type=positive_int, default=5, help="folds to draw (default: %(default)s)")


def fill(args: argparse.Namespace, **values: Any) -> None:
    """Set options that were left out."""
    for name, value in values.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def open_sounds(
    args: argparse.Namespace, cache: Path, *, sample_rate: int | None = 22050
) -> tuple[Store, dict[str, Any]]:
    """Decode the clips that the options of `add_sound_options` choose, and complete these options.

    Args:
        args: The options.
        cache: Folder for decoded clips.
        sample_rate: That of clips on disk if the options have none; ``None`` for the most common one of the files.

    Returns:
        The clips, and the ``data`` settings of a run that uses them.

    Raises:
        BadDataError: If they cannot be used.
    """
    options: dict[str, Any] = {}
    if args.data is None:
        for name in ("table", "group", "windows"):
            if getattr(args, name) is not None:
                raise BadDataError(f"--{name} must be left out without --data, got {getattr(args, name)}")
        fill(args, sample_rate=16000, seconds=2.0, limit=60)
        sounds = (args.synthetic, args.sample_rate, args.seconds, args.limit, args.make_folds)
        root = make_folder(cache / "sounds", *sounds)
    else:
        fill(args, sample_rate=sample_rate)
        root = args.data
        options = {"make_folds": args.make_folds, "limit": args.limit, "group": args.group}
        options |= {"folds": "random"} if args.random_folds else {}
        options |= {"table": str(args.table)} if args.table is not None else {}
    catalog = read_catalog("folders", root, skip_bad=args.skip_bad, **options)
    if args.sample_rate is None:
        args.sample_rate = _usual_rate(catalog)
    if args.windows is not None and args.seconds is not None:
        raise BadDataError("--seconds must be left out with --windows, which is the length of what is trained on")
    if args.windows is None and args.seconds is None:
        args.seconds = _usual_seconds(catalog)
    store = Store(catalog, args.sample_rate, cache, seconds=args.seconds, skip_bad=args.skip_bad)
    data = {
        "root": str(root),
        "options": options,
        "sample_rate": args.sample_rate,
        "cache": str(cache),
        "seconds": args.seconds,
        "window": args.windows,
        "rotate": args.windows is None,
        "skip_bad": args.skip_bad,
    }
    return store, data


def describe_sounds(store: Store, args: argparse.Namespace) -> list[str]:
    """Sentences that a reader of results should know of the clips."""
    count = f"{len(store)} clips in {len(store.catalog.classes)} classes"
    seconds = [store.length(i) / store.sample_rate for i in range(len(store))]
    if args.windows is not None:
        return [*store.notes(), f"{count}, {sum(seconds) / 60:.1f} minutes, in windows of {args.windows:g} s"]
    short = sum(s < args.seconds - 0.5 / store.sample_rate for s in seconds)
    return [*store.notes(), f"{count} of {args.seconds:g} s: {short} shorter ones are padded with zeros"]


def conduct(
    program: str,
    args: argparse.Namespace,
    variants: Callable[[argparse.Namespace, int], Sequence[Variant]],
    report: Report,
) -> int:
    """Train every variant on every fold and seed, and report.

    Args:
        program: Name of the experiment, for messages.
        args: What its parser returned.
        variants: From completed options and the number of classes to the variants.
        report: Writes tables and pictures of the results into the output folder, and returns what the screen shows.

    Returns:
        Exit status: 2 if the arguments or the sounds cannot be used.
    """
    return command(lambda: print(report(train_all(args, variants), args.out)), program)


def train_all(
    args: argparse.Namespace, variants: Callable[[argparse.Namespace, int], Sequence[Variant]]
) -> list[Result]:
    """Train every variant on every fold and seed, print what a reader should know, and return the results.

    Raises:
        BadDataError: If the arguments or the sounds cannot be used.
    """
    check_folder("--out", args.out)
    store, data = open_sounds(args, args.out / "cache")
    if args.data is not None:
        fill(args, n_filters=80, epochs=25, folds=store.catalog.folds)
    else:
        fill(args, n_filters=40, epochs=10, folds=["1", "2"])
    check_among("--folds", args.folds, store.catalog.folds)
    fewest = min(sum(clip.fold != fold for clip in store.catalog.clips) for fold in args.folds)
    if not 2 <= args.batch_size <= fewest:
        raise BadDataError(f"--batch-size must be from 2 to the {fewest} training clips, got {args.batch_size}")
    chosen = variants(args, len(store.catalog.classes))
    base = {
        "trainer": {"max_epochs": args.epochs, "accelerator": "cpu"},
        "data": data | {"batch_size": args.batch_size},
    }
    runs = make_runs(base, chosen, args.folds, args.seeds, args.out)
    clip = torch.from_numpy(store.read(0))
    for run in runs[: len(chosen)]:  # what does not fit is refused now, not in the third hour
        _try(run.settings["model"]["frontend"], clip, args)
    store.claim(args.out / "clips.csv")
    notes = describe_sounds(store, args)
    _record(args, notes)
    print("\n".join(notes))
    return run_grid(runs, args.out / "clips.csv", jobs=args.jobs, cluster=args.cluster)


def model_settings(
    frontend: str,
    args: argparse.Namespace,
    n_classes: int,
    seed: int,
    *,
    heads: dict[str, Any] | None = None,
    normalize: str = "filter",
    **training: Any,
) -> dict[str, Any]:
    """Return the ``model`` of a run: a front-end, the small network, and how they are trained.

    Args:
        frontend: A name of `experiments.frontends.ALL_NAMES`.
        args: Completed options.
        n_classes: Classes of the sounds.
        seed: Of the run.
        heads: Keyword arguments of `MultiHeadRelevance`, for a name with heads.
        normalize: As `experiments.training.networks.SmallCNN` takes it.
        training: Other arguments of `experiments.training.classifier.Classifier`.
    """
    adamw = {"lr": args.lr, "weight_decay": 1e-2, "fused": True}  # a millisecond a step faster on a CPU
    network = {"n_classes": n_classes, "n_filters": args.n_filters, "normalize": normalize}
    return {
        "frontend": frontend_settings(frontend, args, seed, heads),
        "network": {"class_path": "experiments.training.networks.SmallCNN", "init_args": network},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": adamw},
        "frontend_lr": args.frontend_lr,
        "decay": {"class_path": "experiments.training.rates.OneCycle"},
        "mixup": args.mixup,
        "average": args.average,
        "rotations": args.rotations,
        **training,
    }


def _usual_rate(catalog: Catalog) -> int:
    """Return the most common sample rate of the clips, and print it."""
    found = Counter(rate for clip in catalog.clips if (rate := native_rate(clip.path)) is not None)
    if not found:
        return 22050  # decoding tells what is wrong with the files
    rate, count = found.most_common(1)[0]
    print(f"sample rate: {rate} Hz, as {count} of {len(catalog.clips)} clips have (--sample-rate chooses another)")
    return rate


def _usual_seconds(catalog: Catalog) -> float:
    """Length that nine in ten clips do not exceed, at most ten seconds."""
    lengths = sorted(duration(clip.path) for clip in catalog.clips)
    usual = lengths[(9 * len(lengths) + 9) // 10 - 1]
    if statistics.median(lengths) > 60:
        print("clips are long and only their first 10 s are used (--windows S trains on all)", file=sys.stderr)
    return max(0.05, min(usual, 10.0))


def _try(settings: dict[str, Any], clip: torch.Tensor, args: argparse.Namespace) -> None:
    frontend: Frontend = instantiate(Frontend, settings)
    length = round((args.windows or args.seconds) * args.sample_rate)
    try:
        with torch.no_grad():
            frontend(torch.nn.functional.pad(clip[:length], (0, max(0, length - len(clip)))))
    except (TypeError, ValueError) as problem:
        raise BadDataError(str(problem)) from problem


def _record(args: argparse.Namespace, notes: list[str]) -> None:
    """Write ``command.json``: what was asked for, with which versions."""
    record = {
        "arguments": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "notes": notes,
        **describe_machine(),
    }
    write_whole(args.out / "command.json", json.dumps(record, indent=2) + "\n")
