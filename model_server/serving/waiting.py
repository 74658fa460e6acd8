"""What waits for the model: how much may, who is next, and for how long to collect more.

No thread, no clock and no model: times are arguments.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TypeVar, get_args

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from moma_core.types import Prediction, Priority

T = TypeVar("T")
Asked = tuple[Tensor, Tensor, Tensor]
"""States, actions and seeds of a batch."""
_QUEUED_BATCHES = 4


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of batches and of the queue."""

    max_rows: int = 4096
    """Rows of one batch at most; a larger request still goes through, by itself."""
    queue_rows: int = 0
    """Rows that may wait; 0: four batches. A larger request waits where nothing else does."""
    delay_s: float = 0.0
    """Seconds that a request may be kept waiting for others to share its batch."""
    age_s: float = 1.0
    """Seconds of waiting that raise a request by one class."""

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"max_rows is {self.max_rows}, need 1 or more")
        if self.queue_rows < 0:
            raise ValueError(f"queue_rows is {self.queue_rows}, need 0 or more")
        if not 0 <= self.delay_s < math.inf:
            raise ValueError(f"delay_s is {self.delay_s}, need 0 or more, and finite")
        if not self.age_s > 0:
            raise ValueError(f"age_s is {self.age_s}, need more than 0")

    @property
    def room(self) -> int:
        """Rows that may wait."""
        return self.queue_rows or _QUEUED_BATCHES * self.max_rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One caller's rows, and where their answer goes."""

    state: Float32[Tensor, "B S"]
    action: Float32[Tensor, "B A U"]
    seed: Int64[Tensor, " B"]
    deadline: float
    priority: Priority
    queued: float
    answer: Future[tuple[Prediction, int]] = field(default_factory=Future)
    """Prediction of the whole batch, and at which of its rows this request's begin."""

    @property
    def rows(self) -> int:
        """B."""
        return self.state.shape[0]

    def own(self, whole: Prediction, begin: int) -> Prediction:
        """Returns this request's rows of its answer, as views."""
        if self.rows == len(whole.reward):
            return whole
        own = slice(begin, begin + self.rows)
        return replace(
            whole,
            next_state=whole.next_state[own],
            reward=whole.reward[own],
            terminated=whole.terminated[own],
            disagreement=whole.disagreement[own],
            aleatoric=whole.aleatoric[own],
            reward_disagreement=whole.reward_disagreement[own],
        )


def together(batch: Sequence[Request]) -> Asked:
    """Returns all rows' states, actions and seeds, copied once; of one request not at all."""
    if len(batch) == 1:
        return batch[0].state, batch[0].action, batch[0].seed
    return (
        torch.cat([request.state for request in batch]),
        torch.cat([request.action for request in batch]),
        torch.cat([request.seed for request in batch]),
    )


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
    """Requests in the order in which they are served: by class, then first come, first served."""

    def __init__(self, limits: Limits) -> None:
        """Begins empty."""
        self._limits = limits
        self._lines: dict[Priority, deque[Request]] = {p: deque() for p in get_args(Priority)}
        self.rows = 0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def fits(self, rows: int) -> bool:
        """True where so many rows more may wait."""
        return self.rows == 0 or self.rows + rows <= self._limits.room

    def add(self, request: Request) -> None:
        """Appends a request to its class."""
        self._lines[request.priority].append(request)
        self.rows += request.rows

    def expire(self, now: float) -> list[Request]:
        """Removes and returns the requests whose deadline has passed."""
        late = [request for request in self._all() if request.deadline <= now]
        for request in late:
            self._lines[request.priority].remove(request)
            self.rows -= request.rows
        return late

    def hold_s(self, now: float, most: int) -> float:
        """Returns for how many seconds the next batch should go on collecting; 0: none.

        Args:
            now: the time.
            most: as many requests were lately outstanding at once; more are not to be expected.
        """
        if self.rows >= self._limits.max_rows or len(self) >= most:
            return 0.0
        oldest = min(line[0].queued for line in self._lines.values() if line)
        return max(0.0, oldest + self._limits.delay_s - now)

    def take(self, now: float, most: float = math.inf) -> list[Request]:
        """Removes and returns the next batch, of so many requests at most."""
        batch: list[Request] = []
        rows = 0
        while (line := self._next(now)) is not None:
            full = rows + line[0].rows > self._limits.max_rows
            if batch and (full or len(batch) >= most):
                break
            batch.append(line.popleft())
            rows += batch[-1].rows
        self.rows -= rows
        return batch

    def _next(self, now: float) -> deque[Request] | None:
        """The class whose oldest request is next: of equally good classes who waits longest."""
        best, first = (math.inf, math.inf), None
        for place, line in enumerate(self._lines.values()):
            if line:
                waited = now - line[0].queued
                aged = max(0, place - int(waited / self._limits.age_s)), line[0].queued
                if aged < best:
                    best, first = aged, line
        return first

    def _all(self) -> Iterator[Request]:
        for line in self._lines.values():
            yield from line
