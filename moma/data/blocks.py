"""A log in pieces, from its first row to its last: memory stays small however large the log is."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.data.dataset import Dataset

_BYTES = 1 << 22
"""Of a piece of one array: it stays in the processor's cache while it is looked at."""

_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive steps, copied: `[n ...]` each but for the states."""

    first: int
    """Row of the first step."""
    states: NDArray[np.float32]
    """The states around the steps, `[m S]`: step i goes from `states[at[i]]` to the one after."""
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


def pieces(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yields the array's rows in order, as (first row, copy)."""
    rows = _rows(array)
    for begin in range(0, len(array), rows):
        yield begin, np.array(array[begin : begin + rows])
        release(array)


def blocks(dataset: Dataset) -> Iterator[Block]:
    """Yields the log's steps in order; its episodes must have passed `validate.misplaced`."""
    rows = min(_rows(dataset.state), _rows(dataset.action))
    for begin in range(0, dataset.transitions, rows):
        yield _block(dataset, begin, min(begin + rows, dataset.transitions))
        for array in (dataset.state, dataset.action, dataset.reward, dataset.terminated):
            release(array)


def take(array: NDArray[Any], row: NDArray[np.int64]) -> NDArray[Any]:
    """Returns copies of these rows; every mapped one could keep megabytes around it in memory."""
    parts = []
    for begin in range(0, len(row), _AT_ONCE):
        parts.append(array[row[begin : begin + _AT_ONCE]])
        release(array)
    return np.concatenate(parts)


def episode_of(dataset: Dataset, row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the episode of each of these steps."""
    return np.searchsorted(dataset.episode_start, row, side="right") - 1


def release(array: NDArray[Any]) -> None:
    """Gives the pages of a mapped file that were read back: they would count as our memory."""
    mapping = getattr(array, "_mmap", None)
    if isinstance(mapping, mmap.mmap):
        mapping.madvise(mmap.MADV_DONTNEED)


def _rows(array: NDArray[Any]) -> int:
    size = array.itemsize * int(np.prod(array.shape[1:]))
    return max(1, _BYTES // max(1, size))


def _block(dataset: Dataset, begin: int, end: int) -> Block:
    row = np.arange(begin, end)
    episode = episode_of(dataset, row)
    low = begin + int(episode[0])
    return Block(
        first=begin,
        states=np.array(dataset.state[low : end + int(episode[-1]) + 1]),
        at=row + episode - low,
        action=np.array(dataset.action[begin:end]),
        reward=np.array(dataset.reward[begin:end]),
        terminated=np.array(dataset.terminated[begin:end]),
        episode=episode,
        step=row - dataset.episode_start[episode],
    )
