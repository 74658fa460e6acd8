"""Time stamps of the states: do the steps take equally long?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moma.log_tools.blocks import pieces
from moma.log_tools.findings.finding import FIRST, Finding, Severity, first, misshapen
from moma_core.datasets.dataset import Dataset
from moma_core.datasets.mapped import take

_SAMPLE = 1 << 16
"""Steps that the median is taken of."""
_GAP = 2.0
"""A step that takes this many medians is a gap."""
_OFF = 0.2
"""A step that is off the median by this share is late or early."""
_SHARE = 0.01
"""Share of such steps from which on the clock is warned of."""


def clock(dataset: Dataset, stamp: NDArray[Any]) -> Iterator[Finding]:
    """Yields the step's median duration with its jitter, gaps, and where time does not go on.

    Args:
        dataset: whose steps they are.
        stamp: seconds at every state, `[N+K]`, from `timestamp.npy`.
    """
    shape = (dataset.transitions + dataset.episodes,)
    if wrong := misshapen("timestamp", stamp, np.float64, shape, "seconds at every state"):
        yield wrong
        return
    middle = _median(dataset, stamp)
    stuck, off, gaps = _Steps(), _Steps(), _Steps()
    for begin, step in _durations(dataset, stamp):
        stuck.add(~(step > 0) & ~np.isposinf(step), begin)
        off.add(np.isfinite(step) & (np.abs(step - middle) > _OFF * middle), begin)
        gaps.add(np.isfinite(step) & (step > _GAP * middle), begin)
    share = off.count / dataset.transitions
    yield off.finding(
        "warning" if share >= _SHARE else "note",
        f"steps take {middle:g} s (median); {share:.1%} of them are off by more than {_OFF:.0%}",
        "the model takes all steps as equally long: resample where many are not",
    )
    if stuck.count:
        what = "time stands still, goes back or is not a number"
        yield stuck.finding("error", what, "sort the states by time, or drop the file")
    if gaps.count:
        what = f"gaps: steps of more than {_GAP:g} medians"
        yield gaps.finding("warning", what, "something is missing there: cut the episode in two")


class _Steps:
    """Counts steps of one kind and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self._rows: tuple[int, ...] = ()

    def add(self, mask: NDArray[np.bool_], begin: int) -> None:
        self.count += int(mask.sum())
        self._rows = (self._rows + first(mask, begin))[:FIRST]

    def finding(self, severity: Severity, what: str, meaning: str) -> Finding:
        return Finding(
            severity=severity,
            what=what,
            count=self.count,
            unit="steps",
            rows=self._rows,
            file="timestamp.npy",
            meaning=meaning,
        )


def _median(dataset: Dataset, stamp: NDArray[np.float64]) -> float:
    random = np.random.default_rng(0)
    row = np.sort(random.integers(dataset.transitions, size=_SAMPLE))
    at = row + dataset.episode_of(row)
    step = take(stamp, at + 1) - take(stamp, at)
    return float(np.median(step[np.isfinite(step)])) if np.isfinite(step).any() else np.nan


def _durations(
    dataset: Dataset, stamp: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yields for each state the seconds since the one before, +inf where an episode begins."""
    begins = dataset.episode_start + np.arange(dataset.episodes)
    before = np.nan
    for begin, part in pieces(stamp):
        step = np.diff(part, prepend=before)
        low, high = np.searchsorted(begins, (begin, begin + len(part)))
        step[begins[low:high] - begin] = np.inf
        before = part[-1]
        yield begin, step
