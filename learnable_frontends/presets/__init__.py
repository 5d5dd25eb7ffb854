"""Front-ends with the settings of published models: the features that their networks were trained on.

Each function returns a `MelFrontend` with the features of the model's own processor or, with ``learn=True``, a
`LearnableMelFilterbank` that starts with the same features. The axes are those of this package, ``(..., n_filters,
frames)``. :doc:`/guides/pretrained` lists the measured differences, and what cannot be reproduced.
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
