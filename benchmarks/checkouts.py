"""Time of every front-end in two checkouts of this package, round by round in turn: is the new one slower?

    python -m benchmarks.checkouts ../old . --rounds 200

Each checkout runs in a process of its own; in each round both do the same step, one right after the other. Prints the
median of the rounds' ratios, new over old, with a 95 % interval from resampled rounds. The processes keep memory that
they have freed: otherwise where a heap happens to end decides whether each call fetches its pages anew, which doubles
the time of a short one, in either checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.measuring import RETAINING

SIZES = {"W1": (16000, 40, 8, 1), "W2": (44100, 80, 2, 10)}  # sample rate, filters, clips, seconds
FRONTENDS = ("mel", "sinc", "cos-gauss", "cos-gauss+heads", "cos-gauss+pcen")
LATER = ("learnable-mel", "gaussian", "gabor", "cos-gauss-short", "sinc-short", "gabor-short")  # old ones lack them

# What each process runs: a name of a front-end and a size come in as JSON, the time of a step goes out.
WORKER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import torch
import learnable_frontends as lf
torch.set_num_threads(int(sys.argv[2]))
KINDS = {
    "mel": lambda rate, n, s: lf.MelFrontend(rate, n, **s),
    "sinc": lambda rate, n, s: lf.SincFilterbank(rate, n, **s),
    "cos-gauss": lambda rate, n, s: lf.CosGaussFilterbank(rate, n, **s),
    "cos-gauss+heads": lambda rate, n, s: lf.MultiHeadRelevance(lf.CosGaussFilterbank(rate, n, **s), 2),
    "cos-gauss+pcen": lambda rate, n, s: lf.CosGaussFilterbank(rate, n, compression=lf.PCEN(n), **s),
    "learnable-mel": lambda rate, n, s: lf.LearnableMelFilterbank(rate, n, **s),
    "gaussian": lambda rate, n, s: lf.GaussianFilterbank(rate, n, **s),
    "gabor": lambda rate, n, s: lf.GaborFilterbank(rate, n, **s),
    "cos-gauss-short": lambda rate, n, s: lf.CosGaussFilterbank(rate, n, n_fft=s.get("win_length", 400), **s),
    "sinc-short": lambda rate, n, s: lf.SincFilterbank(rate, n, n_fft=s.get("win_length", 400), **s),
    "gabor-short": lambda rate, n, s: lf.GaborFilterbank(rate, n, n_fft=s.get("win_length", 400), **s),
}
made = {}
for line in sys.stdin:
    kind, (rate, n, clips, seconds), backward = json.loads(line)
    key = kind, rate
    if key not in made:
        settings = {"win_length": 2048, "hop_length": 1024} if rate == 44100 else {}
        frontend = KINDS[kind](rate, n, settings)
        made[key] = frontend, 0.1 * torch.randn(clips, rate * seconds, generator=torch.Generator().manual_seed(0))
    frontend, waveform = made[key]
    start = time.perf_counter()
    if backward:
        features = frontend(waveform)
        if features.requires_grad:
            features.square().mean().backward()
    else:
        with torch.no_grad():
            frontend(waveform)
    print(time.perf_counter() - start, flush=True)
"""


class Checkout:
    """A process that runs steps of the front-ends of one checkout."""

    def __init__(self, folder: Path, threads: int) -> None:
        command = [sys.executable, "-c", WORKER, str(folder.resolve()), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", env={**os.environ, **RETAINING}
        )

    def seconds(self, step: list[Any]) -> float:
        """Run one step and return its time."""
        to, back = self._process.stdin, self._process.stdout
        assert isinstance(to, IO) or to is not None
        assert back is not None
        to.write(json.dumps(step) + "\n")
        to.flush()
        return float(back.readline())


def main(arguments: list[str] | None = None) -> None:
    """Compare two checkouts and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of the checkout that is compared with")
    parser.add_argument("new", type=Path, help="folder of the checkout that is compared")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of each row (default: %(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of torch (default: 1 2)")
    parser.add_argument(
        "--frontends",
        nargs="+",
        default=FRONTENDS,
        choices=FRONTENDS + LATER,
        help="which (default: all but those that older checkouts lack)",
    )
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    sys.stdout.write("| size | threads | front-end | step | new / old | 95 % interval |\n|---|---|---|---|---|---|\n")
    for threads in options.threads:
        old, new = Checkout(options.old, threads), Checkout(options.new, threads)
        for size, numbers in SIZES.items():
            for kind in options.frontends:
                for backward in (False, True):
                    step = [kind, numbers, backward]
                    for checkout in (old, new, old, new):
                        checkout.seconds(step)  # not measured
                    rounds = []
                    for i in range(options.rounds):
                        first, second = (old, new) if i % 2 else (new, old)
                        times = {id(checkout): checkout.seconds(step) for checkout in (first, second)}
                        rounds.append(times[id(new)] / times[id(old)])
                    ratios = np.array(rounds)
                    medians = np.median(random.choice(ratios, (2000, len(ratios))), axis=1)
                    low, high = np.quantile(medians, [0.025, 0.975])
                    name = "forward + backward" if backward else "forward"
                    row = (
                        f"| {size} | {threads} | {kind} | {name} | {np.median(ratios):.3f} | {low:.3f} to {high:.3f} |"
                    )
                    sys.stdout.write(row + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
