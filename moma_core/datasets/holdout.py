"""Which rows are trained on and which are held out: as runs of rows, never listed one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moma_core import seeds
from moma_core.datasets.dataset import Dataset
from moma_core.types import TaskSpec, Transitions

_PART = 1 << 26
"""Bytes of transitions that a walk through the data holds at a time."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Some rows of a dataset in ascending order, as runs of consecutive ones."""

    first: NDArray[np.int64]
    """First row of every run."""
    before: NDArray[np.int64]
    """Number of rows in the runs before each one, and at the end, in all of them."""

    @classmethod
    def between(cls, begin: NDArray[np.int64], end: NDArray[np.int64]) -> Runs:
        """Returns the rows from each `begin` up to the `end` beside it; both ascend."""
        return cls(first=begin, before=np.append(0, np.cumsum(end - begin)))

    def __len__(self) -> int:
        return int(self.before[-1])

    def at(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the rows at these places, counted from 0, of the ascending order."""
        run = np.searchsorted(self.before, place, side="right") - 1
        return self.first[run] + place - self.before[run]

    def below(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns how many of the rows come before each `row` of the dataset."""
        run = np.searchsorted(self.first, row, side="right")
        inside = self.before[run - 1] + row - self.first[run - 1]
        return np.where(run > 0, np.minimum(inside, self.before[run]), 0)

    def contains(self, row: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which of these rows of the dataset are among them."""
        return self.below(row + 1) > self.below(row)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A walk through rows of a dataset, in bounded memory; it can be repeated."""

    dataset: Dataset
    rows: Runs

    def __iter__(self) -> Iterator[Transitions]:
        size, count = max(1, _PART // row_bytes(self.dataset.spec)), len(self.rows)
        for begin in range(0, count, size):
            place = np.arange(begin, min(begin + size, count))
            yield self.dataset.rows(self.rows.at(place))


def row_bytes(spec: TaskSpec) -> int:
    """Returns the size of one transition in memory."""
    return 4 * (2 * spec.state_width + spec.joint_action_width + 1) + 10


def split(
    dataset: Dataset,
    share: float,
    by: Literal["episode", "transition"],
    seed: int,
    among: NDArray[np.int64] | None = None,
) -> tuple[Runs, Runs]:
    """Returns the rows to train on and the rows held out.

    Args:
        dataset: the log.
        share: of it that is held out, in (0, 1); one unit at least, and never all.
        by: what is held out: whole episodes, or single transitions.
        seed: of the draw.
        among: episodes to do that with, ascending; None: all.
    """
    if among is not None:
        return _split_among(dataset, share, among, seed)
    random = np.random.default_rng(seeds.derive(seed, "holdout"))
    whole = by == "episode" and dataset.episodes > 1
    units = dataset.episodes if whole else dataset.transitions
    count = min(max(1, round(share * units)), units - 1)
    held = np.sort(random.permutation(units)[:count])
    edges = dataset.edges
    begin, end = (edges[held], edges[held + 1]) if whole else (held, held + 1)
    train = Runs.between(np.append(0, end), np.append(begin, dataset.transitions))
    return train, Runs.between(begin, end)


def _split_among(
    dataset: Dataset, share: float, among: NDArray[np.int64], seed: int
) -> tuple[Runs, Runs]:
    random = np.random.default_rng(seeds.derive(seed, "holdout"))
    count = min(max(1, round(share * len(among))), len(among) - 1)
    chosen = np.zeros(len(among), dtype=np.bool_)
    chosen[random.permutation(len(among))[:count]] = True
    edges, held, train = dataset.edges, among[chosen], among[~chosen]
    return Runs.between(edges[train], edges[train + 1]), Runs.between(edges[held], edges[held + 1])


def held_episodes(dataset: Dataset, held: Runs) -> NDArray[np.int64]:
    """Returns the episodes of which every row is held out."""
    edges = dataset.edges
    return np.flatnonzero(np.diff(held.below(edges)) == np.diff(edges))
