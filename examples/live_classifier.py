"""Listen to a sound file as if it were live, and say what a trained classifier hears.

Takes a checkpoint of compare_frontends.py, a file of its checkpoints/ or cells/ folder, and a sound file. The file
comes in chunks, in real time unless --speed says otherwise; features are computed chunk by chunk, and the classifier
sees those of the last seconds: as many as the clips had that it was trained with. The first lines come before these
are full. The end says how much time it took and how long a sound waits until it is heard.

Training clips have a peak of one. The level of a live sound is not known before it ends: --gain sets it.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import _environment  # noqa: F401 - before torch
import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from checkpoints import FileError
from sounds import positive
from torch import Tensor, nn
from training import read_model

from learnable_frontends import Frontend
from learnable_frontends.streaming import StreamingFrontend

SYNTHETIC_SECONDS = 2.0  # clips of compare_frontends.py without --data or --seconds
BAR = 20  # characters of a probability of one
COLUMNS = 1500  # of the picture of features; longer sounds are averaged


class LiveClassifier:
    """A front-end that streams, the features of the last seconds, and a classifier of these.

    Args:
        frontend: A trained front-end.
        classifier: From features ``(batch, n_filters, frames)`` to logits ``(batch, classes)``.
        window: Samples of the clips that it was trained with.

    Raises:
        ValueError: If clips of that length have no frame.
    """

    def __init__(self, frontend: Frontend, classifier: nn.Module, window: int) -> None:
        self.stream = StreamingFrontend(frontend)
        self.classifier = classifier
        self.frames = int(frontend.output_lengths(torch.tensor(window)))
        if self.frames < 1:
            raise ValueError(f"--window must hold a frame of features, got {window / frontend.sample_rate:g} s")
        self.features = torch.empty(frontend.n_filters, 0)

    def listen(self, samples: Tensor, *, ends: bool = False) -> Tensor:
        """Take samples ``(time,)``, and give the new frames ``(n_filters, frames)``, all that are left if it ends."""
        new: Tensor = self.stream(samples)
        if ends:
            new = torch.cat([new, self.stream.flush()], dim=-1)
        self.features = torch.cat([self.features, new], dim=-1)[:, -self.frames :]
        return new

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """Probability of each class, from the features of the last seconds, shape ``(classes,)``."""
        logits: Tensor = self.classifier(self.features[None])
        return torch.softmax(logits[0], dim=-1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        checkpoint, frontend, classifier = read_model(options.checkpoint)
        seconds, source = _window(options.window, options.checkpoint)
        rate = int(frontend.sample_rate)
        live = LiveClassifier(frontend, classifier, round(seconds * rate))
        sound = Sound(options.sound, rate, options.chunk / 1000, options.gain)
        print(f"{checkpoint.get('variant', checkpoint['frontend'])}, {len(checkpoint['classes'])} classes")
        print(f"window of the classifier: {seconds:g} s ({source})")
        heard = _run(live, sound, checkpoint["classes"], options)
    except (FileError, ValueError) as error:
        print(f"live_classifier.py: {' '.join(str(error).split())}", file=sys.stderr)  # torch writes several lines
        return 2
    print(_summary(heard, live, sound, frontend, options.chunk))
    if options.plot is not None:
        _plot(heard, frontend, checkpoint["classes"], options.plot)
        print(options.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="file that compare_frontends.py saved")
    parser.add_argument("sound", type=Path, help="sound file: what libsndfile reads")
    parser.add_argument("--speed", type=_not_negative, default=1.0, help="1 is real time, 0 as fast as it goes")
    parser.add_argument("--chunk", type=_positive, default=100.0, help="milliseconds at a time (default: %(default)g)")
    parser.add_argument(
        "--window",
        type=_positive,
        help="seconds that the classifier sees (default: those of its training, from config.json of the run)",
    )
    parser.add_argument("--every", type=_positive, default=1.0, help="seconds from line to line (default: %(default)g)")
    parser.add_argument("--top", type=positive, default=3, help="classes a line (default: %(default)s)")
    parser.add_argument("--gain", type=float, default=0.0, help="of the sound, in dB (default: %(default)g)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw features and probabilities over time")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive and finite, got {text}")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more and finite, got {text}")
    return value


def _window(given: float | None, checkpoint: Path) -> tuple[float, str]:
    """Seconds that the classifier sees, and where they come from."""
    if given is not None:
        return given, "--window"
    path = checkpoint.resolve().parent.parent / "config.json"
    if not path.is_file():
        return SYNTHETIC_SECONDS, "a guess: there is no config.json beside its folder; --window says otherwise"
    try:
        notes: list[str] = json.loads(path.read_text())["notes"]
        lengths = [match[1] for note in notes if (match := re.search(r" clips of ([\d.]+) s\b", note))]
        return float(lengths[0]), "its training clips; --window says otherwise"
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FileError(f"{path} does not say how long clips are (give --window SECONDS)") from error


class Sound:
    """A sound file in chunks: one channel, at one rate.

    Args:
        path: The file.
        sample_rate: Samples per second of what is given.
        chunk: Seconds at a time.
        gain: Of the samples, in dB.

    Raises:
        FileError: If the file cannot be read.
    """

    def __init__(self, path: Path, sample_rate: int, chunk: float, gain: float) -> None:
        self.path, self.gain = path, 10 ** (gain / 20)
        try:
            self.file = soundfile.SoundFile(path)
        except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
            raise FileError(f"{path} cannot be read ({error})") from error
        self.rate = self.file.samplerate
        self.chunk = max(1, round(chunk * self.rate))
        self.resampler = None
        if self.rate != sample_rate:
            self.resampler = soxr.ResampleStream(self.rate, sample_rate, 1, dtype="float32")
        self.delay = 0.0  # seconds; the longest so far that the resampler has held samples back
        self._out_rate = sample_rate

    def __iter__(self) -> Iterator[tuple[Tensor, float, bool]]:
        """Give samples ``(time,)``, the seconds of sound read by then, and whether they are the last."""
        read, total = 0, 0
        with self.file:
            while True:
                try:
                    block = self.file.read(self.chunk, dtype="float32", always_2d=True)
                except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
                    raise FileError(f"{self.path} cannot be read to its end ({error})") from error
                if not np.isfinite(block).all():
                    raise FileError(f"{self.path} has samples that are not finite, near {read / self.rate:.1f} s")
                read += len(block)
                ends = len(block) < self.chunk
                samples = block.mean(axis=1) * np.float32(self.gain)
                if self.resampler is not None:
                    samples = self.resampler.resample_chunk(samples, last=ends)
                    total += len(samples)
                    if not ends:
                        self.delay = max(self.delay, read / self.rate - total / self._out_rate)
                yield torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)), read / self.rate, ends
                if ends:
                    return


class Heard:
    """What was heard: for the end of the show, and for the picture.

    Attributes:
        seconds: Of sound.
        busy: Seconds of work for each chunk.
        times: Second of each line.
        probabilities: Of each line, ``(classes,)`` each.
        features: New frames of each chunk, ``(n_filters, frames)`` each, if they are to be drawn.
        stopped: Whether the user stopped it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.busy: list[float] = []
        self.times: list[float] = []
        self.probabilities: list[Tensor] = []
        self.features: list[Tensor] = []
        self.stopped = False


