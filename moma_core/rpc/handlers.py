"""What answers a server's calls: it names what is wrong with a request, and it lives."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from moma_core.ports import (
    CALLER,
    BusyError,
    DeadlineError,
    InvalidFieldError,
    UnavailableError,
)
from moma_core.rpc.channel import RETRY_AFTER_MS
from moma_core.rpc.trust import DeniedError, ForbiddenError, Guard

_LOG = logging.getLogger(__name__)
_STATUS = {
    InvalidFieldError: grpc.StatusCode.INVALID_ARGUMENT,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    DeniedError: grpc.StatusCode.UNAUTHENTICATED,
}
"""By kind of error, the more special ones first."""
Answer = Callable[[Any, float], Any]
"""From a request and its deadline (`time.monotonic()`) to a reply, both messages.

A plain function may block and gets a thread; it answers calls of one request, and may return a
`Later`. A coroutine must not block; it answers streams of requests, one after the other.
"""
Methods = Mapping[str, tuple[type[Message], Answer]]
"""By name, the request's message class and what answers it."""
Admit = Callable[[Any], None]
"""From a call's metadata to nothing, or to an error that refuses it."""


@dataclass(frozen=True)
class Later:
    """A reply that may take a while: whoever waits for it holds no thread meanwhile."""

    asked: Future[Any]
    """Future of what there is to reply; it is cancelled where the caller gives up."""
    within_s: float
    """Seconds to wait for that at most."""
    reply: Callable[[], Message]
    """Maker of the reply from what there is then, in a thread."""


class Resting:
    """The streams of a server that wait for their next request; they end when it stops."""

    def __init__(self) -> None:
        """Begins with none. Used from the loop's thread alone."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over = False

    async def until(self, read: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
        """Returns a stream's next request, or gRPC's mark of the end.

        Raises:
            UnavailableError: the server stops.
        """
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._over:
                return await read()
        except asyncio.CancelledError:
            if not self._over:
                raise
        finally:
            self._tasks.discard(task)
        raise UnavailableError("this server stops")

    def end(self) -> None:
        """Ends them all."""
        self._over = True
        for task in self._tasks:
            task.cancel()


def handlers(
    methods: Methods,
    pool: Executor,
    resting: Resting,
    guard: Guard,
    operators: Collection[str],
) -> dict[str, Any]:
    """Returns what gRPC is to call, by the methods' names.

    Args:
        methods: of one service.
        pool: of threads for what may block.
        resting: takes the streams that wait.
        guard: asked before anything is parsed.
        operators: names of the methods that take an operator's token.
    """
    found: dict[str, Any] = {}
    for name, (request, answer) in methods.items():
        admit = partial(guard.admit, operator=name in operators)
        # Requests stay bytes until their caller has been let in.
        coders = {"response_serializer": lambda reply: reply.SerializeToString()}
        found[name] = (
            grpc.stream_stream_rpc_method_handler(
                _stream(request, answer, resting, admit), **coders
            )
            if iscoroutinefunction(answer)
            else grpc.unary_unary_rpc_method_handler(_unary(request, answer, pool, admit), **coders)
        )
    return found


class Elsewhere(grpc.GenericRpcHandler):
    """Answers calls that are for another service: it says which ones are here."""

    def __init__(self, services: tuple[str, ...]) -> None:
        """Takes the names of the services that are here."""
        self._services = services

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """Returns what refuses any method."""
        words = f"here answers {', '.join(self._services)}, not {details.method}"

        async def refuse(_: object, context: Any) -> None:  # noqa: ANN401
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, words)

        return grpc.unary_unary_rpc_method_handler(refuse)


def _unary(
    request: type[Message], answer: Answer, pool: Executor, admit: Admit
) -> Callable[..., Awaitable[Message]]:
    """One request in a thread of the pool."""

    async def answered(raw: bytes, context: Any) -> Message:  # noqa: ANN401
        async with _refusing(context):
            admit(context.invocation_metadata())
            given = _parsed(request, raw), _deadline(context)
            CALLER.set(context.peer())
            told = copy_context().run  # a thread has no context of its own
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(pool, told, answer, *given)
            if isinstance(reply, Later):
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(reply.asked), reply.within_s)
                reply = await loop.run_in_executor(pool, reply.reply)
            made: Message = reply
            return made
        raise AssertionError("a refusal raises")

    return answered


def _stream(
    request: type[Message], answer: Answer, resting: Resting, admit: Admit
) -> Callable[..., Awaitable[None]]:
    """Any number of requests; the next is read when the last is answered.

    The caller is asked for its token each time: a stream may outlive it.
    """

    async def answered(_: object, context: Any) -> None:  # noqa: ANN401
        deadline, shown = _deadline(context), context.invocation_metadata()
        CALLER.set(context.peer())
        async with _refusing(context):
            admit(shown)
            while (raw := await resting.until(context.read)) is not grpc.aio.EOF:
                admit(shown)
                await context.write(await answer(_parsed(request, raw), deadline))

    return answered


@asynccontextmanager
async def _refusing(context: Any) -> AsyncIterator[None]:  # noqa: ANN401 - gRPC's own, untyped
    """Turns our errors into statuses, which end the call; what is unforeseen is logged."""
    try:
        yield
    except BusyError as error:
        after = (RETRY_AFTER_MS, str(math.ceil(error.retry_after_s * 1e3)))
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), (after,))
    except tuple(_STATUS) as error:
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        await context.abort(status, str(error))
    except Exception as error:
        _LOG.exception("a request failed")
        await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def _parsed(kind: type[Message], raw: bytes) -> Message:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InvalidFieldError(f"message: cannot be parsed: {error}") from error


def _deadline(context: Any) -> float:  # noqa: ANN401
    left = context.time_remaining()
    return math.inf if left is None else time.monotonic() + left
