"""The least that the log ever earned from some step on: what a step into the unknown is worth."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from moma_core import seeds
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take

_EPISODES = 10_000
"""Episodes looked at, at most: drawn where there are more."""


def floor(dataset: Dataset, discount: float) -> Float32[Tensor, " L"]:
    """Returns the least discounted return that any episode still earned, by its age in steps.

    Where episodes end before the limit without a terminal, the log was cut there: what they would
    have earned is not known, so they count only where no other episode is left.

    Args:
        dataset: the log.
        discount: per step.

    Returns:
        By age from 0 to the episode limit, at which it is 0: L is one more than the limit.
    """
    limit = dataset.spec.episode_limit
    picked = np.arange(dataset.episodes)
    if len(picked) > _EPISODES:
        random = np.random.default_rng(seeds.derive(0, "floor"))
        picked = np.sort(random.choice(len(picked), _EPISODES, replace=False))
    length, first = dataset.lengths[picked], dataset.episode_start[picked]
    terminated = take(dataset.terminated, first + length - 1)
    whole = terminated | (length >= limit)
    if not whole.any():
        whole = np.ones_like(whole)
    return torch.from_numpy(_least(dataset, first[whole], length[whole], limit, discount))


def _least(
    dataset: Dataset,
    first: NDArray[np.int64],
    length: NDArray[np.int64],
    limit: int,
    discount: float,
) -> NDArray[np.float32]:
    """Goes back from the episodes' last steps, all at once."""
    least = np.full(limit + 1, np.nan, np.float32)
    to_go = np.zeros(len(first))
    for age in range(int(length.max()) - 1, -1, -1):
        on = np.flatnonzero(age < length)
        to_go[on] = take(dataset.reward, first[on] + age) + discount * to_go[on]
        least[age] = to_go[on].min()
    last = np.flatnonzero(~np.isnan(least)).max()
    least[last + 1 :] = least[last]
    least[limit] = 0.0
    return least
