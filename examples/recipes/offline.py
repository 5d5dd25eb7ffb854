"""Write augmented copies of training clips to disk, as the paper does (14k clips become 80k).

It first says how many clips and GiB it would write, and writes only with --yes. A run that is stopped goes on where it
was. OUT gets a table, augmented.csv (file, source, label, copy), and a FLAC file for each copy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import soundfile
from tqdm import tqdm

from recipes.catalog import BLIND, COPIES, READERS, BadDataError, Catalog, another, by_label, read_catalog
from recipes.files import write_table, write_whole
from recipes.spectrum_correction import REFERENCE, correction
from recipes.store import GIB, decode
from recipes.waveforms import WaveformAugmentation

BYTES = 2  # a sample of 16-bit FLAC, at most
SETTINGS = "settings.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=READERS)
    parser.add_argument("root", type=Path, help="folder of the data set")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--test_fold", default="test", help="fold that is left alone (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=5, help="of each training clip (default: %(default)s)")
    parser.add_argument("--sample_rate", type=int, default=44100, help="in Hz (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all changes (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--yes", action="store_true", help="write")
    options = parser.parse_args(arguments)
    if min(options.copies, options.sample_rate, options.jobs) < 1:
        parser.error("--copies, --sample_rate and --jobs must be at least 1")
    settings = {name: str(getattr(options, name)) for name in ("dataset", "sample_rate", "seed", "test_fold")}
    settings["root"] = str(options.root.resolve())
    kept = options.out / SETTINGS
    if kept.exists() and (before := json.loads(kept.read_text(encoding="utf-8"))) != settings:
        parser.error(f"{options.out} has copies made with {before}, not with {settings} (name another folder)")
    try:
        catalog = read_catalog(options.dataset, options.root)
        chosen = [i for i, clip in enumerate(catalog.clips) if clip.fold not in (options.test_fold, BLIND)]
        files = {i: soundfile.info(catalog.clips[i].path).duration for i in chosen}
    except (BadDataError, soundfile.LibsndfileError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    tasks = [(i, copy) for i in chosen for copy in range(options.copies)]
    todo = [i for i, copy in tasks if not (options.out / _name(catalog, i, copy)).exists()]
    seconds = sum(files[i] for i in todo)
    size, parent = seconds * options.sample_rate * BYTES, _existing(options.out)
    disk = shutil.disk_usage(parent)
    print(
        f"{len(todo):,} clips of {len(chosen):,}, {seconds / 3600:.1f} hours, at most "
        f"{size / GIB:.2f} GiB in {options.out}; {disk.free / GIB:.1f} GiB are free"
    )
    if disk.free - size < 0.1 * disk.total:
        print(f"{parser.prog}: error: less than a tenth of the disk would be left (fewer --copies)", file=sys.stderr)
        return 2
    if not options.yes:
        print("nothing written: --yes writes")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    write_whole(kept, json.dumps(settings))
    taps = correction(catalog, lambda i: decode(catalog.clips[i].path, options.sample_rate))
    augment = WaveformAugmentation(options.sample_rate, correction=taps, seed=options.seed)
    context = get_context("spawn")
    initial = (catalog, by_label(catalog, chosen), augment, options.out)
    with ProcessPoolExecutor(options.jobs, mp_context=context, initializer=_start, initargs=initial) as pool:
        made = list(tqdm(pool.map(_write, tasks, chunksize=8), total=len(tasks), unit="clip"))
    rows = []
    for path, (i, copy) in zip(made, tasks, strict=True):
        clip = catalog.clips[i]
        source = clip.path.relative_to(options.root).as_posix()
        label = "" if clip.label is None else catalog.classes[clip.label]
        rows.append([path.name, source, label, copy])
    write_table(options.out / COPIES, [["file", "source", "label", "copy"], *rows])
    print(options.out)
    return 0


_shared: tuple[Catalog, dict[int | None, list[int]], WaveformAugmentation, Path]


def _start(*shared: object) -> None:
    global _shared
    _shared = shared  # type: ignore[assignment]


def _write(task: tuple[int, int]) -> Path:
    """Write one copy, whole or not at all, unless it is there."""
    (i, copy), (catalog, of_class, augment, out) = task, _shared
    clip = catalog.clips[i]
    path = out / _name(catalog, i, copy)
    if path.exists():
        return path
    partner = another(of_class[clip.label], i, augment.seed, copy, i, 1)
    same_class = None if partner is None else partial(decode, catalog.clips[partner].path, augment.sample_rate)
    waveform = decode(clip.path, augment.sample_rate)
    waveform = augment(waveform, epoch=copy, index=i, same_class=same_class, correct=clip.device != REFERENCE)
    waveform = waveform / max(1.0, float(np.abs(waveform).max()))  # louder than full scale would clip in a file
    temporary = path.with_suffix(f".{os.getpid()}.part")
    soundfile.write(temporary, waveform, augment.sample_rate, format="FLAC", subtype="PCM_16")
    os.replace(temporary, path)
    return path


def _name(catalog: Catalog, i: int, copy: int) -> str:
    return f"{catalog.clips[i].path.stem}-{i}-copy{copy}.flac"


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return folder if folder.exists() else _existing(folder.parent)


if __name__ == "__main__":
    sys.exit(main())
