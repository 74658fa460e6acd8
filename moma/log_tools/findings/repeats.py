"""Steps and episodes that are there twice, by 64-bit hashes of their bytes: 8 bytes a row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.blocks import Block, blocks
from moma.log_tools.findings.finding import FIRST, Finding, begins
from moma_core.datasets.dataset import Dataset

# The multiplier of the SplitMix64 stream (Steele, Lea, Flood 2014): odd, without structure.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_MANY = 0.1
"""Share of repeated steps from which on they are warned of."""
_PIECE = 1 << 20
_EXAMPLES = 1000
"""Repeated hashes that are searched for again, to name rows."""


def hashes(
    *arrays: NDArray[np.float32], onto: NDArray[np.uint64] | None = None
) -> NDArray[np.uint64]:
    """Hashes rows: equal values, 0 and -0 included, give equal hashes.

    Among n different rows about n^2 / 2^65 pairs collide: 0.0003 among 100 million.

    Args:
        arrays: `[n ...]` each; a row is what they hold at one index.
        onto: hashes of what comes before in these rows, `[n]`; they are changed.

    Returns:
        `[n]`.
    """
    result = np.zeros(len(arrays[0]), np.uint64) if onto is None else onto
    for array in arrays:
        words = (array.reshape(len(array), -1) + np.float32(0)).view(np.uint32)
        for column in range(words.shape[1]):
            _mix(result, words[:, column])
    return result


def repeated(ordered: NDArray[np.uint64]) -> tuple[int, NDArray[np.uint64]]:
    """Counts rows that are there again, all but the first of each kind.

    Args:
        ordered: the rows' hashes in order, `[N]`.

    Returns:
        Their number, and some of the hashes that occur more than once.
    """
    count, values = 0, np.zeros(0, np.uint64)
    for begin in range(0, len(ordered), _PIECE):
        pair = ordered[begin : begin + _PIECE + 1]
        again = pair[1:][pair[1:] == pair[:-1]]
        count += len(again)
        if len(values) < _EXAMPLES:
            values = np.unique(np.append(values, again))[:_EXAMPLES]
    return count, values


class Repeats:
    """Collects the hashes of steps and of whole episodes."""

    def __init__(self, dataset: Dataset) -> None:
        self._data = dataset
        self._steps = np.zeros(dataset.transitions, np.uint64)
        self._episodes = np.zeros(dataset.episodes, np.uint64)

    def add(self, block: Block) -> None:
        """Takes the next steps in."""
        step = _hash(block)
        self._steps[block.first : block.first + len(step)] = step
        placed = block.step.astype(np.uint64)
        _mix(placed, step)
        parts = block.parts
        self._episodes[block.episode[parts]] += np.add.reduceat(placed, parts)

    def findings(self) -> Iterator[Finding]:
        """Yields what is there twice."""
        _, kind, times = np.unique(self._episodes, return_inverse=True, return_counts=True)
        again = np.ones(len(kind), np.bool_)
        again[np.unique(kind, return_index=True)[1]] = False
        if again.any():
            yield Finding(
                severity="warning",
                what=f"episodes that are there again; one of them {times.max()} times in all",
                count=int(again.sum()),
                unit="episodes",
                rows=begins(self._data, again),
                file="reward.npy",
                meaning="a hold-out by episode is not held out then: drop the copies",
            )
        self._steps.sort()
        count, values = repeated(self._steps)
        if count:
            share = count / self._data.transitions
            yield Finding(
                severity="warning" if share >= _MANY else "note",
                what=f"transitions that are there again ({share:.1%} of all), value by value",
                count=count,
                unit="rows",
                rows=_later_rows(self._data, values),
                file="reward.npy",
                meaning="natural where states are few; elsewhere the log was joined with a copy",
            )


def _later_rows(dataset: Dataset, values: NDArray[np.uint64]) -> tuple[int, ...]:
    """Returns the first rows whose hash is one of `values` and came before."""
    seen, rows = set[int](), list[int]()
    for block in blocks(dataset):
        hashed = _hash(block)
        for at in np.flatnonzero(np.isin(hashed, values)).tolist():
            if int(hashed[at]) in seen:
                rows.append(block.first + at)
            seen.add(int(hashed[at]))
            if len(rows) == FIRST:
                return tuple(rows)
    return tuple(rows)


def _hash(block: Block) -> NDArray[np.uint64]:
    state = hashes(block.states)
    ended = block.terminated.astype(np.float32)
    result = hashes(block.action, block.reward, ended, onto=state[block.at])
    _mix(result, state[block.at + 1])
    return result


def _mix(result: NDArray[np.uint64], word: NDArray[np.uint32] | NDArray[np.uint64]) -> None:
    result ^= word
    result *= _MULTIPLIER
    result ^= result >> _HALF
