"""Front-ends with the numbers of published models: the features that their networks were trained on.

Each function returns a `MelFrontend` whose features are those of the model's own processor, or with ``learn=True`` a
`LearnableMelFilterbank` with the same features until it learns. Axes are ours, ``(..., n_filters, frames)``. The docs'
page "In front of your model" has the measured differences, and says what cannot be equal.
"""

from learnable_frontends.presets.kaldi import (
    ast,
    beats,
    kaldi_fbank,
    kaldi_framing,
    povey_window,
    seamless_m4t,
    speech_to_text,
)
from learnable_frontends.presets.sounds import atst, clap, efficientat, musicnn, panns, vggish, yamnet
from learnable_frontends.presets.speech import (
    bigvgan,
    hifigan,
    nemo,
    resemblyzer,
    speechbrain_fbank,
    speecht5,
    whisper,
)

__all__ = [
    "ast",
    "atst",
    "beats",
    "bigvgan",
    "clap",
    "efficientat",
    "hifigan",
    "kaldi_fbank",
    "kaldi_framing",
    "musicnn",
    "nemo",
    "panns",
    "povey_window",
    "resemblyzer",
    "seamless_m4t",
    "speech_to_text",
    "speechbrain_fbank",
    "speecht5",
    "vggish",
    "whisper",
    "yamnet",
]