def _run(live: LiveClassifier, sound: Sound, classes: list[str], options: argparse.Namespace) -> Heard:
    heard, started, due = Heard(), time.perf_counter(), options.every
    try:
        mark = time.perf_counter()
        for samples, seconds, ends in sound:
            heard.seconds = seconds
            work = time.perf_counter() - mark  # reading and resampling
            if options.speed:
                time.sleep(max(0.0, started + seconds / options.speed - time.perf_counter()))
            mark = time.perf_counter()
            frames = live.listen(samples, ends=ends)
            if options.plot is not None:
                heard.features.append(frames)
            if (seconds >= due - 1e-9 or ends) and live.features.shape[-1]:
                found = live.probabilities()
                if not heard.times or seconds > heard.times[-1]:
                    heard.times.append(seconds)
                    heard.probabilities.append(found)
                    print(_line(seconds, found, classes, options.top), flush=True)
                due = options.every * (1 + math.floor(seconds / options.every + 1e-9))
            heard.busy.append(work + time.perf_counter() - mark)
            mark = time.perf_counter()
    except KeyboardInterrupt:
        heard.stopped = True
    if not heard.times and not heard.stopped:
        raise FileError(f"{sound.path} is too short: {heard.seconds:g} s have no frame of features")
    return heard


def _line(seconds: float, probabilities: Tensor, classes: list[str], top: int) -> str:
    """Write the likeliest classes with a bar each."""
    width = max(map(len, classes))
    best = probabilities.topk(min(top, len(classes)))
    parts = []
    for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        parts.append(f"{classes[index]:<{width}} {value:4.2f} {'#' * round(BAR * value):<{BAR}}")
    return f"{seconds:7.1f} s  {'  '.join(parts)}".rstrip()


