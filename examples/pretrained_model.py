"""Put a front-end in front of a pretrained Audio Spectrogram Transformer, and classify a sound file.

The model then takes waveforms: features are computed inside it, for a whole batch, on its device, and
the filters can learn, as the last lines show. It needs: pip install transformers soundfile
"""

from __future__ import annotations

import argparse

import soundfile
import torch
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTForAudioClassification, AutoConfig

from learnable_frontends import WaveformModel, presets


def read(path: str, rate: int) -> Tensor:
    """Read a sound file as one channel at the given sample rate."""
    samples, old_rate = soundfile.read(path, dtype="float32", always_2d=True)
    waveform = torch.from_numpy(samples).mean(1)
    if not len(waveform):
        raise ValueError("it is empty")
    length = max(1, round(len(waveform) * rate / old_rate))
    resampled: Tensor = torch.fft.irfft(torch.fft.rfft(waveform), length) * (length / len(waveform))
    return resampled


@torch.no_grad()
def main() -> None:
    """Parse the command line and classify the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sound", metavar="SOUND", help="sound file in a format of libsndfile; the first 10 s count")
    parser.add_argument(
        "--model",
        default="MIT/ast-finetuned-audioset-10-10-0.4593",
        help="name on the Hugging Face Hub, or a folder (default: %(default)s)",
    )
    options = parser.parse_args()
    try:
        waveform = read(options.sound, 16000)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        parser.error(f"SOUND must be a file that libsndfile reads, got {options.sound} ({error})")
    try:
        kind = AutoConfig.from_pretrained(options.model).model_type
        if kind != "audio-spectrogram-transformer":
            raise ValueError(f"it is of type {kind}; see docs/guides/pretrained.md for others")
        network = ASTForAudioClassification.from_pretrained(options.model)
        processor = ASTFeatureExtractor.from_pretrained(options.model)  # for its settings
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        parser.error(f"--model must be an Audio Spectrogram Transformer, got {options.model} ({reason})")

    numbers = {"frames": processor.max_length, "mean": processor.mean, "std": processor.std}
    model = WaveformModel(presets.ast(**numbers), network, frames_first=True, keyword="input_values").eval()
    logits = model(waveform[None]).logits
    best = logits[0].softmax(-1).topk(min(5, logits.shape[-1]))
    for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        print(f"{100 * probability:5.1f} %  {network.config.id2label[index]}")

    features = processor(waveform.numpy(), sampling_rate=16000, return_tensors="pt")
    print(f"largest difference from the processor's logits: {(network(**features).logits - logits).abs().max():.1g}")

    # The same features, from filters that learn:
    model.frontend = presets.ast(learn=True, **numbers)
    print(f"with filters that learn: {(model(waveform[None]).logits - logits).abs().max():.1g}")
    groups = model.param_groups(lr=1e-5, frontend_lr=1e-3)
    optimizer = torch.optim.AdamW(groups)  # ready for training
    for group in optimizer.param_groups:
        print(f"{group['name']}: {sum(p.numel() for p in group['params'])} numbers, learning rate {group['lr']:g}")


if __name__ == "__main__":
    main()
