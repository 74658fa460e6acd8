"""A `Dynamics` around a `Dynamics`: concurrent calls share one forward pass.

Nothing is delayed: while the model runs, the next batch collects itself. Rows are counted, not
requests. Every row brings its own seed, so its draws do not depend on its neighbours. What does not
fit into the queue is refused, with word of when to ask again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from threading import Condition, Thread

import torch

from model_server.serving.load import Load
from model_server.serving.waiting import Limits, Request, Waiting, answer, attempt, join
from moma_core.checks import check_query
from moma_core.ports import (
    CALLER,
    BusyError,
    DeadlineError,
    Dynamics,
    InvalidFieldError,
    UnavailableError,
)
from moma_core.types import Metrics, ModelCard, Prediction, Query


class Batching:
    """Callers wait in a bounded queue; a thread, or a few side by side, run the model."""

    def __init__(
        self,
        inner: Dynamics,
        limits: Limits | None = None,
        *,
        alone: bool = False,
        streams: int = 1,
        direct: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the threads.

        Args:
            inner: the model.
            limits: of batches and of the queue.
            alone: serve each request by itself, so that its bits do not depend on its neighbours.
            streams: batches that are run at once, each with its share of torch's threads.
            direct: a lone caller's `queue` runs the model itself. Not beside other streams: it is
                their requests' loop that would wait.
            clock: monotonic seconds.
        """
        self._inner, self._alone, self._direct = inner, alone, direct and streams == 1
        self._task, self._limits, self._clock = inner.describe().task, limits or Limits(), clock
        self._waiting, self._load = Waiting(self._limits), Load()
        self._running = self._asking = 0
        self._changed, self._closed = Condition(), False
        # Of this thread; callers' threads may have been given fewer.
        share = max(1, torch.get_num_threads() // streams)
        self._streams = [
            Thread(target=self._serve, args=(share,), name=f"model-{number}", daemon=True)
            for number in range(streams)
        ]
        for stream in self._streams:
            stream.start()

    def describe(self) -> ModelCard:
        """Returns the model's card."""
        return self._inner.describe()

    def predict(self, query: Query, deadline: float = math.inf) -> Prediction:
        """Waits for the batch that takes these rows."""
        request, _ = self._queued(query, deadline)
        return request.own(*request.answer.result())

    async def queue(self, query: Query, deadline: float = math.inf) -> Prediction:
        """Does what `predict` does without holding a thread, or itself where `direct` says so."""
        self._asking += 1
        try:
            if self._direct:
                await asyncio.sleep(0)  # whoever has asked already comes first, to share the batch
            direct = self._direct and self._asking == 1
            request, batch = self._queued(query, deadline, direct=direct)
            if batch:
                self._run(batch, attempt(join, batch), go_on=False)
            return request.own(*await asyncio.wrap_future(request.answer))
        finally:
            self._asking -= 1

    def metrics(self) -> Metrics:
        """Returns counts since the start and percentiles of the last calls."""
        with self._changed:
            return self._load.metrics()

    def close(self) -> None:
        """Answers what waits, then ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for stream in self._streams:
            stream.join()

    def _queued(
        self, query: Query, deadline: float, *, direct: bool = False
    ) -> tuple[Request, list[Request]]:
        """Queues a request or refuses it; returns also the batch that its caller is to run."""
        if query.state.dim() and query.rows > self._limits.largest:
            raise InvalidFieldError(
                f"state: {query.rows} rows, need {self._limits.largest} at most: ask in parts"
            )
        check_query(self._task, query)  # one bad item must not fail a batch
        now = self._clock()
        caller = CALLER.get()
        request = Request(query=query, deadline=deadline, queued=now, caller=caller)
        with self._changed:
            if self._closed:
                raise UnavailableError("this model is being closed")
            if not self._waiting.fits(request.rows, caller):
                self._drop(now)
            if not self._waiting.fits(request.rows, caller):
                after = self._load.refused(request.rows, self._waiting.rows, now)
                raise BusyError(f"{self._waiting.rows} rows wait already", after)
            self._waiting.add(request)
            self._load.counts["requests"] += 1
            idle = not self._running and len(self._waiting) == 1
            if not (batch := self._ready() if direct and idle else []):
                self._changed.notify_all()
        return request, batch

    def _drop(self, now: float) -> None:
        """Answers those whose deadline has passed, unless they have given up by themselves."""
        for request in self._waiting.expire(now):
            self._load.counts["expired"] += 1
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_exception(DeadlineError("expired while it waited"))

    def _serve(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.get_num_threads()  # torch's first look; later ones might see what others set since
        while batch := self._next():
            joined = attempt(join, batch)
            while batch:
                batch, joined = self._run(batch, joined, go_on=True)

    def _run(
        self, batch: list[Request], joined: Query | Exception, *, go_on: bool
    ) -> tuple[list[Request], Query | Exception]:
        """Runs a batch and answers it; returns the next one where it is to go on with that."""
        begun = self._clock()
        outcome = joined if isinstance(joined, Exception) else attempt(self._inner.predict, joined)
        with self._changed:
            self._note(batch, begun, self._clock())
            following = self._ready() if go_on else []
        # Joined before the answers: who is answered wants the interpreter too.
        joined = attempt(join, following) if following else joined
        answer(batch, outcome)
        return following, joined

    def _note(self, batch: list[Request], begun: float, ended: float) -> None:
        """Counts a batch before it is answered: who is answered may ask again at once."""
        waited, rows = zip(*((begun - r.queued, r.rows) for r in batch), strict=True)
        self._load.ran(waited, sum(rows), ended - begun)
        self._running -= len(batch)

    def _next(self) -> list[Request]:
        """Waits for the next batch; empty once closed and drained."""
        with self._changed:
            while not (batch := self._ready()) and not self._closed:
                self._changed.wait()
            return batch

    def _ready(self) -> list[Request]:
        """Takes the next batch if there is one."""
        self._drop(self._clock())
        share = math.ceil(len(self._waiting) / len(self._streams))
        taken = self._waiting.take(1 if self._alone else share)
        batch = [request for request in taken if request.answer.set_running_or_notify_cancel()]
        self._running += len(batch)
        return batch
