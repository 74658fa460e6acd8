"""What one role may ask of another. Each port has an in-process and a gRPC implementation."""

from __future__ import annotations

import math
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

from moma_core.types import (
    Assignment,
    Metrics,
    ModelCard,
    ModelPart,
    PolicySnapshot,
    Prediction,
    Query,
    Receipt,
    RunCard,
    Trajectory,
)

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Connection that a call came over, for whoever answers it; empty within a process."""


class InvalidFieldError(ValueError):
    """A message or file holds a field that no reader may accept; the text names it."""


class UnavailableError(ConnectionError):
    """A peer did not answer; asking again later is sensible."""


class BusyError(UnavailableError):
    """A peer has no room now; asking again sooner than it says is of no use."""

    def __init__(self, words: str, retry_after_s: float) -> None:
        """Says what is full.

        Args:
            words: what is full.
            retry_after_s: when there may be room again, in seconds.
        """
        super().__init__(words)
        self.retry_after_s = retry_after_s


class ModelChangedError(RuntimeError):
    """A rollout was answered by two models; it belongs to neither, so it ends."""


class DeadlineError(TimeoutError):
    """The answer would have come after the caller's deadline."""


@runtime_checkable
class Dynamics(Protocol):
    """What comes next, and how sure are we."""

    def describe(self) -> ModelCard:
        """Returns what this model is and which task it fits."""

    def predict(self, query: Query) -> Prediction:
        """Predicts one step of every row.

        Returns:
            What comes next, all rows by one model, which it names.

        Raises:
            InvalidFieldError: a shape does not fit the task, or a value is not finite.
            DeadlineError: an implementation that waits has waited for too long.
            BusyError: too many rows wait already.
        """

    def metrics(self) -> Metrics:
        """Returns counters and timings since the start, for TensorBoard."""


@runtime_checkable
class QueuedDynamics(Dynamics, Protocol):
    """One whose callers wait in a queue, for which they need no thread."""

    async def queue(self, query: Query, deadline: float = math.inf) -> Prediction:
        """Does what `predict` does; a caller that gives up is not served.

        Args:
            query: the rows.
            deadline: `time.monotonic()` after which the answer is of no use: they are dropped then.

        Raises:
            DeadlineError: the deadline passed first.
            InvalidFieldError: as `predict`.
            BusyError: as `predict`.
        """


@runtime_checkable
class Learner(Protocol):
    """The owner of the policy and of everything that changes."""

    def describe(self) -> RunCard:
        """Returns what a worker has to know of the run."""

    def assign(self, worker: str, incarnation: int, wait_s: float) -> Assignment:
        """Hands out the next segment to make.

        Args:
            worker: who asks, by its name in the run.
            incarnation: how often that worker had been started before.
            wait_s: how long to wait for a segment where there is none, in seconds.
        """

    def fetch_policy(self) -> PolicySnapshot:
        """Returns the actors at the newest version."""

    def submit(self, trajectory: Trajectory) -> Receipt:
        """Takes one whole segment; sending the same one twice is harmless.

        Raises:
            InvalidFieldError: a shape does not fit the task, or a value is not finite.
        """


@runtime_checkable
class QueuedLearner(Learner, Protocol):
    """One whose callers wait in a queue, for which they need no thread."""

    def ask(self, worker: str, incarnation: int, wait_s: float) -> Future[Any]:
        """Begins what `assign` does; what it returns is done once there is something to say.

        Whoever does not wait for it any more cancels it.

        Args:
            worker: as `assign` takes it.
            incarnation: as `assign` takes it.
            wait_s: as `assign` takes it; only with 0 it is done at once in any case.

        Raises:
            BusyError: too many wait already.
        """

    def answer(self, asked: Future[Any]) -> Assignment:
        """Returns what `assign` does: of nothing where what was asked for is not there.

        Args:
            asked: what `ask` returned; it is cancelled where it is not done.
        """


@runtime_checkable
class Run(Protocol):
    """A run as a whole, for whoever joins it, watches it or operates it."""

    def fetch_model(self, digest: str, file: str, offset: int) -> ModelPart:
        """Returns some of a model's file.

        Args:
            digest: the model's: SHA-256 of its manifest.
            file: the manifest, or a file that it names.
            offset: where to begin, in bytes.

        Raises:
            InvalidFieldError: there is no such model, file or place in it.
        """

    def status(self) -> str:
        """Says how it goes, as JSON."""

    def stop(self) -> None:
        """Lets the run save and end."""

    def scale(self, workers: int) -> None:
        """Lets the run itself keep so many workers; those that joined come on top."""
