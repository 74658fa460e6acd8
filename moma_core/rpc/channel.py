"""Channels and calls: options that tests showed necessary, deadlines, errors in our own terms."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import grpc

from moma_core.address import Address
from moma_core.ports import (
    BusyError,
    DeadlineError,
    InvalidFieldError,
    UnavailableError,
)
from moma_core.rpc.trust import SERVER_NAME, DeniedError, ForbiddenError, Pass
from moma_core.stopping import Stop, StoppedError

T = TypeVar("T")
MAX_MESSAGE = 64 * 2**20
PROXY = "MOMA_HTTP_PROXY"
"""Variable that, set to 1, lets calls go through the proxy that the environment names; without it
they do not, since such a variable sends even calls to loopback there."""
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
    # For one attempt to connect: a busy machine lets a worker that yields wait for so long.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "CERTIFICATE_VERIFY_FAILED",
    "Hostname Verification Check failed",
)
"""Words of a failed handshake that trying again does not mend."""
_KINDS: dict[grpc.StatusCode, type[Exception]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidFieldError,
    grpc.StatusCode.PERMISSION_DENIED: ForbiddenError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
}
"""Our errors, by the status that says one of them and nothing else."""
RETRY_AFTER_MS = "retry-after-ms"
"""Trailing metadata of a refusal: when there may be room, in whole milliseconds."""
_BACKOFF_S = (0.1, 2.0)
_JITTER = (0.5, 1.5)
"""Of what a peer without room says, so that those it refused do not come back together."""
_LONGEST_S = _BACKOFF_S[1] / _JITTER[1]
_MOST = 4.0
"""Times what a peer says: with no such bound a few had no luck for 8 s (docs/performance.md)."""
_SAY_EVERY_S = 5.0


class ExpiredError(DeadlineError):
    """The caller's own deadline has passed; asking again is of no use."""


def connect(address: Address, trust: Pass | None = None) -> grpc.Channel:
    """Opens a channel; nothing is sent before the first call.

    Args:
        address: where the peer is called.
        trust: what to show it and to know it by; None: plaintext, which is for loopback alone.

    Raises:
        ValueError: the address is beyond loopback, and there is nothing to show.
    """
    options = (*OPTIONS, ("grpc.enable_http_proxy", int(os.environ.get(PROXY) == "1")))
    if trust is None:
        if not address.loopback:
            raise ValueError(
                f"{address} is beyond loopback and is not called in plaintext: "
                "give --token-file FILE, the run's, with ca.pem beside it"
            )
        return grpc.insecure_channel(str(address), options=options)
    own = trust.certificate()
    tls = grpc.ssl_channel_credentials(trust.authority(), own, own)
    token = grpc.metadata_call_credentials(_Token(trust), "token")
    return grpc.secure_channel(
        str(address),
        grpc.composite_channel_credentials(tls, token),
        options=(*options, ("grpc.ssl_target_name_override", SERVER_NAME)),
    )


class _Token(grpc.AuthMetadataPlugin):
    """Shows the token with every call."""

    def __init__(self, trust: Pass) -> None:
        self._trust = trust

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002 - the same for every call
        callback: grpc.AuthMetadataPluginCallback,
    ) -> None:
        try:
            shown = self._trust.metadata()
        except (OSError, ValueError) as error:
            callback((), error)
        else:
            callback(shown, None)


def call(
    method: Callable[..., T],
    request: Any,  # noqa: ANN401 - any message
    timeout_s: float,
) -> T:
    """Makes one call with a deadline.

    Args:
        method: of a stub.
        request: its message.
        timeout_s: seconds until the deadline.

    Raises:
        InvalidFieldError: the peer refused a field.
        DeadlineError: no answer in time.
        BusyError: the peer has no room and says when it may.
        DeniedError: the peer refuses the token, or its certificate is none of the run's.
        UnavailableError: the peer is not there.
        ValueError: another service answers there; it says which.
        RuntimeError: anything else, with the peer's words.
    """
    try:
        return method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        code, words = error.code(), error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineError(f"no answer within {timeout_s:.1f} s") from error
        if code == grpc.StatusCode.UNAUTHENTICATED or any(word in words for word in _NO_TLS):
            raise DeniedError(words) from error
        if (kind := _KINDS.get(code)) is not None:
            raise kind(words) from error
        if code == grpc.StatusCode.UNIMPLEMENTED:
            raise ValueError(f"{words}; are two addresses swapped?") from error
        if (after_s := _retry_after_s(error)) is not None:
            raise BusyError(words, after_s) from error
        raise RuntimeError(f"{code.name}: {words}") from error


