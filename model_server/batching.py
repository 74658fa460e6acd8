"""A `Dynamics` around a `Dynamics`: concurrent calls share one forward pass.

Unless a delay is set there is no artificial one: while the model runs, the next batch collects
itself. Rows are counted, not requests. Every row brings its own seed, so its draws do not depend
on its neighbours. What does not fit into the queue is refused, with word of when to ask again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Condition, Thread

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from model_server.load import Load, Peak
from model_server.waiting import Limits, Request, Waiting, together
from moma.checks import check_rows
from moma.ports import BusyError, DeadlineError, Dynamics, UnavailableError
from moma.types import Metrics, ModelCard, Prediction, Priority


class Batching:
    """Callers wait in a bounded queue; one thread runs the model."""

    def __init__(
        self,
        inner: Dynamics,
        limits: Limits | None = None,
        *,
        alone: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the thread.

        Args:
            inner: the model.
            limits: of batches and of the queue.
            alone: serve each request by itself and at once, so that its bits do not depend on its
                neighbours.
            clock: monotonic seconds.
        """
        self._inner, self._alone, self._clock = inner, alone, clock
        self._task = inner.describe().task
        self._limits = limits or Limits()
        self._waiting = Waiting(self._limits)
        self._load, self._peak = Load(), Peak()
        self._running = 0
        self._changed = Condition()
        self._closed = False
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
        priority: Priority = "training",
    ) -> Prediction:
        """Waits for the batch that takes these rows."""
        check_rows(self._task, state, action, seed)  # one bad item must not fail a batch
        request = Request(
            state=state,
            action=action,
            seed=seed,
            deadline=deadline,
            priority=priority,
            queued=self._clock(),
        )
        with self._changed:
            self._enter(request)
            self._changed.notify_all()
        return request.result()

    def metrics(self) -> Metrics:
        """Returns counts since the start and percentiles of the last calls."""
        with self._changed:
            return self._load.metrics()

    def close(self) -> None:
        """Answers what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _enter(self, request: Request) -> None:
        """Queues a request or refuses it."""
        if self._closed:
            raise UnavailableError("this model is being closed")
        if not self._waiting.fits(request.rows):
            self._drop(request.queued)
        if not self._waiting.fits(request.rows):
            self._load.counts["shed"] += 1
            after = self._load.retry_after_s(self._waiting.rows)
            raise BusyError(f"{self._waiting.rows} rows wait already", after)
        self._waiting.add(request)
        self._load.counts["requests"] += 1
        self._peak.note(self._running + len(self._waiting), request.queued)

    def _drop(self, now: float) -> None:
        """Answers those whose deadline has passed."""
        for request in self._waiting.expire(now):
            self._load.counts["expired"] += 1
            request.answer.set_exception(DeadlineError("expired while it waited"))

    def _serve(self) -> None:
        torch.set_num_threads(self._threads)
        while batch := self._next():
            begun = self._clock()
            outcome: Prediction | Exception
            try:
                outcome = self._inner.predict(*together(batch))
            except Exception as error:  # for whoever asked; this thread goes on
                outcome = error
            self._note(batch, begun, self._clock())
            _answer(batch, outcome)

    def _note(self, batch: list[Request], begun: float, ended: float) -> None:
        """Counts a batch before it is answered: who is answered may ask again at once."""
        waited = [begun - request.queued for request in batch]
        with self._changed:
            self._load.ran(waited, sum(request.rows for request in batch), ended - begun)
            self._peak.note(self._running + len(self._waiting), ended)
            self._running = 0

    def _next(self) -> list[Request]:
        """Takes the next batch once there is one; empty once closed and drained."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                now = self._clock()
                self._drop(now)
                if not self._waiting:
                    if self._closed:
                        return []
                elif (hold_s := self._hold_s(now)) > 0:
                    self._changed.wait(hold_s)
                else:
                    batch = self._waiting.take(now, alone=self._alone)
                    self._running = len(batch)
                    return batch

    def _hold_s(self, now: float) -> float:
        """For how long to collect more: not at all where nobody would join."""
        if self._alone or self._closed or not self._limits.delay_s:
            return 0.0
        return self._waiting.hold_s(now, self._peak.lately(now))


def _answer(batch: list[Request], outcome: Prediction | Exception) -> None:
    begin = 0
    for request in batch:
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result((outcome, begin))
        begin += request.rows
