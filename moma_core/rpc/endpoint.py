"""Where a server listens, where its peers reach it, and what proves who is who.

The one place that says what may be listened on: loopback in plaintext, all else with keys.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from moma_core.address import FREE, Address
from moma_core.rpc.trust import Keys


class ListenError(OSError):
    """The server cannot listen where it was told to."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One end of the wire that others call.

    Raises:
        ListenError: it would be reached from beyond loopback without keys, or its peers cannot be
            told where.
    """

    bind: Address = FREE
    """Address to listen on; port 0 takes a free one."""
    advertised: Address | None = None
    """Address that peers are told to call, its port 0 that of `bind`; None: the one listened on."""
    keys: Keys | None = None
    """Proof of who is who; None: plaintext, which is for loopback alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bind", _numeric(self.bind))
        if not self.bind.loopback and self.keys is None:
            raise ListenError(
                f"cannot listen on '{self.bind}' without keys: only loopback (127.0.0.1) may be in "
                "plaintext; make keys and name them: moma keys DIR; ... --keys DIR"
            )
        if _any(self.bind) and self.advertised is None:
            raise ListenError(
                f"cannot listen on '{self.bind}' alone: it is no address that peers can call; "
                "add --advertise HOST:0, this machine's name or address as they see it"
            )

    @property
    def address(self) -> Address:
        """Where peers are told to call."""
        if self.advertised is None:
            return self.bind
        return replace(self.advertised, port=self.advertised.port or self.bind.port)

    def bound(self, port: int) -> Endpoint:
        """Returns the endpoint with the port that a server got."""
        return replace(self, bind=replace(self.bind, port=port))


def _numeric(listen: Address) -> Address:
    """Returns the address with a number for its host; names may be of any interface."""
    if listen.host == "localhost":
        return Address("127.0.0.1", listen.port)
    try:
        ipaddress.ip_address(listen.host.strip("[]"))
    except ValueError as error:
        raise ListenError(
            f"cannot listen on '{listen}': {listen.host!r} is no IP address"
        ) from error
    return listen


def _any(listen: Address) -> bool:
    """True for all of a machine's addresses together."""
    return ipaddress.ip_address(listen.host.strip("[]")).is_unspecified
