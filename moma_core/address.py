"""Where a peer can be reached: the noun that cards, announcements and command lines carry.

It stands at the ground floor, since a `RunCard` holds addresses and types may not import the wire;
what a server needs beside it (where it binds, credentials) is `moma_core.rpc.endpoint`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_PORTS = 65535


@dataclass(frozen=True)
class Address:
    """HOST:PORT; as one to listen on, port 0 means any free one."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host or not 0 <= self.port <= _PORTS:
            raise ValueError(_wanted(str(self)))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True where only this machine's processes can call it."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads HOST:PORT.

        Raises:
            ValueError: it is something else.
        """
        host, _, port = text.rpartition(":")
        if not (host and port.isascii() and port.isdigit()):
            raise ValueError(_wanted(text))
        return cls(host, int(port))


def _wanted(text: str) -> str:
    return f"address {text!r} must be HOST:PORT with a port up to {_PORTS}"


FREE = Address("127.0.0.1", 0)
"""A free port of loopback: where a server listens that is told nothing else."""
