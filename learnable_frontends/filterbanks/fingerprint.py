"""The fingerprint in the state dict, by which the state of another family, sample rate or band is recognized.

Free parameters have no unit. Those of a filterbank for 44.1 kHz would load into one for 16 kHz, and mean other centers.
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
    """A module whose state dict has a ``fingerprint`` of five integers, and which refuses a state with another one.

    The buffer is only a placeholder, since frameworks load and move what is registered. Its value is never used: the
    numbers that are saved and compared are those of the constructor. States without a fingerprint load.
    """

    fingerprint: Tensor

    def _set_fingerprint(self, sample_rate: float, f_min: float, f_max: float, kind: str = "") -> None:
        """Set the fingerprint; ``kind`` names a setting of the family that changes the meaning of its parameters."""
        family = zlib.crc32(type(self).__name__.encode() + kind.encode())
        self._identity = [1, family, *(round(1000 * hz) for hz in (sample_rate, f_min, f_max))]
        self.register_buffer("fingerprint", torch.tensor(self._identity, dtype=torch.int64))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set this filterbank's own parameters to the values that they had after construction."""
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
            given = None  # the state has no parameters for this filterbank: only the rest of a model is loaded
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
