"""Places inside an episode where another one seems to begin, and episodes that lie interleaved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.blocks import Block
from moma.log_tools.findings.finding import FIRST, Finding
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take

_STEPS = 50_000
"""Steps by which it is told how far features usually move."""
_LEAP = 10.0
"""A feature leaps where it moves this many times as far as in three of four steps."""
_MOST = 0.15
"""Share of leaping steps up to which they are rare: jumps, not the way in which it moves."""
_LAGS = range(2, 9)
"""Numbers of episodes that may lie interleaved."""
_CLOSER = 3.0
"""Rows so many times closer than neighbours belong together."""


class Jumps:
    """Counts steps in which all that usually moves smoothly leaps at once."""

    def __init__(self, dataset: Dataset) -> None:
        self._data = dataset
        rows = np.unique(np.linspace(0, dataset.transitions - 1, _STEPS).astype(np.int64))
        at = rows + dataset.episode_of(rows)
        moved = np.abs(take(dataset.state, at + 1) - take(dataset.state, at))
        self._usual: NDArray[np.float32] = np.quantile(moved, 0.75, axis=0)
        """How far each feature moves in three of four steps, at most; `[S]`."""
        self._count, self._rows = 0, tuple[int, ...]()

    def add(self, block: Block) -> None:
        """Takes the next steps in."""
        smooth = self._usual > 0
        if not smooth.any():
            return
        moved = np.abs(block.states[block.at + 1] - block.states[block.at])[:, smooth]
        leaps = (moved > _LEAP * self._usual[smooth]).mean(axis=1) >= 0.5
        self._count += int(leaps.sum())
        found = (block.first + np.flatnonzero(leaps)[:FIRST]).tolist()
        self._rows = (*self._rows, *found)[:FIRST]

    def findings(self) -> Iterator[Finding]:
        """Yields where episodes may begin inside of others."""
        share = self._count / self._data.transitions
        if 0 < share <= _MOST:
            yield Finding(
                severity="warning",
                what=f"steps ({share:.2%}) in which the state leaps, {_LEAP:g} times its usual way",
                count=self._count,
                unit="rows",
                rows=self._rows,
                file="reward.npy",
                meaning="does another episode begin there? Then mark where episodes end",
            )
        if lag := self._interleaved():
            yield Finding(
                severity="warning",
                what=f"every row goes on {lag} rows later, not in the next: {lag} episodes at once",
                count=self._data.episodes,
                unit="episodes",
                meaning="several robots' or environments' rows lie interleaved: sort them first",
            )

    def _interleaved(self) -> int:
        """Returns how many episodes lie interleaved; 0: none do."""
        data, widest = self._data, max(_LAGS)
        random = np.random.default_rng(0)
        row = np.sort(random.integers(data.transitions, size=2048))
        episode = data.episode_of(row)
        row, episode = (a[row + widest <= data.edges[episode + 1]] for a in (row, episode))
        if len(row) < FIRST:
            return 0
        first = take(data.state, row + episode)
        scale = np.where(first.std(axis=0) > 0, first.std(axis=0), 1)

        def distance(lag: int) -> float:
            moved = (take(data.state, row + episode + lag) - first) / scale
            return float(np.median(np.sqrt((moved**2).sum(axis=1))))

        lag = min(_LAGS, key=distance)
        return lag if distance(1) > _CLOSER * distance(lag) else 0
