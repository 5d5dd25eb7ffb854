"""What tells the state of one filterbank from that of another: its family, sample rate and band, in the state dict.

Free parameters are unit-free: those of a bank for 44.1 kHz have the shape of those for 16 kHz, and other centers there.
"""

from __future__ import annotations

import zlib
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor

from learnable_frontends._parameters import DeclaredParameters

__all__ = ["Fingerprinted"]


class Fingerprinted(DeclaredParameters):
    """A module whose state dict has a ``fingerprint`` of five integers; the state of another module is refused.

    The buffer only makes room for it, since frameworks load and move what is registered. Its value is never trusted:
    what is saved and compared are the numbers that the constructor was told. States without it load.
    """

    fingerprint: Tensor

    def _set_fingerprint(self, sample_rate: float, f_min: float, f_max: float, kind: str = "") -> None:
        """Set the numbers; ``kind`` names a setting of the family that its parameters have no meaning without."""
        family = zlib.crc32(type(self).__name__.encode() + kind.encode())
        self._identity = [1, family, *(round(1000 * hz) for hz in (sample_rate, f_min, f_max))]
        self.register_buffer("fingerprint", torch.tensor(self._identity, dtype=torch.int64))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set this bank's own parameters to where the constructor started them."""
        super().reset_parameters()
        self.fingerprint.copy_(torch.tensor(self._identity, device="cpu"))

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.fingerprint.is_meta:
            destination[prefix + "fingerprint"] = torch.tensor(self._identity, device=self.fingerprint.device)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, *lists: list[str]
    ) -> None:
        key, errors = prefix + "fingerprint", lists[-1]
        given = state_dict.get(key)
        if given is not None and not given.is_meta and given.tolist() != self._identity:
            taken = any(prefix + name in state_dict for name in self._parameters)
            if taken or given.tolist()[:2] == self._identity[:2]:
                errors.append(
                    f"{self._refusal(given.tolist())} (to load it all the same, remove {key!r} from the state)"
                )
            given = None  # of another family, of which nothing is taken: only the rest of a model is loaded
        if given is None or given.is_meta:
            state_dict = {**state_dict, key: torch.tensor(self._identity, device="cpu")}
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, *lists)

    def _refusal(self, given: list[int]) -> str:
        name = type(self).__name__
        if given[:2] != self._identity[:2]:
            return f"state must be of a {name}, got one of another family"
        own, other = (
            "sample_rate={:g}, f_min={:g}, f_max={:g}".format(*(millihertz / 1000 for millihertz in identity[2:]))
            for identity in (self._identity, given)
        )
        return f"state must be of a {name} with {own}, got one with {other}"
