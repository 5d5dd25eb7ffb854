"""The only reader of sound files: mono, at one rate, in blocks, any format of libsndfile; broken files are refused."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from experiments.files import BadDataError

# What libsndfile decodes by a header of its own.
FORMATS = "aif aifc aiff au avr caf flac htk mp3 mpc2k oga ogg opus paf pvf rf64 sf snd sph svx voc w64 wav wve"
SUFFIXES = frozenset(f".{name}" for name in FORMATS.split(" "))
SHORTEST = 0.05  # seconds; a clip shorter than two frames says nothing
BLOCK = 10.0  # seconds that are decoded at a time
MARGIN = 0.1  # seconds read beyond what is kept, so that the resampler's filter ends outside of it
UNKNOWN = 0x7FFF0000  # sizes from here on, and 0, stand in headers of sounds that were piped, not counted
MISSING = 64  # bytes by which a header may be wrong: some programs count its own chunks differently
PAGE = 65307  # bytes of an Ogg page, at most
# Lines of libsndfile's log that compare a length in the header with the file; others compare rates in the same words.
STATED = re.compile(r"^ *(?:BODY|SSND|data|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


def is_sound(path: Path) -> bool:
    """Whether a file is taken for a sound by its name. Hidden files are none, ``._x.wav`` of another system too."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def decode(path: Path, sample_rate: int, seconds: float | None = None, *, keep_silence: bool = False) -> np.ndarray:
    """Read a clip whole, as `decode_blocks`."""
    return np.concatenate(list(decode_blocks(path, sample_rate, seconds, keep_silence=keep_silence)))


def decode_blocks(
    path: Path, sample_rate: int, seconds: float | None = None, *, keep_silence: bool = False
) -> Iterator[np.ndarray]:
    """Read a clip of any rate and any number of channels, ten seconds at a time.

    Args:
        path: File that libsndfile reads.
        sample_rate: Samples per second to resample to.
        seconds: Length that is read, from the start; ``None`` for all.
        keep_silence: Whether clips may be silent, or shorter than 50 ms.

    Yields:
        Mean of the channels, float32, shape ``(time,)``.

    Raises:
        BadDataError: If the file cannot be decoded, was cut short (where that can be seen: most formats have a length
            in the header, Ogg marks its end), is empty, or has samples that are not finite; or if it is silent in what
            is read, or too short.
    """
    wanted = math.inf if seconds is None else round(seconds * sample_rate)
    loudest, given = 0.0, 0
    try:
        with _open(path) as file:
            rate = file.samplerate
            if not keep_silence and file.frames < SHORTEST * rate:
                raise BadDataError(f"has {file.frames} samples at {rate} Hz, at least {SHORTEST} s are needed")
            left = file.frames if seconds is None else min(file.frames, math.ceil((seconds + MARGIN) * rate))
            resampler = None if rate == sample_rate else soxr.ResampleStream(rate, sample_rate, 1, quality="VHQ")
            while left:
                samples = file.read(min(left, round(BLOCK * rate)), dtype="float32", always_2d=True)
                if not len(samples):
                    raise BadDataError(f"ends {left / rate:.3g} s before its header says (was it cut short?)")
                left -= len(samples)
                mono = samples.mean(axis=1)
                if not np.isfinite(mono).all():
                    raise BadDataError("has samples that are not finite")
                if resampler is not None:
                    mono = resampler.resample_chunk(mono, last=not left)
                mono = mono[: int(min(len(mono), wanted - given))]
                loudest, given = max(loudest, float(np.abs(mono).max(initial=0.0))), given + len(mono)
                if len(mono):
                    yield mono
    except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
        raise BadDataError(f"cannot be decoded ({' '.join(str(error).split())})") from error
    if not given:
        raise BadDataError(f"has no samples at {sample_rate} Hz")
    if not keep_silence and loudest < 1e-5:
        raise BadDataError("is silent" if seconds is None else f"is silent in its first {seconds:g} s")


