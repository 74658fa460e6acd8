"""The first pass over a log: what must be known of all its rows before one can be written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing.log import Episode, ImportDataError, Log

Tell = Callable[[int], None]
"""Is told how many rows are done."""


class Survey:
    """Extremes, equal columns and counts over all episodes of a log.

    Raises:
        ImportDataError: a value is not finite and no padding, or there is no step at all.
    """

    def __init__(self, log: Log, tell: Tell) -> None:
        layout, count = log.layout, len(log.layout.features)
        self._log, self._faults = log, np.full(count, -1)
        self.twin: NDArray[np.int64] = np.zeros(count, np.int64)
        """Per column of features, the first column that equals it in every row; itself if none."""
        self.low, self.high = np.full(count, np.inf), np.full(count, -np.inf)
        width = sum(layout.action_widths)
        self.action_low, self.action_high = np.full(width, np.inf), np.full(width, -np.inf)
        self.episodes = self.steps = self.longest = self.single_rows = 0
        self.terminated: Counter[int] = Counter()
        """Episodes that terminated, by their length in steps."""
        self.rewards_differ = False
        self.dropped: list[float] = []
        """The team's reward of every last step without a state after it."""
        self.reward_sum = 0.0
        for episode in log.episodes():
            self._add(episode)
            tell(self.steps)
        self._check()

    def padding(self) -> NDArray[np.bool_]:
        """True for every column of features that is padding."""
        empty = (self.low == self.high) & ((self.low == 0) | np.isneginf(self.low))
        return np.asarray(empty & self._log.layout.padded)

    def _add(self, episode: Episode) -> None:
        if episode.dropped is not None:
            self.dropped.append(float(episode.dropped.mean()))
        steps = len(episode.reward)
        if not steps:
            self.single_rows += 1
            return
        self._add_features(episode)
        self._add_steps(episode)
        self.episodes, self.steps = self.episodes + 1, self.steps + steps
        self.longest = max(self.longest, steps)
        self.terminated[steps] += episode.terminated

    def _add_features(self, episode: Episode) -> None:
        rows, layout = episode.features, self._log.layout
        np.minimum(self.low, rows.min(axis=0), out=self.low)
        np.maximum(self.high, rows.max(axis=0), out=self.high)
        if not np.isfinite(rows).all():
            bad = ~np.isfinite(rows)
            new = bad.any(axis=0) & (self._faults < 0)
            self._faults[new] = episode.row + bad.argmax(axis=0)[new]
        refine(self.twin, rows, layout.tolerance)

    def _add_steps(self, episode: Episode) -> None:
        for what, rows in (("action", episode.action), ("reward", episode.reward)):
            if not np.isfinite(rows).all():
                step, column = np.argwhere(~np.isfinite(rows))[0]
                raise ImportDataError(
                    f"{self._log.source}: {what}, column {column}, is {rows[step, column]} at row "
                    f"{episode.row + step}; mend it or take its episode out"
                )
        self.reward_sum += float(episode.reward.mean(axis=1).sum())
        self.rewards_differ |= bool((episode.reward != episode.reward[:, :1]).any())
        np.minimum(self.action_low, episode.action.min(axis=0), out=self.action_low)
        np.maximum(self.action_high, episode.action.max(axis=0), out=self.action_high)

    def _check(self) -> None:
        if not self.steps:
            raise ImportDataError(
                f"{self._log.source}: not one step in it; an episode needs two states"
            )
        for column in np.flatnonzero((self._faults >= 0) & ~self.padding()):
            raise ImportDataError(
                f"{self._log.source}: {self._log.layout.features[column]} is not finite at row "
                f"{self._faults[column]}; mend it or take its episode out"
            )


def refine(twin: NDArray[np.int64], rows: NDArray[np.float32], tolerance: float) -> None:
    """Parts columns that were equal so far and are not in these rows; changes `twin`.

    Args:
        twin: per column, the first column of its group; all 0 at the beginning.
        rows: further rows, `[N C]`.
        tolerance: how far equal columns may differ, relative to 1 and their size.
    """
    itself = np.arange(len(twin))

    def equal() -> NDArray[np.bool_]:
        if tolerance == 0:
            close = rows == rows[:, twin]
        else:
            close = np.isclose(rows, rows[:, twin], rtol=tolerance, atol=tolerance)
        return np.asarray(close.all(axis=0) | (twin == itself))  # NaN does not equal itself

    while not (same := equal()).all():
        for old in np.unique(twin[~same]):
            group = np.flatnonzero(~same & (twin == old))
            twin[group] = group[0]