def _retry_after_s(error: grpc.RpcError) -> float | None:
    """What a refusal says of when to ask again; a message too large is none, and says nothing."""
    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None
    for entry in error.trailing_metadata() or ():
        said = str(entry.value)
        if entry.key == RETRY_AFTER_MS and said.isdecimal():
            return int(said) / 1e3
    return None


@runtime_checkable
class Persistence(Protocol):
    """How a client asks: once, or until it is answered."""

    def __call__(self, ask: Callable[[], T], /) -> T:
        """Returns the answer."""


def once(ask: Callable[[], T], /) -> T:
    """Asks once; errors come through."""
    return ask()


class GoneError(ValueError):
    """A peer has not answered for as long as it was to be waited for."""


class Patience:
    """Asks a peer again until it answers, saying whom it waits for and since when.

    A peer that is away is an outage; one without room is waited for as long as it says, longer
    each time, and that is worth a line only if it goes on. For idempotent calls only: every call
    of both ports is one.
    """

    def __init__(
        self,
        whom: str,
        stopping: Stop,
        say: Callable[[str], None],
        *,
        most_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Asks nothing yet.

        Args:
            whom: the peer, in words.
            stopping: true once the process shall stop.
            say: takes a line for whoever watches.
            most_s: seconds that one call waits for its answer.
            clock: monotonic seconds.
            sleep: pauses for so many seconds.
            draw: a number between two others, uniformly; not of the run's seed, or workers that
                start alike would come back together.
        """
        self._whom, self._stopping, self._say, self._most_s = whom, stopping, say, most_s
        self._clock, self._sleep, self._draw = clock, sleep, draw

    def __call__(self, ask: Callable[[], T], /) -> T:
        """Returns the answer, however long it takes within `most_s`.

        Raises:
            StoppedError: the process was told to stop meanwhile.
            GoneError: there was no answer within `most_s`.
        """
        since, said = self._clock(), None
        backoff, growth = _BACKOFF_S[0], 1.0
        while True:
            try:
                answer = ask()
            except ExpiredError:
                raise
            except BusyError as error:
                said = self._tell(error, since, said)
                pause = self._draw(*_JITTER) * min(growth * error.retry_after_s, _LONGEST_S)
                growth = min(2 * growth, _MOST)
            except (UnavailableError, DeadlineError) as error:
                said = self._tell(error, since, said)
                pause = self._draw(0.5, 1.0) * backoff
                backoff = min(2 * backoff, _BACKOFF_S[1])
            else:
                break
            self._check_wait(self._clock() - since)
            self._sleep(pause)
        if said is not None:
            self._say(f"{self._whom} answers again after {self._clock() - since:.1f} s")
        return answer

    def _check_wait(self, waited_s: float) -> None:
        """Ends the wait: only here, so that a worker that is let go finishes what it is at."""
        if self._stopping():
            raise StoppedError(f"stopped while waiting for {self._whom}")
        if waited_s >= self._most_s:
            raise GoneError(f"{self._whom} has not answered for {waited_s:.0f} s; given up")

    def _tell(self, error: OSError, since: float, said: float | None) -> float | None:
        """Says whom it waits for where that is due; returns when it last did."""
        now, last = self._clock(), said
        if last is None:
            last = since if isinstance(error, BusyError) else -math.inf
        if now - last < _SAY_EVERY_S:
            return said
        self._say(
            f"waiting for {self._whom} since {now - since:.0f} s ({error}); "
            "asking again until it answers"
        )
        return now