def _summary(heard: Heard, live: LiveClassifier, sound: Sound, frontend: Any, chunk: float) -> str:
    from learnable_frontends.plotting.drawing import innermost

    rate = frontend.sample_rate
    bank: Any = innermost(frontend)
    frame = bank.framing.span / rate
    parts = {"chunk": chunk / 1000, "frame": frame, "heads": live.stream.latency / rate, "resampler": sound.delay}
    said = " + ".join(f"{1000 * value:.0f} ms {name}" for name, value in parts.items() if value)
    busy = sum(heard.busy)
    slowest = f"; slowest chunk: {1000 * max(heard.busy):.1f} ms" if heard.busy else ""
    return "\n".join(
        [
            f"{'stopped after ' if heard.stopped else ''}{heard.seconds:.1f} s of sound",
            f"real-time factor: {busy / max(heard.seconds, 1e-9):.4f} (seconds of work per second of sound{slowest})",
            f"latency, from a sound to all frames that it is in: at most {1000 * sum(parts.values()):.0f} ms = {said}",
        ]
    )


def _plot(heard: Heard, frontend: Any, classes: list[str], path: Path) -> None:
    """Draw features and probabilities over time."""
    from learnable_frontends.plotting.drawing import COLORS, FEATURE_MAP, MARKERS, innermost, label_filters, make_figure

    features, probabilities = torch.cat(heard.features, dim=-1), torch.stack(heard.probabilities)
    columns = min(COLUMNS, features.shape[-1])
    fig = make_figure((11.0, 7.0))
    top, bottom = fig.subplots(2, sharex=True)
    # A frame is drawn around its middle.
    bank: Any = innermost(frontend)
    hop, length = frontend.hop_length, bank.framing.span
    first = (0.5 * length - 0.5 * hop) / frontend.sample_rate
    extent = (first, first + features.shape[-1] * hop / frontend.sample_rate, -0.5, frontend.n_filters - 0.5)
    picture = F.adaptive_avg_pool1d(features, columns).numpy()
    image = top.imshow(picture, extent=extent, origin="lower", aspect="auto", cmap=FEATURE_MAP)
    fig.colorbar(image, ax=top, label="feature", pad=0.01)
    label_filters(top.yaxis, frontend, range(frontend.n_filters), 6)
    top.set_title("Features, as they came")
    likeliest = probabilities.amax(0).argsort(descending=True)
    for place, index in reversed(list(enumerate(likeliest.tolist()))):
        style: dict[str, Any] = {"color": "0.8", "linewidth": 1.0, "label": None}
        if place < len(COLORS):
            style = {"color": COLORS[place], "marker": MARKERS[place], "markersize": 4, "label": classes[index]}
            style["markevery"] = max(1, len(heard.times) // 25)
        bottom.plot(heard.times, probabilities[:, index].numpy(), **style)
    bottom.set(xlabel="time (s)", ylabel="probability", ylim=(-0.02, 1.02), xlim=(0, max(heard.seconds, extent[1])))
    bottom.set_title("Classes, from the features of the last seconds (gray: the rest)")
    bottom.grid(alpha=0.3)
    handles, labels = bottom.get_legend_handles_labels()
    bottom.legend(
        handles[::-1], labels[::-1], loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=7, fontsize="small"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
