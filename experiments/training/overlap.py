"""The similarity of neighboring filters: a measure of it, and a term of the loss that keeps filters apart."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import cosine_similarity

from learnable_frontends.frontend import Frontend

__all__ = ["neighbor_overlap"]


def neighbor_overlap(frontend: Frontend) -> Tensor:
    """Cosine similarity of the power responses of neighbors in center frequency.

    Filters that drift together say the same thing twice and leave a gap elsewhere. What they are alike more than they
    were when made is a penalty that is zero at the start and touches no filter that keeps its distance::

        initial = neighbor_overlap(frontend.as_initialized()).detach()
        loss = loss + strength * (neighbor_overlap(frontend) - initial).relu().mean()

    Args:
        frontend: Any front-end of two filters or more.

    Returns:
        Shape ``(n_filters - 1,)``, from 0 for filters that share no frequency to 1 for equal ones; differentiable.

    Raises:
        ValueError: If there is only one filter.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, n_filters=3, init=[1000.0, 1050.0, 4000.0])
        >>> print([f"{overlap:.2f}" for overlap in neighbor_overlap(bank)])
        ['0.43', '0.00']
    """
    if frontend.n_filters < 2:
        raise ValueError(f"frontend must have two filters or more to have neighbors, got {frontend.n_filters}")
    response = frontend.power_response(2 * math.ceil(frontend.n_fft / 2))
    return cosine_similarity(response[1:], response[:-1], dim=-1)
