"""What the log's episodes still earned from some step on: the least, and what is usual."""

from __future__ import annotations

from collections.abc import Callable

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

    It is what a step into the unknown is worth: no policy that the log supports does worse.

    Args:
        dataset: the log.
        discount: per step.

    Returns:
        By age from 0 to the episode limit, at which it is 0: L is one more than the limit.
    """
    return _by_age(dataset, discount, np.min)


def usual(dataset: Dataset, discount: float) -> Float32[Tensor, " L"]:
    """Returns the mean discounted return that episodes still earned, by their age in steps.

    Args:
        dataset: the log.
        discount: per step.

    Returns:
        As `floor`.
    """
    return _by_age(dataset, discount, np.mean)


def _by_age(
    dataset: Dataset, discount: float, of: Callable[[NDArray[np.float64]], np.float64]
) -> Float32[Tensor, " L"]:
    """Goes back from the episodes' last steps, all at once.

    Where episodes end before the limit without a terminal, the log was cut there: what they would
    have earned is not known, so they count only where no other episode is left.
    """
    limit = dataset.spec.episode_limit
    picked = np.arange(dataset.episodes)
    if len(picked) > _EPISODES:
        random = np.random.default_rng(seeds.derive(0, "returns to go"))
        picked = np.sort(random.choice(len(picked), _EPISODES, replace=False))
    length, first = dataset.lengths[picked], dataset.episode_start[picked]
    whole = take(dataset.terminated, first + length - 1) | (length >= limit)
    if whole.any():
        length, first = length[whole], first[whole]
    found = np.zeros(limit + 1, np.float32)
    to_go, longest = np.zeros(len(first)), min(int(length.max()), limit)
    for age in range(longest - 1, -1, -1):
        on = np.flatnonzero(age < length)
        to_go[on] = take(dataset.reward, first[on] + age) + discount * to_go[on]
        found[age] = of(to_go[on])
    found[longest:limit] = found[longest - 1]
    return torch.from_numpy(found)
