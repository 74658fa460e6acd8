"""A `Dynamics` around a `Dynamics`: concurrent calls share one forward pass.

There is no artificial delay: while the model runs, the next batch collects itself. Rows are
counted, not requests. Every row brings its own seed, so its draws do not depend on its neighbours.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from threading import Condition, Thread

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from moma.ports import DeadlineError, Dynamics, UnavailableError
from moma.types import Metrics, ModelCard, Prediction

_WINDOW = 1000
"""Timings kept for the percentiles."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    state: Tensor
    action: Tensor
    seed: Tensor
    deadline: float
    queued: float
    answer: Future[Prediction] = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return self.state.shape[0]


class Batching:
    """Callers wait in a bounded queue; one thread runs the model."""

    def __init__(
        self,
        inner: Dynamics,
        *,
        max_rows: int = 4096,
        queue_rows: int = 16384,
        alone: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the thread.

        Args:
            inner: the model.
            max_rows: of one forward pass; a larger request still goes through, by itself.
            queue_rows: that may wait; further callers wait outside until there is room.
            alone: serve each request by itself, so that its bits do not depend on its neighbours.
            clock: monotonic seconds.
        """
        self._inner, self._alone, self._clock = inner, alone, clock
        self._max_rows, self._queue_rows = max_rows, queue_rows
        self._queue: deque[_Request] = deque()
        self._waiting_rows = 0
        self._changed = Condition()
        self._closed = False
        self._counts = dict.fromkeys(("requests", "batches", "rows", "expired"), 0)
        self._queue_s: deque[float] = deque(maxlen=_WINDOW)
        self._forward_s: deque[float] = deque(maxlen=_WINDOW)
        # Of this thread; callers' threads may have been given fewer.
        self._threads = torch.get_num_threads()
        self._thread = Thread(target=self._serve, name="model", daemon=True)
        self._thread.start()

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._inner.describe()

    def predict(
        self,
        state: Float32[Tensor, "B S"],
        action: Float32[Tensor, "B A U"],
        seed: Int64[Tensor, " B"],
        deadline: float = math.inf,
    ) -> Prediction:
        """Waits for a place in the queue, then for the batch that takes it."""
        request = _Request(
            state=state, action=action, seed=seed, deadline=deadline, queued=self._clock()
        )
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(request), self._left(deadline)):
                self._counts["expired"] += 1
                raise DeadlineError(f"the queue of {self._queue_rows} rows stayed full")
            if self._closed:
                raise UnavailableError("this model is being closed")
            self._queue.append(request)
            self._waiting_rows += request.rows
            self._counts["requests"] += 1
            self._changed.notify_all()
        return request.answer.result()

    def metrics(self) -> Metrics:
        """Returns counts since the start and percentiles of the last calls."""
        with self._changed:
            counts = dict(self._counts)
            times = {"queue": list(self._queue_s), "forward": list(self._forward_s)}
        metrics = {f"model_server/{name}": float(count) for name, count in counts.items()}
        metrics["model_server/rows_per_batch"] = counts["rows"] / max(1, counts["batches"])
        for name, seconds in times.items():
            levels = np.percentile(seconds, (50, 95, 99)) * 1e3 if seconds else np.zeros(3)
            for level, value in zip((50, 95, 99), levels, strict=True):
                metrics[f"model_server/{name}_ms_p{level}"] = float(value)
        return metrics

    def close(self) -> None:
        """Answers what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _fits(self, request: _Request) -> bool:
        return not self._queue or self._waiting_rows + request.rows <= self._queue_rows

    def _left(self, deadline: float) -> float | None:
        return None if math.isinf(deadline) else max(0.0, deadline - self._clock())

    def _serve(self) -> None:
        torch.set_num_threads(self._threads)
        while batch := self._next():
            begun = self._clock()
            try:
                self._answer(batch)
            except Exception as error:
                for request in batch:
                    request.answer.set_exception(error)
            with self._changed:
                self._counts["batches"] += 1
                self._counts["rows"] += sum(request.rows for request in batch)
                self._queue_s.extend(begun - request.queued for request in batch)
                self._forward_s.append(self._clock() - begun)

    def _next(self) -> list[_Request]:
        """Takes what waits, up to `max_rows`; empty once closed and drained."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return []
                batch: list[_Request] = []
                rows, now = 0, self._clock()
                while self._queue and (not batch or self._joins(rows)):
                    request = self._queue.popleft()
                    self._waiting_rows -= request.rows
                    if request.deadline <= now:
                        self._counts["expired"] += 1
                        request.answer.set_exception(DeadlineError("expired while it waited"))
                        continue
                    batch.append(request)
                    rows += request.rows
                self._changed.notify_all()
                if batch:
                    return batch

    def _joins(self, rows: int) -> bool:
        return not self._alone and rows + self._queue[0].rows <= self._max_rows

    def _answer(self, batch: list[_Request]) -> None:
        if len(batch) == 1:
            request = batch[0]
            request.answer.set_result(
                self._inner.predict(request.state, request.action, request.seed)
            )
            return
        whole = self._inner.predict(
            torch.cat([request.state for request in batch]),
            torch.cat([request.action for request in batch]),
            torch.cat([request.seed for request in batch]),
        )
        begin = 0
        for request in batch:
            part = slice(begin, begin := begin + request.rows)
            request.answer.set_result(
                Prediction(**{f.name: getattr(whole, f.name)[part] for f in fields(whole)})
            )
