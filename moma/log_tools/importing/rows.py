"""Divides a flat log, one row per step, into episodes.

An episode of R rows has R steps where the log holds `following`, the features after each step.
Elsewhere the state after a step is the next row's, so the last row of an episode gives the final
state and no step: its action is dropped, and its reward set aside. A last row whose reward is NaN
never was a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import NDArray

from moma.log_tools.importing import limits
from moma.log_tools.importing.log import Arrays, Episode, ImportDataError


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some consecutive rows of a flat log."""

    features: Float[np.ndarray, "N C"]
    action: Float[np.ndarray, "N W"]
    reward: Float32[np.ndarray, "N R"]
    terminated: Bool[np.ndarray, "N K"]
    """Marks of terminals, of the team (K is 1) or of each agent, once in an episode."""
    ends: Bool[np.ndarray, "N K"]
    """Marks of the last row, however it ended; a team's episode goes on until all have ended."""
    number: Int64[np.ndarray, " N"] | None = None
    """Number of the episode, where the log numbers them."""
    following: Float[np.ndarray, "N C"] | None = None
    beside: Arrays = field(default_factory=dict)

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
            beside={name: array[part] for name, array in self.beside.items()},
        )


def episodes(parts: Iterable[Rows], source: str, number_bits: int = 62) -> Iterator[Episode]:
    """Yields the episodes; one begins after an end, at a new number, and where `following` jumps.

    Args:
        parts: the log from its beginning, in pieces.
        source: the file, for errors.
        number_bits: bits of a number that the log has; higher ones tell its files apart.

    Raises:
        ImportDataError: an episode is too long to be held in memory, or a number comes back.
    """
    held: list[Rows] = []
    begun, first, at = _Begins(source, (1 << number_bits) - 1), 0, 0
    for part in filter(len, parts):
        inner = begun.of(part, at).tolist()
        for begin, end in pairwise(sorted({0, *inner, len(part)})):
            if held and begin in inner:
                episode, held = _close(held, first), []
                yield episode
                first = at + begin
            held.append(part.cut(begin, end))
        at += len(part)
        limits.fits_memory(source, first, at, part.features.shape[1])
    if held:
        yield _close(held, first)


class _Begins:
    """Finds the rows at which an episode begins, piece by piece."""

    def __init__(self, source: str, shown: int) -> None:
        self._source, self._shown = source, shown
        self._before: Rows | None = None
        self._over: NDArray[np.bool_] = np.zeros(1, np.bool_)
        """Agents that have ended in the running episode."""
        self._ended = False
        self._numbers: set[int] = set()

    def of(self, part: Rows, at: int) -> NDArray[np.int64]:
        """Returns the rows of a piece, which begins at row `at` of the log, that begin one."""
        last = part.cut(0, 1) if self._before is None else self._before
        begins = np.zeros(len(part), np.bool_)
        if part.number is not None and last.number is not None:
            begins |= np.concatenate([last.number, part.number[:-1]]) != part.number
        if part.following is not None and last.following is not None:
            follows = np.concatenate([last.following, part.following[:-1]])
            differ = np.flatnonzero((follows != part.features).any(axis=1))
            near = np.isclose(follows[differ], part.features[differ], rtol=1e-6, atol=1e-6)
            begins[differ] |= ~near.all(axis=1)
        begins[0] |= self._before is None
        after = self._after_ends(part, begins)
        if part.number is not None:
            # A last step's flags may stand once more in the final state's row.
            after &= ~np.isnan(part.reward).any(axis=1)
        begins |= after
        self._check_numbers(part, begins, at)
        self._before = part.cut(len(part) - 1, len(part))
        return np.flatnonzero(begins)

    def _after_ends(self, part: Rows, begins: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Marks rows after one with which the last agent has ended."""
        after = np.append(self._ended, np.zeros(len(part), np.bool_))
        if part.ends.shape[1] == 1:
            after[1:] = part.ends[:, 0]
        else:
            passed, seen = np.cumsum(begins), 0
            for row in np.flatnonzero(part.ends.any(axis=1)).tolist():
                over = part.ends[row] | (self._over & (passed[row] == seen))
                seen, after[row + 1] = passed[row], over.all()
                self._over = over & ~over.all()
        self._ended = bool(after[-1])
        return after[:-1]

    def _check_numbers(self, part: Rows, begins: NDArray[np.bool_], at: int) -> None:
        if part.number is None:
            return
        same = self._before.number if self._before is not None else None
        for row in np.flatnonzero(begins).tolist():
            number = int(part.number[row])
            before = part.number[row - 1] if row else same[0] if same is not None else None
            if number in self._numbers and number != before:
                raise ImportDataError(
                    f"{self._source}: episode {number & self._shown} comes back at row {at + row}: "
                    "are episodes interleaved, or logs joined? Sort the rows by episode, and give "
                    "each episode a number of its own"
                )
            self._numbers.add(number)


def _close(held: list[Rows], first: int) -> Episode:
    """Makes the episode of these rows, the first of which is row `first` of the log."""
    features, action, reward, terminal = (
        np.concatenate([getattr(part, name) for part in held])
        for name in ("features", "action", "reward", "terminated")
    )
    beside = {name: np.concatenate([part.beside[name] for part in held]) for name in held[0].beside}
    following, dropped = held[-1].following, None
    if following is not None:
        features = np.concatenate([features, following[-1:]])
        beside = {name: _one_more(array) for name, array in beside.items()}
    else:
        action, reward, last = action[:-1], reward[:-1], reward[-1:]
        dropped = None if np.isnan(last).any() else last
    return Episode(
        action=action,
        features=features,
        reward=reward,
        terminated=bool(terminal.any(axis=0).all()),
        row=first,
        dropped=dropped,
        beside=beside,
    )


def _one_more(array: NDArray[Any]) -> NDArray[Any]:
    """Returns a row more, for a final state that has none of its own: nothing is known of it."""
    last = array[-1:].copy() if array.dtype.kind == "b" else np.full_like(array[-1:], np.nan)
    return np.concatenate([array, last])