def divide_by_peak(waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform to a peak of almost one, float32; the published code divides by the peak plus 1e-4."""
    scaled: np.ndarray = waveform / (np.abs(waveform).max() + np.float32(1e-4))
    return scaled.astype(np.float32, copy=False)


def duration(path: Path) -> float:
    """Seconds of a clip by its header; 0 for one that cannot be opened, which decoding it will tell."""
    samples, rate = _header(path) or (0, 1)
    return samples / rate


def native_rate(path: Path) -> int | None:
    """Sample rate of a clip by its header; ``None`` for one that cannot be opened."""
    header = _header(path)
    return None if header is None else header[1]


def _header(path: Path) -> tuple[int, int] | None:
    """Samples and sample rate of a clip; ``None`` for one that cannot be opened."""
    try:
        with _open(path) as file:
            return int(file.frames), int(file.samplerate)
    except (OSError, RuntimeError, BadDataError):
        return None


def _open(path: Path) -> soundfile.SoundFile:
    """Open a file, and see that it has as many samples as its header says."""
    if path.stat().st_size == 0:
        raise BadDataError("is an empty file")
    file = soundfile.SoundFile(_encoded(path))
    try:
        if problem := _cut_short(file, path):
            raise BadDataError(problem)
        if file.frames and file.seekable():  # formats without a length in the header end early only when read there
            file.seek(file.frames - 1)
            if not len(file.read(1)):
                raise BadDataError("ends before its header says (was it cut short?)")
            file.seek(0)
    except BaseException:
        file.close()
        raise
    if file.frames or not re.search(r"^data : 0$", file.extra_info, re.MULTILINE):
        return file
    file.close()
    return soundfile.SoundFile(_with_length(path))


def _cut_short(file: soundfile.SoundFile, path: Path) -> str | None:
    """Tell whether a file ends before its header, or its format, says; ``None`` if it is whole."""
    for header, there in STATED.findall(file.extra_info):
        if int(header) < UNKNOWN and int(header) - int(there) > MISSING:
            return f"was cut short: {header} bytes by its header, {there} there"
    if file.frames >= 2**62:
        return "has no length in its header, as FLAC that was piped: encode it again"
    if file.format == "NIST":
        with path.open("rb") as opened:
            count = re.search(rb"sample_count -i (\d+)", opened.read(1024))
        if count and file.frames < int(count[1]):
            return f"was cut short: {int(count[1])} samples by its header, {file.frames} there"
    if file.format == "OGG" and not _has_last_page(path):
        return "ends before its last page (was it cut short?)"
    return None


def _has_last_page(path: Path) -> bool:
    """Whether an Ogg file ends with a page that is whole and marked as the last one."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * PAGE))
        end = file.read()
    end = end[max(0, end.rfind(b"OggS")) :]
    return len(end) > 26 and end[5] & 4 != 0 and 27 + end[26] + sum(end[27 : 27 + end[26]]) <= len(end)


def _encoded(path: Path) -> str | bytes:
    """Path as libsndfile takes it; names that are not UTF-8 are bytes."""
    name = os.fsencode(path)
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name


def _with_length(path: Path) -> io.BytesIO:
    """Return a piped WAV whose header says that it has no samples, with the number it has; an empty one as it is."""
    content, chunk = bytearray(path.read_bytes()), 12

    def size(start: int) -> int:
        return int.from_bytes(content[start + 4 : start + 8], "little")

    if not 0 <= len(content) - 8 - size(0) <= 1:  # else it was not piped, and what follows are other chunks
        while content[chunk : chunk + 4] not in (bytearray(b"data"), bytearray()):
            chunk += 8 + size(chunk) + size(chunk) % 2
        content[chunk + 4 : chunk + 8] = min(max(0, len(content) - chunk - 8), 0xFFFFFFFE).to_bytes(4, "little")
    return io.BytesIO(bytes(content))
