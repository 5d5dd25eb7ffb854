"""A linear classifier of clips, and the splits into clips for training and for test."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["classified", "draw_splits", "number_sources"]

EXTRA = 'learnable_frontends.analysis.probe needs scikit-learn: pip install "learnable-frontends[probe]"'


def classified(values: Tensor, codes: Tensor, training: Tensor, test: Tensor) -> Tensor:
    """Train linear discriminants on the training clips, and return for each test clip whether its class is right."""
    from sklearn.covariance import ledoit_wolf  # one fit for all classes; scikit-learn's discriminants fit each class

    known, own = values[training], codes[training]
    counts = own.bincount(minlength=int(codes.max()) + 1).double()[:, None]
    means = known.new_zeros(len(counts), known.shape[1]).index_add(0, own, known) / counts.clamp_min(1)
    rest = known - means[own]
    scales = rest.std(0).clamp_min(1e-12)
    covariance = torch.from_numpy(ledoit_wolf((rest / scales).numpy(), assume_centered=True)[0])
    directions = torch.linalg.solve(covariance, (means / scales).mT)  # (values, classes)
    offsets = (counts / len(known)).log().mT - (means / scales * directions.mT).sum(1) / 2
    right: Tensor = (values[test] / scales @ directions + offsets).argmax(1) == codes[test]
    return right


def draw_splits(codes: Tensor, sources: Tensor, folds: int, repeats: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Draw training and test clips for every fold of each repeat; every class has clips in every training set."""
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{EXTRA} (no module named {error.name})", name=error.name) from error
    of_class = [len(sources[codes == code].unique()) for code in range(int(codes.max()) + 1)]
    if min(of_class) < 2:
        raise ValueError("groups must be two or more for each class, since a class that is held out cannot be learned")
    found = []
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(min(folds, *of_class), shuffle=True, random_state=seed + repeat)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with fewer clips than folds: the number of groups matters here
            drawn = list(splitter.split(codes.numpy(), codes.numpy(), sources.numpy()))
        found += [(torch.from_numpy(training), torch.from_numpy(test)) for training, test in drawn]
    return found


def number_sources(groups: Sequence[Hashable] | None, codes: Tensor) -> Tensor:
    """Return a number for the source of each clip."""
    if groups is None:
        return torch.arange(len(codes))
    names = groups.tolist() if isinstance(groups, Tensor) else list(groups)
    if len(names) != len(codes):
        raise ValueError(f"groups must be one for each of {len(codes)} waveforms, got {len(names)}")
    order = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([order[name] for name in names])
