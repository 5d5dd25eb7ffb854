# Features of published models in NumPy, float64, written from the facts about them: what presets are compared with.
import librosa
import numpy as np

FLOOR = float(np.finfo(np.float32).eps)


def hann(length, *, periodic=True):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length if periodic else length - 1))


def cut(x, length, hop):
    return np.lib.stride_tricks.sliding_window_view(x, length)[::hop]


def power(frames, window, n_fft):
    return np.abs(np.fft.rfft(frames * window, n_fft)) ** 2


def centered(x, window, n_fft, hop, mode):
    """As torch.stft: the window in the middle of n_fft samples."""
    before = (n_fft - len(window)) // 2
    window = np.pad(window, (before, n_fft - len(window) - before))
    return power(cut(np.pad(x, n_fft // 2, mode=mode), n_fft, hop), window, n_fft)


def slaney(rate, n_fft, n_mels, f_min, f_max):
    return librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, htk=False, norm="slaney", dtype=np.float64
    )


def htk(rate, n_fft, n_mels, f_min, f_max):
    return librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, htk=True, norm=None, dtype=np.float64
    )


def on_mel_axis(rate, n_fft, n_mels, f_min, f_max):
    """Kaldi's and TensorFlow's triangles: straight over 1127 ln(1 + f / 700)."""
    mel = 1127 * np.log1p(np.arange(n_fft // 2 + 1) * rate / n_fft / 700)
    low, high = 1127 * np.log1p(np.array([f_min, f_max]) / 700)
    step = (high - low) / (n_mels + 1)
    left = low + step * np.arange(n_mels)[:, None]
    rise, fall = (mel - left) / step, (left + 2 * step - mel) / step
    return np.maximum(0, np.minimum(rise, fall))


def symmetric(rate, n_fft, n_mels, f_min, f_max):
    """SpeechBrain's: each as wide on both sides as the gap to the filter on its left."""
    mel = np.linspace(*(2595 * np.log10(1 + np.array([f_min, f_max]) / 700)), n_mels + 2)
    hz = 700 * (10 ** (mel / 2595) - 1)
    band, center = np.diff(hz)[:-1, None], hz[1:-1, None]
    return np.maximum(0, 1 - np.abs(np.arange(n_fft // 2 + 1) * rate / n_fft - center) / band)


def kaldi(x, n_mels, *, window, scale=32768.0, f_min=20.0, f_max=8000.0):
    frames = cut(x * scale, 400, 160)
    frames = frames - frames.mean(1, keepdims=True)
    frames = np.concatenate([0.03 * frames[:, :1], frames[:, 1:] - 0.97 * frames[:, :-1]], 1)
    energies = power(frames, window, 512)[:, :256] @ on_mel_axis(16000, 512, n_mels, f_min, f_max)[:, :256].T
    return np.log(np.maximum(energies, FLOOR)).T


POVEY, SYMMETRIC = hann(400, periodic=False) ** 0.85, hann(400, periodic=False)


def whisper(x):
    x = np.pad(x, (0, 480000 - len(x)))
    energies = slaney(16000, 400, 80, 0, 8000) @ centered(x, hann(400), 400, 160, "reflect").T
    logs = np.log10(np.maximum(energies, 1e-10))[:, :-1]
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


def ast(x):
    features = kaldi(x, 128, window=SYMMETRIC, scale=1.0)[:, :1024]
    features = np.pad(features, ((0, 0), (0, 1024 - features.shape[1])))
    return (features + 4.2677393) / (2 * 4.5689974)


def beats(x):
    return (kaldi(x, 128, window=POVEY) - 15.41663) / (2 * 6.55582)


def seamless(x):
    features = kaldi(x, 80, window=POVEY)
    mean, variance = features.mean(1, keepdims=True), features.var(1, ddof=1, keepdims=True)
    return (features - mean) / np.sqrt(variance + 1e-7)


def speech_to_text(x):
    features = kaldi(x, 80, window=POVEY)
    return (features - features.mean(1, keepdims=True)) / features.std(1, keepdims=True)


def clap(x, matrix):
    x = np.tile(x, 480000 // len(x))
    x = np.pad(x, (0, 480000 - len(x)))
    energies = matrix(48000, 1024, 64, 0, 14000) @ centered(x, hann(1024), 1024, 480, "reflect").T
    return 10 * np.log10(np.maximum(energies, 1e-10))


def speecht5(x):
    magnitudes = np.sqrt(centered(x, hann(1024), 1024, 256, "reflect"))
    return np.log10(np.maximum(1e-10, slaney(16000, 1024, 80, 80, 7600) @ magnitudes.T))


def panns(x):
    energies = slaney(32000, 1024, 64, 50, 14000) @ centered(x, hann(1024), 1024, 320, "reflect").T
    return 10 * np.log10(np.maximum(1e-10, energies))


def musicnn(x):
    energies = slaney(16000, 512, 96, 0, 8000) @ centered(x, hann(512), 512, 256, "constant").T
    return np.log10(1 + 10000 * energies)


def atst(x):
    decibels = 10 * np.log10(
        np.maximum(1e-10, htk(16000, 1024, 64, 60, 7800) @ centered(x, hann(1024), 1024, 160, "reflect").T)
    )
    decibels = np.maximum(decibels, decibels.max() - 80)
    return (decibels + 79.6482) / (50.6842 + 79.6482) * 2 - 1


def tensorflow(x, offset):
    magnitudes = np.sqrt(power(cut(x, 400, 160), hann(400), 512))
    return np.log(magnitudes @ on_mel_axis(16000, 512, 64, 125, 7500).T + offset).T


def nemo(x):
    x = np.concatenate([x[:1], x[1:] - 0.97 * x[:-1]])
    energies = slaney(16000, 512, 80, 0, 8000) @ centered(x, SYMMETRIC, 512, 160, "constant").T
    features = np.log(energies + 2.0**-24)[:, : len(x) // 160]
    return (features - features.mean(1, keepdims=True)) / (features.std(1, ddof=1, keepdims=True) + 1e-5)


def efficientat(x):
    x = x[1:] - 0.97 * x[:-1]
    energies = centered(x, hann(800, periodic=False), 1024, 320, "reflect") @ on_mel_axis(32000, 1024, 128, 0, 15000).T
    return (np.log(energies + 1e-5).T + 4.5) / 5


def vocoder(x, rate, n_mels, f_max):
    frames = cut(np.pad(x, 384, mode="reflect"), 1024, 256)
    magnitudes = np.sqrt(power(frames, hann(1024), 1024) + 1e-9)
    return np.log(np.maximum(1e-5, slaney(rate, 1024, n_mels, 0, f_max) @ magnitudes.T))


def speechbrain(x):
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    energies = symmetric(16000, 400, 40, 0, 8000) @ centered(x, hamming, 400, 160, "constant").T
    decibels = 10 * np.log10(np.maximum(1e-10, energies))
    return np.maximum(decibels, decibels.max() - 80)


def resemblyzer(x):
    return slaney(16000, 400, 40, 0, 8000) @ centered(x, hann(400), 400, 160, "constant").T


# By the preset: its arguments, and what the features are.
REFERENCES = {
    "whisper": ({}, whisper),
    "ast": ({}, ast),
    "beats": ({}, beats),
    "seamless_m4t": ({}, seamless),
    "speech_to_text": ({}, speech_to_text),
    "kaldi_fbank": ({}, lambda x: kaldi(x, 80, window=POVEY)),
    "clap": ({}, lambda x: clap(x, htk)),
    "clap unfused": ({"fused": False}, lambda x: clap(x, slaney)),
    "speecht5": ({}, speecht5),
    "panns": ({}, panns),
    "musicnn": ({}, musicnn),
    "atst": ({}, atst),
    "vggish": ({}, lambda x: tensorflow(x, 0.01)),
    "yamnet": ({}, lambda x: tensorflow(x, 0.001)),
    "nemo": ({}, nemo),
    "efficientat": ({}, efficientat),
    "hifigan": ({}, lambda x: vocoder(x, 22050, 80, 8000)),
    "bigvgan": ({}, lambda x: vocoder(x, 24000, 100, 12000)),
    "speechbrain_fbank": ({}, speechbrain),
    "resemblyzer": ({}, resemblyzer),
}
