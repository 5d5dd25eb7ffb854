"""Train a classifier of your own sounds: learnable filters and a small network, tested on a fifth of each class."""

import argparse
import json
from functools import partial
from pathlib import Path

import soundfile
import torch
from torch import nn

import learnable_frontends as lf
from learnable_frontends import plotting, presets, pretrained

FAMILIES = {"learnable-mel": lf.LearnableMelFilterbank, "gaussian": lf.GaussianFilterbank}
FAMILIES |= {"cos-gauss": lf.CosGaussFilterbank, "mel": lf.MelFrontend}
MODELS = ["panns", "yamnet", "vggish", "beats", "nemo", "kaldi_fbank", "seamless_m4t", "speechbrain_fbank"]
PRESETS = {"whisper": partial(presets.whisper, seconds=None), **{name: vars(presets)[name] for name in MODELS}}
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("folder", type=Path, metavar="FOLDER", help="your sounds: FOLDER/<class>/<sound>")
parser.add_argument("--frontend", choices=[*FAMILIES, *PRESETS], default="learnable-mel", help="filters, or a preset")
parser.add_argument("--load", type=Path, metavar="FOLDER", help="a saved front-end, such as the probe's, to start from")
parser.add_argument("--sample-rate", type=int, default=16000, help="sample rate in Hz; presets have their own")
parser.add_argument("--epochs", type=int, choices=range(1, 101), metavar="1..100", default=20, help="passes over all")
parser.add_argument("--out", type=Path, default=Path("trained"), help="folder to write frontend/, network.pt2, ... to")
folder, kind, load, rate, epochs, out = vars(parser.parse_args()).values()
try:
    (out / "frontend").mkdir(parents=True, exist_ok=True)  # a bad --out fails here, not after the training
    make = partial(FAMILIES[kind], rate, 64) if kind in FAMILIES else partial(PRESETS[kind], learn=True)
    frontend = pretrained.from_pretrained(load) if load else make()
except (OSError, ValueError) as error:
    parser.error(f"--load {load}, --sample-rate {rate} or --out {out} cannot be used: {error}")
rate, sounds, labels, left_out = round(frontend.sample_rate), [], [], []
unseen = {path for pattern in ("**/.*", "**/.*/**/*", "__MACOSX/**/*") for path in folder.glob(pattern)}
for path in sorted({*folder.glob("*/**/*.*")} - unseen):
    try:
        with soundfile.SoundFile(path) as file:
            sound = torch.from_numpy(file.read(10 * file.samplerate, "float32", always_2d=True)).mean(1)
        if len(sound) < file.samplerate / 10 or not 0 < sound.abs().max() < float("inf"):
            raise ValueError("shorter than 0.1 s, silent, or not finite")
        sound = torch.fft.irfft(torch.fft.rfft(sound), round(len(sound) * rate / file.samplerate))  # resampled
        sounds.append(sound / sound.abs().max())
        labels.append(path.relative_to(folder).parts[0])
    except (RuntimeError, TypeError, ValueError) as error:
        left_out.append(f"  {path}: {str(error).rpartition(': ')[2]}")
print(f"{len(sounds)} sounds, {len(left_out)} files left out", *left_out, sep="\n")
if len(names := sorted(set(labels))) < 2 or min(map(labels.count, names)) < 2:
    parser.error(f"{folder}/<class>/<sound> must be 2 classes of 2 or more, got {[labels.count(n) for n in names]}")
torch.manual_seed(0)
length = sorted(map(len, sounds))[len(sounds) // 2]  # the median; longer sounds are cut, shorter ones padded
x = torch.stack([nn.functional.pad(sound, (0, length - len(sound))) for sound in sounds])
y = torch.tensor([names.index(label) for label in labels])
order = (y + torch.rand(len(y))).argsort()  # class by class, shuffled within each
test, train = order[::5], order[torch.arange(len(y)) % 5 > 0]
network = nn.Sequential(
    nn.BatchNorm1d(frontend.n_filters), nn.Conv1d(frontend.n_filters, 96, 5, padding=2), nn.ReLU(),
    nn.BatchNorm1d(96), nn.Conv1d(96, 96, 5, padding=2), nn.ReLU(),
    nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(96, len(names)),
)  # fmt: skip
model = lf.WaveformModel(frontend, network)
optimizer = torch.optim.AdamW(model.param_groups(lr=3e-3, frontend_lr=1e-2))
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in optimizer.param_groups], total_steps=epochs)
for epoch in range(1, epochs + 1):
    for batch in train[torch.randperm(len(train))].split(32):
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    print(f"epoch {epoch}: loss {loss.item():.2f}")
right = torch.cat([model.eval()(x[batch]).argmax(-1) == y[batch] for batch in test.split(32)])
pretrained.save_pretrained(frontend, out / "frontend")
any_size = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}  # clips and frames
program = torch.export.export(network, (frontend(x[:2]).detach(),), dynamic_shapes=(any_size,))
torch.export.save(program, out / "network.pt2")
(out / "classes.json").write_text(json.dumps({"names": names, "sample_rate": rate, "seconds": length / rate}), "utf-8")
plotting.plot_movement(frontend)[0].savefig(out / "movement.png")
print(f"front-end, network, names of classes and movement.png are in {out}")
print(f"accuracy on {len(test)} held-out sounds: {100 * right.float().mean():.1f} % (less on other recordings)")
