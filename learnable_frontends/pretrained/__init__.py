"""Saving, loading and sharing of front-ends, as a readable configuration and tensors. It needs the extra ``[hub]``."""

try:
    import huggingface_hub  # noqa: F401
    import safetensors  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'learnable_frontends.pretrained needs huggingface_hub and safetensors: pip install "learnable-frontends[hub]"'
    ) from error

from learnable_frontends.pretrained.hub import from_pretrained, push_to_hub, save_pretrained
from learnable_frontends.pretrained.registry import register

__all__ = ["from_pretrained", "push_to_hub", "register", "save_pretrained"]
