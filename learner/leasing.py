"""Who gets which rollouts now: the inbox says what is missing, the roster who is relied on."""

from __future__ import annotations

from learner.inbox import Inbox, Lease, share
from learner.roster import IMAGINES, Guest, Roster
from learner.waiting import Waiting
from moma_core.types import RunCard


class Leasing:
    """Cuts rounds for those who are there. Under its owner's lock; times are arguments."""

    def __init__(self, card: RunCard, inbox: Inbox, roster: Roster, waiting: Waiting) -> None:
        """Takes what it goes by.

        Args:
            card: the run's, with the rollouts of a round.
            inbox: knows what is missing.
            roster: knows who is relied on.
            waiting: knows who waits.
        """
        self._card, self._inbox, self._roster, self._waiting = card, inbox, roster, waiting

    def lease(self, guest: Guest, now: float, version: int, each: int = 0) -> Lease | None:
        """Leases a guest its share of what is missing; None where nothing is, or not for it.

        Args:
            guest: who asks.
            now: monotonic seconds.
            version: the newest policy's.
            each: rollouts of a piece; 0: as a round is cut now.
        """
        if not self._roster.admits(guest, version):
            return None
        lease = self._inbox.assign(
            guest.worker,
            each or self._share(now, version),
            now,
            incarnation=guest.incarnation,
            caller=guest.caller,
            trusted=guest.delivered,
        )
        if lease is not None:
            self._roster.admit(guest, version)
            guest.begins(IMAGINES, now)
            guest.busy_until = lease.expires
        return lease

    def hand_out(self, now: float, version: int) -> None:
        """Leases what is missing to those who wait for it.

        Args:
            now: monotonic seconds.
            version: the newest policy's.
        """
        if not self._inbox.offers(now):
            return
        each = self._share(now, version)
        for asked in self._waiting.waiting():
            lease = self.lease(asked.guest, now, version, each)
            if lease is not None:
                asked.tell(lease)
            elif asked.guest.delivered and not asked.guest.caught:
                return

    def _share(self, now: float, version: int) -> int:
        alive = self._roster.alive(now, version)
        return share(self._card.rollout, alive, self._card.together)
