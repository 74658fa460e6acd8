"""What a role that is called may be told of where it listens and with which keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moma_core.address import FREE, Address
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.trust import Keys


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where a role listens, and with which keys."""

    listen: Address = FREE
    """HOST:PORT to listen on; port 0 takes a free one; beyond loopback it needs --keys."""
    advertise: Address | None = None
    """HOST:PORT that peers are told to call; default: --listen."""
    keys: Path | None = None
    """Directory of the run's keys, made by `moma keys`; needed beyond loopback."""

    def endpoint(self) -> Endpoint:
        """Returns what a server is told.

        Raises:
            ListenError: it would be reached from beyond loopback without keys, or nobody can be
                told where.
            ValueError: there are no such keys.
        """
        keys = None if self.keys is None else Keys(self.keys)
        return Endpoint(bind=self.listen, advertised=self.advertise, keys=keys)

    def words(self) -> list[str]:
        """Returns the command line that tells this."""
        advertise = [] if self.advertise is None else ["--advertise", str(self.advertise)]
        keys = [] if self.keys is None else ["--keys", str(self.keys)]
        return ["--listen", str(self.listen), *advertise, *keys]


LOOPBACK = Listening()
"""A free port of loopback, in plaintext."""
