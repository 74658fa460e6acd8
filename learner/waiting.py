"""Who waits for rollouts: a newcomer, those who have delivered, the rest. Nobody holds a thread.

Without the one newcomer who is first nobody else would ever deliver where a round has fewer pieces
than there are workers who have.

Under its owner's lock, but for `Asked.cancel`, which is whoever's that gives up waiting.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from learner.inbox import Lease
from learner.roster import MOST_WORKERS, Guest
from moma_core.ports import BusyError

_EACH = 16
"""Calls that may wait over one connection, of workers that have not delivered yet."""
_RETRY_S = 1.0


class Asked(Future[Lease | None]):
    """A worker's question for rollouts. It is done once there are some, or none will be."""

    def __init__(self, guest: Guest) -> None:
        """Asks for a guest."""
        super().__init__()
        self.guest = guest

    def tell(self, lease: Lease | None) -> None:
        """Answers, unless whoever asked has given up."""
        with suppress(InvalidStateError):
            self.set_result(lease)


class Waiting:
    """The questions that are not answered yet."""

    def __init__(self) -> None:
        """Begins with none."""
        self._asked: list[Asked] = []
        self._over: Counter[str] = Counter()
        """How many wait over each connection."""

    def add(self, asked: Asked) -> None:
        """Lets one wait; those who have delivered always may.

        Raises:
            BusyError: too many wait already.
        """
        guest = asked.guest
        if not self._room(guest):
            self.waiting()  # some may have given up
        if not (guest.delivered or self._room(guest)):
            raise BusyError(f"{len(self._asked)} calls wait for rollouts already", _RETRY_S)
        self._asked.append(asked)
        self._over[guest.caller] += 1
        guest.waits = True

    def _room(self, guest: Guest) -> bool:
        alone = guest.caller == ""  # in this process there are no connections
        return len(self._asked) < MOST_WORKERS and (alone or self._over[guest.caller] < _EACH)

    def waiting(self) -> list[Asked]:
        """Returns those who wait still, in the order in which they are served."""
        kept = [asked for asked in self._asked if not asked.done()]
        if len(kept) < len(self._asked):
            for asked in self._asked:
                asked.guest.waits = False
            for asked in kept:
                asked.guest.waits = True
            self._asked = kept
            self._over = Counter(asked.guest.caller for asked in kept)
        new = next((asked for asked in kept if asked.guest.new), None)
        return sorted(kept, key=lambda asked: (asked is not new, not asked.guest.delivered))
