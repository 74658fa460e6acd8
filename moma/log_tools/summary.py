"""A dataset in numbers: how long, how good, how its features and actions are distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.findings.values import Extremes, extremes
from moma_core import seeds
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take

ROWS = 20_000
"""Rows that distributions are estimated from, at most."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a data card shows; lengths, returns and extremes are exact."""

    lengths: NDArray[np.int64]
    """Steps of every episode, `[K]`."""
    returns: NDArray[np.float64]
    """Undiscounted return of every episode, `[K]`."""
    extremes: Extremes
    """Extremes of the state's features."""
    state: NDArray[np.float32]
    """States of uniformly drawn rows, without replacement, in order; `[m S]`."""
    action: NDArray[np.float32]
    """Actions there, `[m A U]`."""

    @property
    def scale(self) -> NDArray[np.float64]:
        """Standard deviation of every feature in the drawn rows, 0 for a constant one; `[S]`."""
        varies = self.extremes.high > self.extremes.low
        return np.where(varies, self.state.std(axis=0, dtype=np.float64), 0.0)


def summarise(dataset: Dataset, seed: int = 0) -> Summary:
    """Goes through a sound dataset's states and rewards once and draws rows."""
    state, action = _draw(dataset, seed)
    return Summary(
        lengths=dataset.lengths,
        returns=dataset.returns(),
        extremes=extremes(dataset.state),
        state=state,
        action=action,
    )


def _draw(dataset: Dataset, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(seeds.derive(seed, "summary"))
    count = min(ROWS, dataset.transitions)
    row = np.sort(random.choice(dataset.transitions, count, replace=False, shuffle=False))
    return take(dataset.state, row + dataset.episode_of(row)), take(dataset.action, row)
