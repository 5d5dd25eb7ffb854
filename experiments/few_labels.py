"""A trained classifier hears another channel, and few labeled clips of it are there: what is best adapted?

Takes the output folder of an experiment with finished runs of --variant, whose front-end can learn. Clips of the
training folds are changed by a channel, and 5, 20 or 80 of them, classes in turn, adapt the statistics of batch
normalization, the last layer, or the front-end; everything else stays. The measure is the accuracy on the changed
clips of the fold that the run has not seen. Writes few_labels.md, .csv and .json, and a file for each run and channel
in few_labels/, into that folder; the same command run again resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from experiments.arguments import make_parser, positive, positive_int
from experiments.channels import Change, colored, faster, filtered, noisy
from experiments.data.module import collate, open_clips
from experiments.data.reading import divide_by_peak
from experiments.files import BadDataError, check_among, check_different, command, write_whole
from experiments.runs import CONFIG, Result, claim_settings, load_model, open_test_clips, read_json, read_results
from experiments.statistics import compare, fields, mean_and_spread, percent, points
from experiments.tables import Row, plain_table, write_tables

CHANNELS: dict[str, Change] = {
    "band": partial(filtered, low=300.0, high=3400.0),
    "microphone": partial(colored, decibels=10.0),
    "noise": partial(noisy, decibels=10.0),
    "speed": partial(faster, percent=15),
}
NOTHING, STATISTICS, LAST, FRONTEND = "nothing", "batch-norm statistics", "last layer", "front-end"
WHAT = (STATISTICS, LAST, FRONTEND)
BATCH = 32
Batch = dict[str, Tensor]


def change_all(clips: Any, indices: Iterable[int], change: Change) -> Batch:
    """Read clips of `experiments.data.module.Clips`, change each, and make one batch of them."""
    rate, changed = clips.store.sample_rate, []
    for k in indices:
        waveform, label, i = clips[0, k]
        # A clip's noise is the same in each run.
        changed.append((divide_by_peak(change(waveform.astype(float), rate, i)), label, i))
    return collate(changed)


def classes_in_turn(labels: Sequence[int], count: int, seed: int) -> list[int]:
    """Draw clips without replacement, one of each class in turn, and return their indices.

    Raises:
        BadDataError: If there are fewer.
    """
    if len(labels) < count:
        raise BadDataError(f"--counts must be at most the {len(labels)} training clips, got {count}")
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels)).tolist()
    classes = random.permutation(sorted(set(labels))).tolist()
    turns = {label: [k for k in order if labels[k] == label] for label in classes}
    drawn = [(turn, place, k) for place, label in enumerate(classes) for turn, k in enumerate(turns[label])]
    return [k for *_, k in sorted(drawn)[:count]]


def adapt(model: Any, what: str, few: Batch, steps: int, frontend_lr: float, lr: float) -> None:
    """Adapt one thing of a trained classifier to labeled clips, all of them in each step."""
    if what == STATISTICS:
        _adapt_statistics(model, few)
        return
    if what == FRONTEND:
        learned, rate = list(model.frontend.parameters()), frontend_lr
        log_probabilities: Callable[[], Tensor] = partial(model, few["waveform"], few["lengths"])
    else:  # what comes before the last layer does not change
        layer, given = _last_layer(model.network), []
        with layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])), torch.no_grad():
            model(few["waveform"], few["lengths"])
        learned, rate = list(layer.parameters()), lr

        def log_probabilities() -> Tensor:
            return F.log_softmax(layer(given[0]), -1)

    model.requires_grad_(False)
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learned, rate)
    for _ in range(steps):
        optimizer.zero_grad()
        F.nll_loss(log_probabilities(), few["label"]).backward()
        optimizer.step()


@torch.no_grad()
def _adapt_statistics(model: Any, few: Batch) -> None:
    """Replace means and variances of batch normalization by those of the clips."""
    layers = [module for module in model.network.modules() if isinstance(module, _BatchNorm)]
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.train().momentum = 1.0
    model(few["waveform"], few["lengths"])
    for layer, momentum in zip(layers, kept, strict=True):
        layer.eval().momentum = momentum


def _last_layer(network: nn.Module) -> nn.Linear:
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise BadDataError(f"the network must have a linear layer to adapt, got {type(network).__name__} without one")
    return layers[-1]


@torch.no_grad()
def accuracy(model: Any, clips: Batch) -> float:
    """Return the share of clips that are classified right."""
    batches = zip(*(clips[name].split(BATCH) for name in ("waveform", "lengths", "label")), strict=True)
    right = sum(int((model(some, lengths).argmax(-1) == label).sum()) for some, lengths, label in batches)
    return right / len(clips["label"])


def adapt_run(result: Result, channel: str, args: argparse.Namespace) -> dict[str, Any]:
    """Adapt a finished run to a channel in every way."""
    test = open_test_clips(result)
    data, store = read_json(result.folder / CONFIG)["data"], test.store
    if data.get("window") is not None:
        raise BadDataError(f"{result.folder} must be a run on whole clips, got one with windows")
    others = {clip.fold for clip in store.catalog.clips if clip.label is not None} - {result.key[0]}
    training = open_clips(store, others, data.get("seconds"), None)
    labels = [store.catalog.clips[i].label for i, _ in training.items]
    change = CHANNELS[channel]
    heard = change_all(test, range(len(test)), change)
    trained = load_model(result.folder)
    found: dict[str, float] = {NOTHING: accuracy(trained, heard)}
    most = change_all(training, classes_in_turn(labels, max(args.counts), result.key[1]), change)
    for count, what in product(args.counts, WHAT):
        model = deepcopy(trained)
        few = {name: values[:count] for name, values in most.items()}
        adapt(model, what, few, args.steps, args.frontend_lr, args.lr)
        found[f"{what}, {count}"] = accuracy(model, heard)
    return {"channel": channel, "key": list(result.key), "unchanged": result.accuracy, "accuracies": found}


def report(runs: Sequence[Row], counts: Sequence[int], out: Path) -> str:
    """Write the tables: accuracy without adaptation, and what each way adds to it and to that of the last layer."""
    rows: list[Row] = []
    lines = []
    for channel in dict.fromkeys(run["channel"] for run in runs):
        own = [run for run in runs if run["channel"] == channel]
        found: dict[str, dict[Hashable, float]] = {}
        for run in own:
            for name, value in run["accuracies"].items():
                found.setdefault(name, {})[tuple(run["key"])] = value
        unchanged, nothing = (mean_and_spread(v) for v in ([r["unchanged"] for r in own], [*found[NOTHING].values()]))
        start = {"channel": channel, "unchanged": unchanged[0], "nothing": nothing[0], "runs": len(own)}
        gained = {(w, n): compare(found[f"{w}, {n}"], found[NOTHING]) for w, n in product(WHAT, counts)}
        against = {(FRONTEND, n): compare(found[f"{FRONTEND}, {n}"], found[f"{LAST}, {n}"]) for n in counts}
        for title, compared in (("nothing", gained), (LAST, against)):
            rows += [{**start, "adapted": w, "clips": n, "minus": title, **fields(c)} for (w, n), c in compared.items()]
            for what in dict.fromkeys(w for w, _ in compared):
                head = [channel, f"{percent(*unchanged)}", f"{percent(*nothing)}", f"{what}, minus {title}"]
                lines.append([*head, *(points(compared[what, n]) for n in counts), f"{len(own)}"])
    table = [["channel", "unchanged %", "changed %", "adapted", *(f"{n} clips" for n in counts), "runs"], *lines]
    files = write_tables(out / "few_labels", rows, [table])
    return f"{plain_table(table)}\n\nbrackets: 95 % intervals over folds and seeds. Tables: {files}"


def main(argv: Sequence[str] | None = None) -> int:
    """Adapt all runs and report; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.few_labels", __doc__)
    parser.add_argument("runs", type=Path, help="output folder of an experiment")
    parser.add_argument("--variant", default="learnable mel", help="whose runs are adapted (default: %(default)s)")
    parser.add_argument("--channels", nargs="+", default=list(CHANNELS), metavar="NAME", help="(default: all four)")
    parser.add_argument("--counts", type=positive_int, nargs="+", default=[5, 20, 80], help="clips (default: 5 20 80)")
    parser.add_argument("--steps", type=positive_int, default=50, help="of Adam (default: %(default)s)")
    parser.add_argument("--frontend-lr", type=positive, default=1e-2, help="of filters (default: %(default)s)")
    parser.add_argument("--lr", type=positive, default=1e-3, help="of the last layer (default: %(default)s)")
    args = parser.parse_args(argv)
    return command(lambda: print(_work(args)), "experiments.few_labels")


def _work(args: argparse.Namespace) -> str:
    check_among("--channels", args.channels, list(CHANNELS))
    for name in ("channels", "counts"):
        check_different(f"--{name}", getattr(args, name))
    results = read_results(args.runs)
    check_among("--variant", [args.variant], sorted({result.variant for result in results}))
    chosen = [result for result in results if result.variant == args.variant]
    if not list(load_model(chosen[0].folder).frontend.parameters()):
        raise BadDataError(f"--variant must have a front-end that can learn, got {args.variant!r} without a parameter")
    out = args.runs / "few_labels"
    settings = {name: getattr(args, name) for name in ("variant", "counts", "steps", "frontend_lr", "lr")}
    claim_settings(out / "settings.json", settings)
    found = []
    for result, channel in tqdm(list(product(chosen, args.channels)), unit="run"):
        fold, seed, clips = result.key
        file = out / f"fold{fold}-seed{seed}-{clips[:12]}-{channel}.json"
        if not file.exists():
            write_whole(file, json.dumps(adapt_run(result, channel, args)) + "\n")
        found.append(read_json(file))
    return report(found, args.counts, args.runs)


if __name__ == "__main__":
    sys.exit(main())
