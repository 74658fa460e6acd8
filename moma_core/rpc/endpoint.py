"""Where a server listens, where its peers reach it, and what proves who is who.

The one place that says what may be listened on: loopback in plaintext, nothing else yet.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from moma_core.address import FREE, Address


class ListenError(OSError):
    """The server cannot listen where it was told to."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Where TLS files and a token will stand; they have no fields, since nothing reads them yet."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One end of the wire that others call.

    Raises:
        ListenError: it would be reached from beyond loopback, or with credentials.
    """

    bind: Address = FREE
    """Address to listen on; port 0 takes a free one."""
    advertised: Address | None = None
    """Address that peers are told to call; None: the one listened on."""
    credentials: Credentials | None = None
    """Proof of who is who; None: plaintext, which is for loopback alone."""

    def __post_init__(self) -> None:
        if self.credentials is not None:
            raise ListenError(
                f"cannot listen on '{self.bind}' with credentials: they are not supported yet"
            )
        object.__setattr__(self, "bind", _loopback(self.bind))

    @property
    def address(self) -> Address:
        """Where peers are told to call."""
        return self.advertised or self.bind

    def bound(self, port: int) -> Endpoint:
        """Returns the endpoint with the port that a server got."""
        return replace(self, bind=replace(self.bind, port=port))


def _loopback(listen: Address) -> Address:
    """Returns the address with a number for its host; refuses what is not loopback."""
    try:
        host = ipaddress.ip_address("127.0.0.1" if listen.host == "localhost" else listen.host)
    except ValueError as error:
        raise ListenError(
            f"cannot listen on '{listen}': {listen.host!r} is no IP address"
        ) from error
    if not host.is_loopback or host.version != 4:
        raise ListenError(f"cannot listen on '{listen}': only loopback (127.0.0.1) is allowed")
    return Address(str(host), listen.port)
