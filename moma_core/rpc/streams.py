"""Streams that are kept open: a request on one takes half the time of a call of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from moma_core.ports import UnavailableError


class _Stream:
    """One open call. It takes a request after the last one is answered."""

    def __init__(self, method: Callable[..., Any], timeout_s: float) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self.ends = time.monotonic() + timeout_s
        self._replies = method(iter(self._requests.get, None), timeout=timeout_s)

    @property
    def open(self) -> bool:
        """False once the peer, the network or the deadline has ended it."""
        return bool(self._replies.is_active())

    def ask(self, request: Any) -> Any:  # noqa: ANN401 - the method's messages
        self._requests.put(request)
        return next(self._replies)

    def close(self) -> None:
        self._requests.put(None)  # ends the thread in which gRPC reads the requests


class Streams:
    """A method that answers streams, as a plain one: one request in, one reply out.

    Used from several threads; each has a stream to itself while it waits.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        """Opens none.

        Args:
            method: of a stub, from an iterator of requests to one of replies.
        """
        self._method = method
        self._idle: list[_Stream] = []

    def __call__(self, request: Any, timeout: float) -> Any:  # noqa: ANN401 - the method's messages
        """Returns the reply; waits for `timeout` seconds at most, and for half of it at least.

        Raises:
            grpc.RpcError: what a plain call would raise.
            UnavailableError: the peer has ended the stream.
        """
        stream = self._take(timeout)
        try:
            reply = stream.ask(request)
        except StopIteration as error:
            stream.close()
            raise UnavailableError("the peer has ended the stream") from error
        except BaseException:
            stream.close()
            raise
        self._idle.append(stream)
        return reply

    def close(self) -> None:
        """Ends the streams that nobody waits for."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, timeout: float) -> _Stream:
        """Returns an idle stream whose deadline suits, or a new one."""
        now = time.monotonic()
        while self._idle:
            stream = self._idle.pop()
            if stream.open and timeout / 2 <= stream.ends - now <= timeout:
                return stream
            stream.close()
        return _Stream(self._method, timeout)
