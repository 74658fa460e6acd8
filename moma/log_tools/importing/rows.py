"""Divides a flat log, one row per step, into episodes.

An episode of R rows has R steps where the log holds `following`, the features after each step.
Elsewhere the state after a step is the next row's, so the last row of an episode gives the final
state and no step: its action is dropped, and its reward set aside. A last row whose reward is NaN
never was a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import Episode


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some consecutive rows of a flat log."""

    features: Float32[np.ndarray, "N C"]
    action: Float32[np.ndarray, "N W"]
    reward: Float32[np.ndarray, "N R"]
    terminated: Bool[np.ndarray, " N"]
    ends: Bool[np.ndarray, " N"]
    """Marks of the last row of an episode, however it ended."""
    number: Int64[np.ndarray, " N"] | None = None
    """Number of the episode, where the log numbers them."""
    following: Float32[np.ndarray, "N C"] | None = None

    def __len__(self) -> int:
        return len(self.reward)

    def cut(self, begin: int, end: int) -> Rows:
        """Returns rows `begin` up to `end`, without copying."""
        part = slice(begin, end)
        return Rows(
            features=self.features[part],
            action=self.action[part],
            reward=self.reward[part],
            terminated=self.terminated[part],
            ends=self.ends[part],
            number=None if self.number is None else self.number[part],
            following=None if self.following is None else self.following[part],
        )


def episodes(parts: Iterable[Rows], source: str) -> Iterator[Episode]:
    """Yields the episodes; one begins after an end, at a new number, and where `following` jumps.

    Args:
        parts: the log from its beginning, in pieces.
        source: the file, for the error.

    Raises:
        ImportDataError: an episode is too long to be held in memory.
    """
    held: list[Rows] = []
    before, first, at = None, 0, 0
    for part in filter(len, parts):
        inner = np.flatnonzero(_begins(before, part)).tolist()
        for begin, end in pairwise(sorted({0, *inner, len(part)})):
            if held and begin in inner:
                episode, held = _close(held, first), []
                yield episode
                first = at + begin
            held.append(part.cut(begin, end))
        before, at = part.cut(len(part) - 1, len(part)), at + len(part)
        limits.fits_memory(source, first, at, part.features.shape[1])
    if held:
        yield _close(held, first)


def _begins(before: Rows | None, part: Rows) -> NDArray[np.bool_]:
    last = part.cut(0, 1) if before is None else before
    begins = np.concatenate([last.ends, part.ends[:-1]])
    if part.number is not None and last.number is not None:
        begins |= np.concatenate([last.number, part.number[:-1]]) != part.number
    if part.following is not None and last.following is not None:
        follows = np.concatenate([last.following, part.following[:-1]])
        differ = np.flatnonzero((follows != part.features).any(axis=1))
        near = np.isclose(follows[differ], part.features[differ], rtol=1e-6, atol=1e-6)
        begins[differ] |= ~near.all(axis=1)
    begins[0] |= before is None
    return begins


def _close(held: list[Rows], first: int) -> Episode:
    """Makes the episode of these rows, the first of which is row `first` of the log."""
    features, action, reward = (
        np.concatenate([getattr(part, name) for part in held])
        for name in ("features", "action", "reward")
    )
    terminated = any(bool(part.terminated.any()) for part in held)
    following, dropped = held[-1].following, None
    if following is not None:
        features = np.concatenate([features, following[-1:]])
    else:
        action, reward, last = action[:-1], reward[:-1], reward[-1:]
        dropped = None if np.isnan(last).any() else last
    return Episode(
        action=action,
        features=features,
        reward=reward,
        terminated=terminated,
        row=first,
        dropped=dropped,
    )
