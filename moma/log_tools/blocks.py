"""A dataset's steps in order, some at a time, each with its episode and the states around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import Columns, chunks, release, row_bytes

PIECE = 1 << 22
"""Bytes of one array that are read at a time: they stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive steps, `[n ...]` each but for the states; valid until the next block is asked."""

    first: int
    """Row of the first step."""
    states: NDArray[np.float32]
    """States around the steps, `[m S]`: step i goes from `states[at[i]]` to the one after."""
    at: NDArray[np.int64]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    episode: NDArray[np.int64]
    step: NDArray[np.int64]
    """Steps since the episode began."""

    @property
    def parts(self) -> NDArray[np.int64]:
        """Where in the block an episode begins or goes on, for `reduceat`; shape `[k]`."""
        return np.flatnonzero(np.diff(self.episode, prepend=-1))


def pieces(array: NDArray[Any] | Columns) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yields the array from its first row to its last, some rows at a time, each with its row."""
    return chunks(array, PIECE)


def blocks(dataset: Dataset) -> Iterator[Block]:
    """Yields the dataset's steps in order; its episodes must have passed `validate.misplaced`."""
    rows = max(1, PIECE // max(row_bytes(dataset.state), row_bytes(dataset.action)))
    for begin in range(0, dataset.transitions, rows):
        yield _block(dataset, begin, min(begin + rows, dataset.transitions))
        for array in (dataset.state, dataset.action, dataset.reward, dataset.terminated):
            release(array)


def _block(dataset: Dataset, begin: int, end: int) -> Block:
    row = np.arange(begin, end)
    episode = dataset.episode_of(row)
    low = begin + int(episode[0])
    return Block(
        first=begin,
        states=dataset.state[low : end + int(episode[-1]) + 1],
        at=row + episode - low,
        action=dataset.action[begin:end],
        reward=dataset.reward[begin:end],
        terminated=dataset.terminated[begin:end],
        episode=episode,
        step=row - dataset.episode_start[episode],
    )
