"""Train one small classifier on top of each front-end, jointly, and compare: the main job of this package.

Without --data it makes its own sounds: ten synthetic classes named after UrbanSound8K's. With --data DIR it reads
DIR/<class>/<clip>.wav|flac|ogg; folds come from a leading digit of the file names, or are made.

Everything goes to --out: results.csv, results.json, per_class.csv and confusion matrices, the exact configuration,
pictures, a checkpoint per front-end, and the cells of the comparison. The same command run again goes on where it was
stopped: finished cells are not run again, and a kill costs one epoch at most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

# A core that is busy with something else must not make OpenMP's other threads spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Workers keep large blocks of memory rather than give them back and page them in anew each step (glibc).
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**40))

import reporting
import torch
from frontends import NAMES, build_frontend
from sound_folders import BadSoundsError, SoundSet, load_folder
from synthetic_sounds import synthesize
from tqdm import tqdm
from training import Cell, Settings, train

import learnable_frontends


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; see the module's docstring and ``--help``."""
    args = _parser().parse_args(argv)
    try:
        sounds = _sounds(args)
        cells = _cells(args, sounds)
        for name, config in {cell.frontend: cell.config for cell in cells}.items():
            build_frontend(name, config)(
                sounds.waveforms[:1]
            )  # what does not fit is refused now, not in the third hour
    except (TypeError, ValueError) as problem:
        return _refuse(str(problem))
    settings = Settings(args.epochs, args.batch_size, args.lr, args.frontend_lr, args.mixup)
    fewest = len(sounds.labels) - int(sounds.folds.bincount().max())
    if not 2 <= args.batch_size <= fewest:
        return _refuse(f"--batch-size must be from 2 to the {fewest} training clips, got {args.batch_size}")
    out: Path = args.out
    (out / "cells").mkdir(parents=True, exist_ok=True)
    if conflict := _record_configuration(out, args, sounds):
        return _refuse(conflict)
    for note in sounds.notes:
        print(note)
    results = _run(cells, sounds, settings, out / "cells", args.jobs)
    print(reporting.report(results, sounds, out))
    return 0


