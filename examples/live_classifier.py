"""Classify a sound file as if it were live, and print the likeliest classes each second.

Features are computed chunk by chunk. The network classifies the features of the last seconds, as many
as its training clips had. Those clips had a peak of one; --gain adjusts the level of a live sound.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from learnable_frontends import Frontend
from learnable_frontends.plotting import plot_features
from learnable_frontends.pretrained import from_pretrained
from learnable_frontends.streaming import StreamingFrontend


def read_chunks(file: soundfile.SoundFile, rate: int, chunk: float) -> Iterator[tuple[Tensor, bool]]:
    """Yield chunks of one resampled channel, of ``chunk`` seconds each, with whether each one is the last."""
    resampler = soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32")
    size, ends = max(1, round(chunk * file.samplerate)), False
    while not ends:
        samples = file.read(size, "float32", always_2d=True).mean(1)
        if not np.isfinite(samples).all():
            raise ValueError(f"samples must be finite, got others before {file.tell() / file.samplerate:.1f} s")
        ends = len(samples) < size
        if file.samplerate != rate:
            samples = resampler.resample_chunk(samples, last=ends)
        yield torch.from_numpy(samples), ends


def draw(path: str, features: Tensor, frontend: Frontend, heard: dict[float, Tensor], names: list[str]) -> None:
    """Draw features and the probabilities of the likeliest classes over time."""
    fig, (top, bottom) = plt.subplots(2, figsize=(10, 7), layout="constrained", sharex=True)
    pool = math.ceil(features.shape[-1] / 2000)  # one of so many frames is drawn
    plot_features(features[:, ::pool], frontend, hop_length=pool * frontend.hop_length, ax=top)
    probabilities = torch.stack(list(heard.values()))
    for index in probabilities.amax(0).argsort(descending=True)[:6].tolist():
        bottom.plot(list(heard), probabilities[:, index], "o-", markersize=3, label=names[index])
    bottom.set(xlabel="time (s)", ylabel="probability", ylim=(-0.02, 1.02))
    bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=6)
    fig.savefig(path)


@torch.no_grad()
def main() -> None:
    """Parse the command line and classify the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="output folder of train_on_folder.py")
    parser.add_argument("sound", metavar="SOUND", help="sound file in a format of libsndfile")
    parser.add_argument("--speed", type=float, default=1, help="1: live, 0: as fast as possible (default: %(default)s)")
    parser.add_argument("--chunk", type=float, default=100, help="length of a chunk in ms (default: %(default)s)")
    parser.add_argument("--gain", type=float, default=0, help="gain of the sound in dB (default: %(default)s)")
    parser.add_argument("--plot", metavar="FILE.png", help="plot features and probabilities to this file")
    options = parser.parse_args()
    if not (0 <= options.speed < math.inf and 0 < options.chunk < math.inf and math.isfinite(options.gain)):
        parser.error("--speed must be 0 or more, --chunk more than 0, --gain any number; all finite")
    needed = f"FOLDER must be from train_on_folder.py, with a front-end that streams, got {options.folder}"
    try:
        about = json.loads((options.folder / "classes.json").read_text(encoding="utf-8"))
        names, rate = about["names"], about["sample_rate"]
        frontend = from_pretrained(options.folder / "frontend")
        stream = StreamingFrontend(frontend)
        network = torch.export.load(options.folder / "network.pt2").module()
        window = int(frontend.output_lengths(torch.tensor(round(about["seconds"] * rate))))
        needed = f"SOUND must be a file that libsndfile reads, got {options.sound}"
        file = soundfile.SoundFile(options.sound)
        needed = f"--plot must be a picture that can be written, got {options.plot}"
        if options.plot:
            plt.figure().savefig(options.plot)  # fail now if the file cannot be written
    except Exception as error:  # files may be anything
        parser.error(f"{needed} ({' '.join(str(error).split())})")

    shown, kept, heard, width = torch.empty(frontend.n_filters, 0), [], dict[float, Tensor](), max(map(len, names))
    busy, given, delay, started = 0.0, 0, 0.0, time.perf_counter()
    mark = started
    try:
        for samples, ends in read_chunks(file, rate, options.chunk / 1000):
            seconds, given = file.tell() / file.samplerate, given + len(samples)
            delay = max(delay, seconds - given / rate)  # delay of the resampler
            busy += time.perf_counter() - mark
            if options.speed:
                time.sleep(max(0.0, started + seconds / options.speed - time.perf_counter()))
            mark = time.perf_counter()
            new = stream(samples * 10 ** (options.gain / 20))
            kept += [new] if options.plot else []
            shown = torch.cat([shown, new], -1)[:, -window:]
            last = max(heard, default=0.0)
            if shown.shape[-1] and (seconds >= math.floor(last) + 1 or (ends and seconds > last + 0.05)):
                heard[seconds] = network(shown[None])[0].softmax(-1)
                best = heard[seconds].topk(min(3, len(names)))
                words = [f"{names[i]:<{width}} {100 * heard[seconds][i]:3.0f} %" for i in best.indices]
                print(f"{seconds:7.1f} s", *words, sep="  ", flush=True)
    except KeyboardInterrupt:
        pass
    except (RuntimeError, ValueError) as error:
        parser.error(f"{options.sound}: {error}")
    if not heard:
        parser.error(f"{options.sound} must last for 0.05 s and a frame of features, got {seconds:g} s")
    print(f"real-time factor {busy / seconds:.4f}: seconds of work in a second of sound")
    parts = {"chunk": options.chunk / 1000, "frame": (frontend.span + stream.latency) / rate, "resampler": delay}
    terms = ", ".join(f"{1000 * part:.0f} ms {name}" for name, part in parts.items())
    print(f"latency, from a sound to the last frame with it: up to {1000 * sum(parts.values()):.0f} ms ({terms})")
    if options.plot:
        draw(options.plot, torch.cat(kept, -1), frontend, heard, names)


if __name__ == "__main__":
    main()
