"""Test the runs of an experiment on sounds unlike those of the training: with noise, and in a narrower band.

Takes the output folder of an experiment, finished or not. Every run classifies the clips of its held-out fold
unchanged, with white noise, and filtered. Nothing is trained. Writes mismatch.md, .csv and .json to that folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from experiments.arguments import make_parser
from experiments.channels import Change, filtered, noisy
from experiments.data.module import collate
from experiments.files import command
from experiments.runs import CONFIG, Result, load_model, open_test_clips, read_json, read_results
from experiments.statistics import compare, fields, mean_and_spread
from experiments.tables import Column, Row, plain_table, standard_columns, write_tables

BATCH = 32

CONDITIONS: dict[str, Change] = {
    "as they are": lambda clip, *_: clip,
    "noise at 20 dB": partial(noisy, decibels=20.0),
    "at 10 dB": partial(noisy, decibels=10.0),
    "at 0 dB": partial(noisy, decibels=0.0),
    "below 4 kHz": partial(filtered, low=0.0, high=4000.0),
    "300 to 3400 Hz": partial(filtered, low=300.0, high=3400.0),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Test the runs; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.mismatch", __doc__)
    parser.add_argument("runs", type=Path, help="output folder of an experiment")
    parser.add_argument(
        "--reference", default="mel", metavar="NAME", help="variant to compare with (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    return command(lambda: print(_work(args.runs, args.reference)), "experiments.mismatch")


def _work(out: Path, reference: str) -> str:
    of_clips: dict[str, list[Result]] = {}  # runs that were tested on the same clips, which are changed once for all
    for result in read_results(out):
        data = read_json(result.folder / CONFIG)["data"]
        of_clips.setdefault(json.dumps({**data, "seed": None}, sort_keys=True), []).append(result)
    accuracies: dict[tuple[str, str], dict[Hashable, float]] = {}
    with tqdm(total=sum(map(len, of_clips.values())), unit="run") as bar:
        for results in of_clips.values():
            for result, shares in zip(results, classify_changed(results), strict=True):
                for condition, share in shares.items():
                    accuracies.setdefault((result.variant, condition), {})[result.key] = share
            bar.update(len(results))
    rows: list[Row] = []
    for (name, condition), values in accuracies.items():
        against = {} if name == reference else accuracies.get((reference, condition), {})
        accuracy, spread = mean_and_spread(list(values.values()))
        row: Row = {"variant": name, "condition": condition, "accuracy": accuracy, "spread": spread}
        rows.append(row | fields(compare(values, against)) | {"runs": len(values)})
    columns = standard_columns(reference)
    tables = [_by_condition(title, rows, columns[title]) for title in ("accuracy %", f"minus {reference}")]
    files = write_tables(out / "mismatch", rows, tables, reference=reference)
    most = max(row["runs"] for row in rows)
    return "\n\n".join([*map(plain_table, tables), f"{most} runs of each or fewer; brackets: 95 % intervals. {files}"])


@torch.no_grad()
def classify_changed(results: Sequence[Result]) -> list[dict[str, float]]:
    """Return the accuracy of each run under each condition; all of them were tested on the same clips.

    Raises:
        BadDataError: If a run or its clips cannot be read, or the clips are others by now.
    """
    clips = open_test_clips(results[0])
    models = [load_model(result.folder) for result in results]
    rate = clips.store.sample_rate
    decisions: list[dict[str, dict[int, Any]]] = [{name: {} for name in CONDITIONS} for _ in results]
    for first in range(0, len(clips), BATCH):
        examples = [clips[0, k] for k in range(first, min(first + BATCH, len(clips)))]
        for name, change in CONDITIONS.items():
            changed = [
                (change(waveform.astype(float), rate, first + k).astype(np.float32), label, i)
                for k, (waveform, label, i) in enumerate(examples)
            ]
            batch = collate(changed)
            for model, found in zip(models, decisions, strict=True):
                for (_, _, i), decision in zip(examples, model(batch["waveform"], batch["lengths"]), strict=True):
                    found[name][i] = found[name].get(i, 0) + decision  # windows of a clip add up
    labels = {i: clip.label for i, clip in enumerate(clips.store.catalog.clips)}
    return [
        {
            name: sum(int(decision.argmax()) == labels[i] for i, decision in of_clips.items()) / len(of_clips)
            for name, of_clips in found.items()
        }
        for found in decisions
    ]


def _by_condition(title: str, rows: Sequence[Row], text: Column) -> list[list[str]]:
    texts = {(row["variant"], row["condition"]): text(row) for row in rows}
    names = dict.fromkeys(row["variant"] for row in rows)
    return [[title, *CONDITIONS], *([name, *(texts[name, condition] for condition in CONDITIONS)] for name in names)]


if __name__ == "__main__":
    sys.exit(main())