def _refuse(problem: str) -> int:
    print(f"compare_frontends.py: {problem}", file=sys.stderr)
    return 2


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/compare"), help="output folder (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=_positive, default=1, help="cells trained at the same time (default: %(default)s)"
    )

    group = parser.add_argument_group("sounds")
    group.add_argument("--data", type=Path, help="folder of class folders; without it, synthetic sounds")
    group.add_argument("--sample-rate", type=_positive, help="Hz (default: 22050 with --data, else 16000)")
    group.add_argument(
        "--seconds", type=float, help="clip length (default: what 9 in 10 clips do not exceed; synthetic: 2)"
    )
    group.add_argument("--limit", type=_positive, help="clips per class (default: all; synthetic: 60)")
    group.add_argument(
        "--skip-bad", action="store_true", help="leave out clips that cannot be used, instead of stopping"
    )
    group.add_argument(
        "--make-folds", type=int, default=5, help="folds, where file names have none (default: %(default)s)"
    )
    group.add_argument(
        "--folds", type=int, nargs="+", help="folds to hold out in turn (default: all; synthetic: the first two)"
    )

    group = parser.add_argument_group("front-ends")
    group.add_argument(
        "--frontends", nargs="+", default=list(NAMES), choices=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    group.add_argument("--n-filters", type=int, help="filters (default: 80 with --data, else 40)")
    group.add_argument("--win-length", type=int, help="samples per frame (default: 25 ms)")
    group.add_argument("--hop-length", type=int, help="samples from frame to frame (default: 10 ms)")
    group.add_argument("--log-offset", type=float, default=1e-3, help="added before the log (default: %(default)s)")
    group.add_argument("--init", default="mel", help="scale that centers start on (default: %(default)s)")
    group.add_argument("--width", type=float, default=5.0, help="cos-Gauss: periods (default: %(default)s; eq. 1 is 1)")
    group.add_argument("--gain", default="raw", choices=("raw", "peak"), help="sinc, cos-Gauss (default: %(default)s)")
    group.add_argument("--heads", type=int, default=2, help="relevance heads (default: %(default)s)")
    group.add_argument(
        "--context", type=int, default=10, help="frames a head reads on each side (default: %(default)s)"
    )

    group = parser.add_argument_group("training")
    group.add_argument(
        "--epochs", type=_positive, help="passes over the training clips (default: 25 with --data, else 10)"
    )
    group.add_argument("--seeds", type=int, nargs="+", default=[0], help="one cell a seed and fold (default: 0)")
    group.add_argument("--batch-size", type=int, default=16, help="clips a step (default: %(default)s)")
    group.add_argument("--lr", type=float, default=2e-3, help="classifier, heads: highest rate (default: %(default)s)")
    group.add_argument("--frontend-lr", type=float, default=1e-2, help="filters: highest rate (default: %(default)s)")
    group.add_argument("--mixup", type=float, default=0.4, help="Beta parameter, 0 for none (default: %(default)s)")
    return parser


def _sounds(args: argparse.Namespace) -> SoundSet:
    if args.data is not None:
        _default(args, sample_rate=22050, n_filters=80, epochs=25)
        return load_folder(
            args.data,
            args.sample_rate,
            seconds=args.seconds,
            n_folds=args.make_folds,
            skip_bad=args.skip_bad,
            limit=args.limit,
        )
    _default(args, sample_rate=16000, n_filters=40, epochs=10, seconds=2.0, limit=60, folds=[1, 2])
    waveforms, classes = synthesize(args.sample_rate, args.seconds, args.limit, seed=0)
    index = torch.arange(len(waveforms))
    labels = index // args.limit
    names = [f"{classes[label]}/{i % args.limit}" for i, label in enumerate(labels.tolist())]
    folds = 1 + index % args.make_folds
    notes = [f"{len(waveforms)} synthetic clips of {args.seconds:g} s in {len(classes)} classes"]
    return SoundSet(torch.from_numpy(waveforms), labels, folds, classes, names, args.sample_rate, notes)


def _default(args: argparse.Namespace, **values: Any) -> None:
    for name, value in values.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _cells(args: argparse.Namespace, sounds: SoundSet) -> list[Cell]:
    present = sounds.folds.unique().tolist()
    folds = args.folds or present
    if missing := sorted(set(folds) - set(present)):
        raise BadSoundsError(f"--folds must be among {present}, got {missing}")
    shared = {
        "sample_rate": args.sample_rate,
        "n_filters": args.n_filters,
        "win_length": args.win_length,
        "hop_length": args.hop_length,
        "log_offset": args.log_offset,
    }
    own: dict[str, dict[str, Any]] = {
        "mel": {},
        "sinc": {"init": args.init, "gain": args.gain},
        "cos-gauss": {"init": args.init, "gain": args.gain, "width": args.width},
    }
    heads = {"heads": {"n_heads": args.heads, "context": args.context}}
    return [
        Cell(name, {**shared, **own[name.partition("+")[0]], **(heads if "+" in name else {})}, fold, seed)
        for fold in folds
        for seed in args.seeds
        for name in args.frontends
    ]


def _record_configuration(out: Path, args: argparse.Namespace, sounds: SoundSet) -> str | None:
    """Write ``config.json``, or say why this run does not belong into ``out``."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    # What may change between a run and its continuation without changing any cell.
    free = {"out", "jobs", "frontends", "folds", "seeds"}
    path = out / "config.json"
    if path.exists():
        before = json.loads(path.read_text())["arguments"]
        if changed := [name for name in settings if name not in free and settings[name] != before.get(name)]:
            differences = ", ".join(f"{name} {before.get(name)} -> {settings[name]}" for name in changed)
            return f"--out holds a run with other settings ({differences}); name another folder: {out}"
    configuration = {
        "arguments": settings,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "clips": len(sounds.labels),
        "notes": sounds.notes,
        "versions": {
            "learnable_frontends": learnable_frontends.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        },
    }
    path.write_text(json.dumps(configuration, indent=2) + "\n")
    return None


def _run(cells: list[Cell], sounds: SoundSet, settings: Settings, folder: Path, jobs: int) -> list[dict[str, Any]]:
    """Train all cells, ``jobs`` at a time, and give their results in the order of ``cells``."""
    with tqdm(total=len(cells) * settings.epochs, unit="epoch", smoothing=0.05) as bar:
        if jobs == 1:
            results = []
            for cell in cells:
                bar.set_description(cell.name)
                results.append(train(cell, sounds, settings, folder, bar.update))
            return results
        # Workers read the clips from one mapped file: nothing is decoded twice, nothing copied.
        shared = folder / "sounds.pt"
        torch.save(vars(sounds), shared)
        context = get_context("spawn")
        with context.Manager() as manager:
            ticks = manager.Queue()
            threads = max(1, (os.cpu_count() or 1) // jobs)
            pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(shared, threads))
            with pool:
                futures = [pool.submit(_train_in_worker, cell, settings, folder, ticks) for cell in cells]
                try:
                    _follow(futures, ticks, bar)
                    return [future.result() for future in futures]
                finally:
                    for future in futures:
                        future.cancel()
                    shared.unlink()


def _follow(futures: list[Future[dict[str, Any]]], ticks: Any, bar: Any) -> None:
    """Move the bar while workers work; stop at the first failure."""
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        try:
            while True:
                bar.set_description(ticks.get_nowait(), refresh=False)
                bar.update()
        except queue.Empty:
            pass
        for future in finished:
            future.result()


_worker_sounds: SoundSet


def _start_worker(shared: Path, threads: int) -> None:
    global _worker_sounds
    torch.set_num_threads(threads)
    _worker_sounds = SoundSet(**torch.load(shared, mmap=True, weights_only=True))


def _train_in_worker(cell: Cell, settings: Settings, folder: Path, ticks: Any) -> dict[str, Any]:
    def tick() -> None:
        parent = parent_process()
        if parent is None or not parent.is_alive():
            os._exit(1)  # killed: do not train on unseen, the epoch is saved
        ticks.put(cell.name)

    return train(cell, _worker_sounds, settings, folder, tick)


if __name__ == "__main__":
    sys.exit(main())
