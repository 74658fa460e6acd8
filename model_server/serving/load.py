"""How busy the model is: counts, timings, and what follows from them. Times are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from moma_core.types import Metrics

_TIMINGS = 1000
"""Kept for the percentiles."""
_RECENT = 32
"""Batches that tell the model's rate."""
_RETRY_S = (0.001, 1.0)
"""Bounds of when to ask again."""
_OUTSIDE_S = 0.1
"""Seconds for which a refused caller counts as waiting outside."""


class Load:
    """Counts and timings of one model, since its start."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("requests", "batches", "rows", "expired", "shed"), 0)
        self._queue_s: deque[float] = deque(maxlen=_TIMINGS)
        self._forward_s: deque[float] = deque(maxlen=_TIMINGS)
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT)
        self._outside: deque[tuple[float, int]] = deque(maxlen=_TIMINGS)

    def ran(self, waited_s: Sequence[float], rows: int, seconds: float) -> None:
        """Counts a batch.

        Args:
            waited_s: how long each of its requests had waited, in seconds.
            rows: of all requests.
            seconds: how long the model took.
        """
        self.counts["batches"] += 1
        self.counts["rows"] += rows
        self._queue_s.extend(waited_s)
        self._forward_s.append(seconds)
        self._recent.append((rows, seconds))

    def refused(self, rows: int, waiting: int, now: float) -> float:
        """Counts a refusal; returns in how many seconds there may be room.

        That is when all who wait and all who were refused lately have been served: those come
        back, and being refused again costs as much as an answer.

        Args:
            rows: that were refused.
            waiting: rows that wait.
            now: the time.
        """
        self.counts["shed"] += 1
        while self._outside and self._outside[0][0] < now - _OUTSIDE_S:
            self._outside.popleft()
        self._outside.append((now, rows))
        return self._takes_s(waiting + sum(outside for _, outside in self._outside))

    def _takes_s(self, rows: int) -> float:
        """Estimates how long so many rows take, in seconds, by the rate of the last batches."""
        low, high = _RETRY_S
        done = sum(served for served, _ in self._recent)
        if not done:
            return high
        return min(high, max(low, rows * sum(seconds for _, seconds in self._recent) / done))

    def metrics(self) -> Metrics:
        """Returns counts since the start and percentiles of the last calls."""
        counts = self.counts
        metrics = {f"model_server/{name}": float(count) for name, count in counts.items()}
        metrics["model_server/rows_per_batch"] = counts["rows"] / max(1, counts["batches"])
        for name, seconds in (("queue", self._queue_s), ("forward", self._forward_s)):
            levels = np.percentile(seconds, (50, 95, 99)) * 1e3 if seconds else np.zeros(3)
            for level, value in zip((50, 95, 99), levels, strict=True):
                metrics[f"model_server/{name}_ms_p{level}"] = float(value)
        return metrics
