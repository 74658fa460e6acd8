"""A gRPC server on loopback: handlers that name the bad field and live, and a port that is ours."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any

import grpc
import psutil
import torch
from google.protobuf.message import DecodeError, Message

from moma.ports import BusyError, DeadlineError, InvalidFieldError, UnavailableError
from moma.rpc.channel import MAX_MESSAGE, RETRY_AFTER_MS

_LOG = logging.getLogger(__name__)
_THREADS = 256
"""For answers that block, made as needed; a worker that waits for a segment holds one."""
_OPTIONS = (
    # Otherwise a second server starts on the same port and the traffic splits silently.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_STATUS = {
    InvalidFieldError: grpc.StatusCode.INVALID_ARGUMENT,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}
Answer = Callable[[Any, float], Any]
"""From a request and its deadline (`time.monotonic()`) to a reply, both messages.

A plain function may block and gets a thread; a coroutine must not block.
"""
Methods = Mapping[str, tuple[type[Message], Answer]]
"""By name, the request's message class and what answers it."""


class ListenError(OSError):
    """The server cannot listen where it was told to."""


class RunningServer:
    """A server that answers until it is stopped."""

    def __init__(self, server: grpc.aio.Server, address: str) -> None:
        self._server, self.address = server, address

    def stop(self, grace_s: float = 2.0) -> None:
        """Refuses new calls, lets running ones finish for `grace_s` seconds."""
        asyncio.run_coroutine_threadsafe(self._server.stop(grace_s), _loop()).result()


def serve(service: str, methods: Methods, listen: str) -> RunningServer:
    """Starts a server.

    Args:
        service: the service's full name in the .proto file.
        methods: by name, the request's message class and what answers it.
        listen: HOST:PORT on loopback; port 0 takes a free one.

    Raises:
        ListenError: not loopback, or the port is taken: it says by whom.
    """
    host, port = _loopback(listen)
    pool = ThreadPoolExecutor(_THREADS, "rpc", initializer=_alone)
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(
            _guarded(answer, pool),
            request_deserializer=_lenient(request),
            response_serializer=lambda reply: reply.SerializeToString(),
        )
        for name, (request, answer) in methods.items()
    }

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        try:
            bound = server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {host}:{port}: {_owner(port)}") from error
        await server.start()
        return server, bound

    server, bound = asyncio.run_coroutine_threadsafe(start(), _loop()).result()
    return RunningServer(server, f"{host}:{bound}")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Starts the loop of all servers in this process: several would wake each other up."""
    loop = asyncio.new_event_loop()

    def run() -> None:
        _alone()
        loop.run_forever()

    Thread(target=run, name="rpc-loop", daemon=True).start()
    return loop


def _alone() -> None:
    """Keeps a thread's tensor work on that thread.

    A second team of OpenMP threads in the process would make the first one sleep between its
    parallel regions: 5,000 context switches and 15 % of the time of an update (measured).
    """
    torch.set_num_threads(1)


def _loopback(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ListenError(f"cannot listen on {listen!r}: need HOST:PORT with a port up to 65535")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ListenError(f"cannot listen on {listen!r}: {host!r} is no IP address") from error
    if not address.is_loopback or address.version != 4:
        raise ListenError(f"cannot listen on {listen!r}: only loopback (127.0.0.1) is allowed")
    return str(address), int(port)


def _owner(port: int) -> str:
    """Says who holds a port, as far as this user may see it."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            if connection.pid is None:
                break
            name = psutil.Process(connection.pid).name()
            return f"the port is taken by process {connection.pid} ({name})"
    return "the port is taken"


def _lenient(kind: type[Message]) -> Callable[[bytes], Message | DecodeError]:
    """Parses a request; bytes that are no message become the error, for the handler to answer."""

    def parse(raw: bytes) -> Message | DecodeError:
        try:
            return kind.FromString(raw)
        except DecodeError as error:
            return error

    return parse


def _status(error: Exception) -> grpc.StatusCode:
    return next(status for kind, status in _STATUS.items() if isinstance(error, kind))


def _guarded(answer: Answer, pool: ThreadPoolExecutor) -> Callable[..., Awaitable[Message]]:
    """Turns our errors into statuses; anything unforeseen is logged and the server lives."""

    async def answered(request: Message | DecodeError, deadline: float) -> Message:
        if isinstance(request, DecodeError):
            raise InvalidFieldError(f"message: cannot be parsed: {request}")
        if iscoroutinefunction(answer):
            reply: Message = await answer(request, deadline)
        else:
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(pool, answer, request, deadline)
        return reply

    async def guarded(request: Message | DecodeError, context: Any) -> Message:  # noqa: ANN401
        left = context.time_remaining()
        try:
            return await answered(request, math.inf if left is None else time.monotonic() + left)
        except BusyError as error:
            after = (RETRY_AFTER_MS, str(math.ceil(error.retry_after_s * 1e3)))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), (after,))
        except tuple(_STATUS) as error:
            await context.abort(_status(error), str(error))
        except Exception as error:
            _LOG.exception("a request failed")
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        raise AssertionError("abort raises")

    return guarded
