"""A gRPC server on loopback: handlers that name the bad field and live, and a port that is ours."""

from __future__ import annotations

import ipaddress
import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psutil
import torch
from google.protobuf.message import DecodeError, Message

from moma.ports import BusyError, DeadlineError, InvalidFieldError, UnavailableError
from moma.rpc.channel import MAX_MESSAGE, RETRY_AFTER_MS

_LOG = logging.getLogger(__name__)
_THREADS = 64
"""Handler threads; a waiting worker holds one."""
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
Answer = Callable[[Any, grpc.ServicerContext], Message]
Methods = Mapping[str, tuple[type[Message], Answer]]
"""By name, the request's message class and what answers it."""


class ListenError(OSError):
    """The server cannot listen where it was told to."""


class RunningServer:
    """A server that answers until it is stopped."""

    def __init__(self, server: grpc.Server, address: str) -> None:
        self._server, self.address = server, address

    def stop(self, grace_s: float = 2.0) -> None:
        """Refuses new calls, lets running ones finish for `grace_s` seconds."""
        self._server.stop(grace_s).wait()


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
    server = grpc.server(pool, options=_OPTIONS)
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(
            _guarded(answer),
            request_deserializer=_lenient(request),
            response_serializer=lambda reply: reply.SerializeToString(),
        )
        for name, (request, answer) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {_owner(port)}") from error
    server.start()
    return RunningServer(server, f"{host}:{bound}")


def _alone() -> None:
    """Keeps a handler's tensor work on its own thread.

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


def _guarded(answer: Answer) -> Answer:
    """Turns our errors into statuses; anything unforeseen is logged and the server lives."""

    def guarded(request: Message | DecodeError, context: grpc.ServicerContext) -> Message:
        if isinstance(request, DecodeError):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"message: cannot be parsed: {request}")
        try:
            return answer(request, context)
        except BusyError as error:
            milliseconds = math.ceil(error.retry_after_s * 1e3)
            context.set_trailing_metadata(((RETRY_AFTER_MS, str(milliseconds)),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except tuple(_STATUS) as error:
            context.abort(_status(error), str(error))
        except Exception as error:
            _LOG.exception("a request failed")
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    return guarded
