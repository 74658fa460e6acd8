"""What waits for the model: how much may, and who is next.

No thread, no clock and no model: times are arguments.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from moma_core.types import Prediction, Query, layouts

T = TypeVar("T")
_QUEUED_BATCHES = 4
_LARGEST = 1 << 14
"""Rows that any request may have: a second of work, which a stop and all others can wait for."""
_KEPT = 16
"""A request of this part of a batch at most finds room beside callers who have taken all of it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of batches and of the queue."""

    max_rows: int = 4096
    """Rows of one batch at most; a larger request still goes through, by itself."""
    queue_rows: int = 0
    """Rows that may wait; 0: four batches. A larger request waits where nothing else does."""

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"max_rows is {self.max_rows}, need 1 or more")
        if self.queue_rows < 0:
            raise ValueError(f"queue_rows is {self.queue_rows}, need 0 or more")

    @property
    def room(self) -> int:
        """Rows that may wait."""
        return self.queue_rows or _QUEUED_BATCHES * self.max_rows

    @property
    def largest(self) -> int:
        """Rows that one request may have."""
        return max(_LARGEST, self.room)

    @property
    def kept(self) -> int:
        """Rows of a caller with nothing waiting that find room where there is none."""
        return self.max_rows // _KEPT


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One caller's rows, and where their answer goes."""

    query: Query
    deadline: float
    queued: float
    caller: str = ""
    """Connection that it came over; empty within a process."""
    answer: Future[tuple[Prediction, int]] = field(default_factory=Future)
    """Prediction of the whole batch, and at which of its rows this request's begin."""

    @property
    def rows(self) -> int:
        """B."""
        return self.query.rows

    def own(self, whole: Prediction, begin: int) -> Prediction:
        """Returns this request's rows of its answer, as views."""
        if self.rows == len(whole.reward):
            return whole
        own = slice(begin, begin + self.rows)
        parts = {name: getattr(whole, name)[own] for name in layouts(Prediction)}
        return Prediction(**parts, model=whole.model)


def join(batch: Sequence[Request]) -> Query:
    """Returns the rows of all requests, copied once; of one request not at all."""
    if len(batch) == 1:
        return batch[0].query
    fields = layouts(Query)
    return Query(**{f: torch.cat([getattr(r.query, f) for r in batch]) for f in fields})


def answer(batch: Sequence[Request], outcome: Prediction | Exception) -> None:
    """Gives every request of a batch what came of it."""
    begin = 0
    for request in batch:
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result((outcome, begin))
        begin += request.rows


def attempt(work: Callable[..., T], *given: object) -> T | Exception:
    """Returns what comes of it; a fault is for whoever asked, and the thread goes on."""
    try:
        return work(*given)
    except Exception as error:
        return error


class Waiting:
    """Requests in the order in which they are served: first come, first served.

    A few who ask for very much could take all the room, again and again. Small requests of callers
    with nothing else waiting then find room of their own, and come first: half of a batch at most.
    """

    def __init__(self, limits: Limits) -> None:
        """Begins empty."""
        self._limits = limits
        self._line: deque[Request] = deque()
        self._small: deque[Request] = deque()
        self.rows = 0

    def __len__(self) -> int:
        return len(self._line) + len(self._small)

    def fits(self, rows: int, caller: str = "") -> bool:
        """True where so many rows more may wait.

        Args:
            rows: of the request.
            caller: the connection that it came over.
        """
        return self._in_line(rows) or self._beside(rows, caller)

    def _in_line(self, rows: int) -> bool:
        return self.rows == 0 or self.rows + rows <= self._limits.room

    def _beside(self, rows: int, caller: str) -> bool:
        """True of little, of a caller with nothing waiting, as long as there are not very many."""
        waits = any(request.caller == caller for request in (*self._line, *self._small))
        beside = sum(request.rows for request in self._small)
        return rows <= self._limits.kept and not waits and beside + rows <= self._limits.room

    def add(self, request: Request) -> None:
        """Appends a request."""
        rows, caller = request.rows, request.caller
        small = not self._in_line(rows) and self._beside(rows, caller)
        (self._small if small else self._line).append(request)
        self.rows += request.rows

    def expire(self, now: float) -> list[Request]:
        """Removes and returns the requests whose deadline has passed."""
        late = []
        for line in (self._small, self._line):
            late += [request for request in line if request.deadline <= now]
        for request in late:
            (self._small if request in self._small else self._line).remove(request)
            self.rows -= request.rows
        return late

    def take(self, most: float = math.inf) -> list[Request]:
        """Removes and returns the next batch, of so many requests at most."""
        batch: list[Request] = []
        rows = 0
        for line, limit in (
            (self._small, self._limits.max_rows // 2),
            (self._line, self._limits.max_rows),
        ):
            while line and not (batch and (rows + line[0].rows > limit or len(batch) >= most)):
                batch.append(line.popleft())
                rows += batch[-1].rows
        self.rows -= rows
        return batch
