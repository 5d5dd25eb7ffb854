"""Write augmented copies of training clips to disk, as the paper does (14k clips become 80k).

    python -m experiments.data.offline dcase2020_task1a ROOT OUT --yes

It first prints how many clips and GiB it would write, and writes only with --yes. Run the command again to resume it.
OUT gets a table, augmented.csv (file, source, label, copy, test_fold), and a FLAC file for each copy.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from joblib import Parallel, delayed
from tqdm import tqdm

from experiments.arguments import make_parser, not_negative_int, positive_int
from experiments.data.augmentation import WaveformAugmentation
from experiments.data.catalog import BLIND, COPIES, READERS, another, by_label, read_catalog
from experiments.data.reading import decode, duration
from experiments.data.spectrum_correction import REFERENCE, correction
from experiments.data.store import GIB
from experiments.files import BadDataError, check_folder, command, write_table, write_whole
from experiments.runs import SETTINGS, check_settings, claim_settings

BYTES = 2  # a sample of 16-bit FLAC, at most


class Copy(NamedTuple):
    """One copy to write.

    Attributes:
        path: Its file.
        clip: Number of the clip in the catalog.
        number: Number of the copy.
        source: File of the clip.
        partner: File of a clip of its class, to be mixed in; ``None`` if there is no other.
        correct: Whether spectrum correction may be applied.
    """

    path: Path
    clip: int
    number: int
    source: Path
    partner: Path | None
    correct: bool


def write_copies(
    dataset: str,
    root: Path,
    out: Path,
    *,
    test_fold: str,
    copies: int,
    sample_rate: int,
    seed: int,
    jobs: int = 1,
    yes: bool = False,
) -> None:
    """Write copies of all clips but those of a test fold, which are the same for any number of jobs.

    Args:
        dataset: One of `experiments.data.catalog.READERS`.
        root: Folder of the data set.
        out: Folder to write to.
        test_fold: Fold that is left alone.
        copies: Copies of each training clip.
        sample_rate: Samples per second.
        seed: Of all changes.
        jobs: Processes.
        yes: Write, rather than print what would be written.

    Raises:
        BadDataError: If the data set cannot be used, has no such fold, or has files that cannot be decoded; if ``out``
            has copies that were made with other settings; if less than a tenth of the disk would be left.
    """
    settings = {"dataset": dataset, "root": str(root.resolve()), "test_fold": test_fold}
    settings |= {"sample_rate": str(sample_rate), "seed": str(seed)}
    check_settings(out / SETTINGS, settings)
    catalog = read_catalog(dataset, root)
    if test_fold not in catalog.folds:
        raise BadDataError(f"--test_fold must be one of {catalog.folds}, got {test_fold!r}")
    clips = catalog.clips
    chosen = [i for i, clip in enumerate(clips) if clip.fold not in (test_fold, BLIND)]
    of_class = by_label(catalog, chosen)
    made = []
    for i in chosen:
        for number in range(copies):
            partner = another(of_class[clips[i].label], i, seed, number, i, 1)
            path = out / f"{Path(catalog.name(i)).stem}-{i}-copy{number}.flac"
            mixed, correct = None if partner is None else clips[partner].path, clips[i].device != REFERENCE
            made.append(Copy(path, i, number, clips[i].path, mixed, correct))
    todo = [copy for copy in made if not copy.path.exists()]
    lengths = {i: duration(clips[i].path) for i in chosen}
    if bad := [catalog.name(i) for i, length in lengths.items() if not length]:
        raise BadDataError(f"{len(bad)} of {len(chosen)} clips cannot be decoded: {', '.join(bad[:10])}")
    seconds = sum(lengths[copy.clip] for copy in todo)
    size, disk = seconds * sample_rate * BYTES, shutil.disk_usage(_existing(out))
    print(
        f"{len(todo):,} clips of {len(chosen):,}, {seconds / 3600:.1f} hours, at most "
        f"{size / GIB:.2f} GiB in {out}; {disk.free / GIB:.1f} GiB are free"
    )
    if todo and disk.free - size < 0.1 * disk.total:
        raise BadDataError("less than a tenth of the disk would be left (fewer --copies)")
    if not yes:
        print("nothing written: --yes writes")
        return
    check_folder("out", out)
    claim_settings(out / SETTINGS, settings)
    if todo:
        taps = correction(catalog, lambda i: _decode(clips[i].path, sample_rate))
        augment = WaveformAugmentation(sample_rate, correction=taps, seed=seed)
        Parallel(jobs)(delayed(_write)(copy, augment) for copy in tqdm(todo, unit="clip"))
    names = {i: "" if (label := clips[i].label) is None else catalog.classes[label] for i in chosen}
    rows = [[c.path.name, catalog.name(c.clip), names[c.clip], c.number, test_fold] for c in made]
    write_table(out / COPIES, [["file", "source", "label", "copy", "test_fold"], *rows])
    print(out)


def _decode(path: Path, sample_rate: int) -> np.ndarray:
    try:
        return decode(path, sample_rate, keep_silence=True)
    except BadDataError as problem:
        raise BadDataError(f"{path}: {problem}") from problem


def _write(copy: Copy, augment: WaveformAugmentation) -> None:
    def read(path: Path) -> np.ndarray:
        return _decode(path, augment.sample_rate)

    partner = copy.partner
    waveform = augment(
        read(copy.source),
        epoch=copy.number,
        index=copy.clip,
        same_class=None if partner is None else lambda: read(partner),
        correct=copy.correct,
    )
    waveform = waveform / max(1.0, float(np.abs(waveform).max()))  # louder than full scale would clip in a file
    file = io.BytesIO()
    soundfile.write(file, waveform, augment.sample_rate, format="FLAC", subtype="PCM_16")
    write_whole(copy.path, file.getvalue())


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return folder if folder.exists() else _existing(folder.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = make_parser("experiments.data.offline", __doc__)
    parser.add_argument("dataset", choices=READERS)
    parser.add_argument("root", type=Path, help="folder of the data set")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--test_fold", default="test", help="fold that is left alone (default: %(default)s)")
    parser.add_argument(
        "--copies", type=positive_int, default=5, help="copies of each training clip (default: %(default)s)"
    )
    parser.add_argument("--sample_rate", type=positive_int, default=44100, help="in Hz (default: %(default)s)")
    parser.add_argument("--seed", type=not_negative_int, default=0, help="seed of all changes (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=positive_int, default=os.cpu_count() or 1, help="processes (default: one per core)"
    )
    parser.add_argument("--yes", action="store_true", help="write the files")
    options = vars(parser.parse_args(arguments))
    return command(lambda: write_copies(**options), "experiments.data.offline")


if __name__ == "__main__":
    sys.exit(main())
