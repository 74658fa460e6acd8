"""Channels and calls: options that tests showed necessary, deadlines, errors in our own terms."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import grpc

from moma.ports import DeadlineError, InvalidFieldError, UnavailableError

T = TypeVar("T")
MAX_MESSAGE = 64 * 2**20
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Without the ping timeout a stopped peer is noticed after a minute, with it after seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_BACKOFF_S = (0.1, 2.0)
_SAY_EVERY_S = 5.0


class ExpiredError(DeadlineError):
    """The caller's own deadline has passed; asking again is of no use."""


class StoppedError(Exception):
    """The process was told to stop while it waited for a peer."""


def connect(address: str) -> grpc.Channel:
    """Opens a channel; nothing is sent before the first call.

    Raises:
        ValueError: the address is not HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"address {address!r} must be HOST:PORT")
    return grpc.insecure_channel(address, options=OPTIONS)


def call(
    method: Callable[..., T],
    request: Any,  # noqa: ANN401 - any message
    timeout_s: float,
) -> T:
    """Makes one call with a deadline.

    Raises:
        InvalidFieldError: the peer refused a field.
        DeadlineError: no answer in time.
        UnavailableError: the peer is not there.
        RuntimeError: anything else, with the peer's words.
    """
    try:
        return method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        code, words = error.code(), error.details() or ""
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            raise InvalidFieldError(words) from error
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineError(f"no answer within {timeout_s:.1f} s") from error
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            raise UnavailableError(words) from error
        raise RuntimeError(f"{code.name}: {words}") from error


@runtime_checkable
class Persistence(Protocol):
    """How a client asks: once, or until it is answered."""

    def __call__(self, ask: Callable[[], T], /) -> T:
        """Returns the answer."""


def once(ask: Callable[[], T], /) -> T:
    """Asks once; errors come through."""
    return ask()


class Patience:
    """Asks a peer again until it answers, saying whom it waits for and since when.

    For idempotent calls only: every call of both ports is one.
    """

    def __init__(self, whom: str, stopping: Callable[[], bool], say: Callable[[str], None]) -> None:
        self._whom, self._stopping, self._say = whom, stopping, say

    def __call__(self, ask: Callable[[], T], /) -> T:
        """Returns the answer, however long it takes.

        Raises:
            StoppedError: the process was told to stop meanwhile.
        """
        since = said = time.monotonic()
        pause, failed = _BACKOFF_S[0], False
        while True:
            if self._stopping():
                raise StoppedError(f"stopped while waiting for {self._whom}")
            try:
                answer = ask()
            except ExpiredError:
                raise
            except (UnavailableError, DeadlineError) as error:
                now = time.monotonic()
                if not failed or now - said >= _SAY_EVERY_S:
                    self._say(
                        f"waiting for {self._whom} since {now - since:.0f} s ({error}); "
                        "asking again until it answers"
                    )
                    said = now
                failed = True
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _BACKOFF_S[1])
                continue
            if failed:
                self._say(f"{self._whom} answers again after {time.monotonic() - since:.1f} s")
            return answer
