"""What a log is like, measured in bounded memory: what its settings are chosen by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import Columns, chunks, take
from moma_core.recipes.from_log import MANY, LogFacts

_STATES = 100_000
"""States that are counted by content, at most: evenly spread over the log."""
_FITTED = 20_000
"""States that the features are compared in, at most."""
_EPISODES, _AGES = 1000, 16
"""Episodes and ages at which features are looked at for what they still tell."""
_EXACT = 1e-3
"""Deviation, in deviations of the feature, up to which a feature counts as known."""
_BLOCK = 1 << 20
"""Bytes of rewards that are looked at before the next ones are read."""


def best_tenth(returns: NDArray[np.float64]) -> float:
    """Returns the mean of the best tenth of episodes' returns, of one episode at least."""
    best = np.sort(returns)[-max(1, len(returns) // 10) :]
    return float(best.mean())


def measure(dataset: Dataset) -> LogFacts:
    """Returns the facts of a log."""
    spec, returns = dataset.spec, dataset.returns()
    states = _spread(dataset.state, _STATES)
    return LogFacts(
        episodes=dataset.episodes,
        transitions=dataset.transitions,
        state_width=spec.state_width,
        observation_widths=tuple(map(len, spec.observation_index)),
        action_widths=tuple(map(len, spec.action_low)),
        discrete=spec.discrete,
        episode_limit=spec.episode_limit,
        length_mean=float(dataset.lengths.mean()),
        terminal_share=len(dataset.terminals) / dataset.episodes,
        return_mean=float(returns.mean()),
        return_std=float(returns.std()),
        return_best_tenth=best_tenth(returns),
        rewards=_rewards(dataset.reward),
        states=_different(states),
        all_seen=all(_known(states, list(own)) for own in spec.observation_index),
        forgets=_forgets(dataset),
    )


def _spread(array: NDArray[Any] | Columns, count: int) -> NDArray[Any]:
    """Returns rows that are evenly spread over an array, all where it has no more."""
    return take(array, np.linspace(0, len(array) - 1, min(count, len(array))).astype(np.int64))


def _rewards(reward: NDArray[np.float32]) -> int:
    """Returns the number of different rewards."""
    found = np.empty(0, np.float32)
    for _, part in chunks(reward, _BLOCK):
        found = np.union1d(found, part)
        if len(found) >= MANY:
            return MANY
    return len(found)


def _different(states: NDArray[np.float32]) -> int:
    """Returns the number of different rows."""
    found = set()
    for row in states:
        found.add(row.tobytes())
        if len(found) >= MANY:
            break
    return len(found)


def _known(states: NDArray[np.float32], seen: list[int]) -> bool:
    """Says whether some features give all others, each as a linear function of them."""
    rows = _spread(states, _FITTED).astype(np.float64)
    rows -= rows.mean(0)
    spread = rows.std(0)
    rows = rows[:, spread > 0] / spread[spread > 0]
    own = np.isin(np.flatnonzero(spread > 0), seen)
    given, other = rows[:, own], rows[:, ~own]
    if not other.size:
        return True
    if not given.size or len(rows) < 2 * given.shape[1]:
        return False
    weights, *_ = np.linalg.lstsq(given, other, rcond=None)
    return bool((np.abs(given @ weights - other).max(0) < _EXACT).all())


def _forgets(dataset: Dataset) -> bool:
    """Says whether a feature differs between episodes at their start and is one value later on."""
    long = np.flatnonzero(dataset.lengths > dataset.lengths.max() // 2)
    picked = _spread(long, _EPISODES)
    if len(picked) < 2:
        return False
    first = dataset.episode_start[picked] + picked
    begun = np.ptp(take(dataset.state, first), axis=0)
    last = int(dataset.lengths[picked].min()) - 1
    ages = np.unique(np.linspace(min(1, last), last, _AGES).astype(np.int64))
    later = [np.ptp(take(dataset.state, first + age), axis=0) for age in ages if age]
    return any(bool(((begun > 0) & (spread == 0)).any()) for spread in later)
