"""The first pass over a log: what must be known of all its rows before one can be written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.importing.log import Episode, ImportDataError, Log
from moma.log_tools.importing.precision import LOST, NOTED, Rounding

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
        self.whole = np.ones(width, np.bool_)
        """Per column of actions, whether all are whole numbers."""
        self.offset = np.zeros(count)
        """Taken off each column of features, which float32 would lose otherwise."""
        self._rounding: tuple[Rounding, Rounding, Rounding] | None = None
        """Losses of features within episodes, of their first rows, and of actions."""
        self._first = np.zeros((1, 0))
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
        self._add_rounding(episode)
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
        self.whole &= (episode.action == np.rint(episode.action)).all(axis=0)
        np.minimum(self.action_low, episode.action.min(axis=0), out=self.action_low)
        np.maximum(self.action_high, episode.action.max(axis=0), out=self.action_high)

    def _add_rounding(self, episode: Episode) -> None:
        first, acted = episode.features[:1], episode.action
        if self._rounding is None:
            inside, between, actions = (
                Rounding(part[0].astype(np.float64)) for part in (first, first, acted)
            )
            self._rounding, self._first = (inside, between, actions), first
        inside, between, actions = self._rounding
        inside.add(episode.features)
        between.add(np.concatenate([self._first, first]))
        actions.add(acted)
        self._first = first

    def _check_rounding(self) -> None:
        """Finds what float32 would lose.

        Raises:
            ImportDataError: no offset helps.
        """
        assert self._rounding is not None
        inside, between, actions = self._rounding
        plain, shifted = np.maximum(inside.lost, between.lost)
        self.offset = np.where(plain > NOTED, inside.origin, 0)
        names = [f"action, column {i}," for i in range(len(actions.origin))]
        for name, lost in zip(
            (*self._log.layout.features, *names), (*shifted, *actions.lost[0]), strict=True
        ):
            if lost > LOST:
                raise ImportDataError(
                    f"{self._log.source}: {name} changes so little for its size that float32, "
                    f"which models and policies compute in, would lose {min(lost, 1):.0%} of its "
                    "changes; store it relative to something near, or as its changes"
                )

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
        self._check_rounding()


def refine(twin: NDArray[np.int64], rows: NDArray[np.floating], tolerance: float) -> None:
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
