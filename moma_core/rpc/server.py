"""A gRPC server from one event loop and on a port that is ours: TLS wherever it has keys."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Thread

import grpc
import psutil
import torch
from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from moma_core.address import Address
from moma_core.rpc.channel import MAX_MESSAGE
from moma_core.rpc.endpoint import Endpoint, ListenError
from moma_core.rpc.handlers import Elsewhere, Methods, Resting, handlers
from moma_core.rpc.trust import AUTHORITY, SERVER, Guard

_THREADS = 16
"""For answers that compute; who waits holds none. More of them wait for one interpreter, and each
of those that hold a lock then waits for it longest: 1,000 workers were served at a third."""
_OPTIONS = (
    # Otherwise a second server starts on the same port and the traffic splits silently.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class RunningServer:
    """A server that answers until it is stopped.

    Args:
        server: gRPC's own.
        resting: its streams that wait for their next request.
        health: what says whether it serves.
        endpoint: where it listens, and where peers are told to call.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        resting: Resting,
        health: aio.HealthServicer,
        endpoint: Endpoint,
    ) -> None:
        self._server, self._resting, self._health = server, resting, health
        self.endpoint = endpoint

    @property
    def address(self) -> Address:
        """Where peers are told to call."""
        return self.endpoint.address

    def stop(self, grace_s: float = 2.0) -> None:
        """Says that it does not serve, refuses new calls, lets running ones finish.

        Args:
            grace_s: seconds that those have.
        """

        async def stop() -> None:
            await self._health.enter_graceful_shutdown()
            self._resting.end()
            await self._server.stop(grace_s)

        asyncio.run_coroutine_threadsafe(stop(), _loop()).result()


def serve(
    services: Mapping[str, Methods], endpoint: Endpoint, operators: Collection[str] = ()
) -> RunningServer:
    """Starts a server.

    Args:
        services: by full name in the .proto file, the methods: by name, the request's message class
            and what answers it.
        endpoint: where to listen, and with which keys.
        operators: names of the methods that take an operator's token.

    Raises:
        ListenError: the port is taken: it says by whom.
    """
    bind = endpoint.bind
    pool = ThreadPoolExecutor(_THREADS, "rpc", initializer=_alone)
    resting = Resting()
    guard = Guard(endpoint.keys)
    answering = [
        grpc.method_handlers_generic_handler(
            service, handlers(methods, pool, resting, guard, operators)
        )
        for service, methods in services.items()
    ]

    health = aio.HealthServicer()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(answering)
        # Without a token: what asks, such as a cluster's probes, has none, and learns nothing else.
        add_HealthServicer_to_server(health, server)
        server.add_generic_rpc_handlers((Elsewhere(tuple(services)),))
        for service in services:
            await health.set(service, HealthCheckResponse.SERVING)
        try:
            bound = _open(server, endpoint)
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {bind}: {_owner(bind.port)}") from error
        await server.start()
        return server, bound

    server, port = asyncio.run_coroutine_threadsafe(start(), _loop()).result()
    return RunningServer(server, resting, health, endpoint.bound(port))


def _open(server: grpc.aio.Server, endpoint: Endpoint) -> int:
    """Opens the port, in plaintext only where there are no keys; returns its number."""
    bind, keys = str(endpoint.bind), endpoint.keys
    if keys is None:
        return int(server.add_insecure_port(bind))
    own = (keys.directory / SERVER).read_bytes()
    authority = (keys.directory / AUTHORITY).read_bytes() if keys.mutual else None
    tls = grpc.ssl_server_credentials([(own, own)], authority, keys.mutual)
    return int(server.add_secure_port(bind, tls))


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


def _owner(port: int) -> str:
    """Says who holds a port, as far as this user may see it."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            if connection.pid is None:
                break
            name = psutil.Process(connection.pid).name()
            return f"the port is taken by process {connection.pid} ({name})"
    return "the port is taken"
