"""Who works for a run: known by name and connection, and relied on once it has delivered.

Anybody may ask for work. Those who have delivered a segment are served first; a newcomer gets a
piece on trial, seldom again after a trial that brought nothing, so that whoever only asks costs a
run next to nothing. All is bounded, and whoever is not heard of is forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from moma_core.runtime.progress import RoleSeen

ALIVE_S = 30.0
"""A worker that has not been heard of for so long is gone."""
IMAGINES = "imagines"
"""What a worker is at that is not heard of until it is done."""
_REMEMBERED_S = 3600.0
"""One that had delivered is shown for so long once it is gone."""
_RECENT_S = 10.0
"""One that works is heard of within so many seconds, unless it has ended."""
MOST_WORKERS = 4096
"""Workers of a run at most: so many are known, and may wait for work, at a time."""
_SPARED = 128
"""Places that are made at once where all are taken."""
_COUNTED = 64
"""Newcomers that a round is cut for, where nobody has delivered yet."""
_TRIED = 16
"""Pieces that newcomers may have at once while no trial has failed; as many as there are workers
relied on where those are more, so that a thousand who join are all relied on after a few rounds."""
_RARELY = 5
"""After failed trials the next one waits for 2, 4, ... at most 2^5 rounds."""


@dataclass(eq=False)
class Guest:
    """One worker over one connection."""

    worker: str
    caller: str
    """Connection that it asks over; empty within this process."""
    incarnation: int
    seen: float
    delivered: bool = False
    """A segment of its own was good."""
    busy_until: float = 0.0
    """End of its lease: until then it need not be heard of."""
    doing: str = ""
    """Work or wait that it has begun, in words."""
    since: float = 0.0
    version: int = -1
    rate: float = 0.0
    caught: bool = False
    """Something of it was made again, and came out otherwise."""
    waits: bool = False
    """Presence of a question for work that is open."""
    told: bool = False
    """Knowledge that the run is over."""
    credited: float = 0.0
    """Last time that something of it was accepted."""

    @property
    def new(self) -> bool:
        """True of one that has not delivered yet, and may."""
        return not (self.delivered or self.caught)

    def present(self, now: float) -> bool:
        """True of one that was heard of lately, or need not be since it is busy."""
        return self.waits or now - self.seen < ALIVE_S or now < self.busy_until

    def listens(self, now: float) -> bool:
        """True of one that will ask or deliver soon."""
        works = self.doing == IMAGINES and self.present(now)
        return works or self.waits or now - self.seen < _RECENT_S

    def said(self, now: float) -> str:
        """Says what it is at, and since when."""
        if self.caught:
            return "relied on no more: what it sent is not what the model answers"
        if not self.present(now) and self.doing != IMAGINES:
            return "gone"
        return f"{self.doing} since {now - self.since:.0f} s" if self.doing else ""

    def begins(self, doing: str, now: float) -> None:
        """Notes what it is at from now on."""
        self.doing, self.since = doing, now

    def credit(self, version: int, steps: int, now: float) -> None:
        """Notes that what it made was accepted.

        Args:
            version: of the policy that made it.
            steps: that are real.
            now: monotonic seconds.
        """
        since = self.credited or self.since
        self.rate = steps / max(1e-3, now - since)
        self.version, self.credited = version, now


class Roster:
    """The guests of a run. Times are arguments."""

    def __init__(self) -> None:
        """Begins empty."""
        self._guests: dict[tuple[str, str], Guest] = {}
        self._tried, self._given, self._failed, self._swept = -1, 0, 0, -math.inf
        self.restarts = 0

    def greet(self, worker: str, incarnation: int, caller: str, now: float) -> Guest:
        """Notes that a worker was heard of, and returns what is known of it.

        Args:
            worker: its name.
            incarnation: how often it was started before; a higher one has replaced lower ones.
            caller: the connection that it asks over.
            now: monotonic seconds.
        """
        if now - self._swept >= 1.0 or len(self._guests) >= MOST_WORKERS:
            self._forget(now)
        guest = self._guests.get((worker, caller))
        if guest is None or guest.incarnation < incarnation:
            known = max((g.incarnation for g in self._named(worker)), default=incarnation)
            self.restarts += max(0, incarnation - known)
            for older in [g for g in self._named(worker) if g.incarnation < incarnation]:
                self._guests.pop((older.worker, older.caller))
            guest = Guest(worker, caller, incarnation, now)
            self._guests[worker, caller] = guest
        guest.seen = now
        return guest

    def deliver(self, guest: Guest) -> None:
        """Notes that a guest's segment was good."""
        if not guest.delivered:
            self._failed = self._given = 0
        guest.delivered = True

    def distrust(self, guest: Guest) -> None:
        """Notes that a guest's segment is not what it ought to be: it gets no more."""
        guest.delivered, guest.caught = False, True

    def alive(self, now: float, version: int) -> int:
        """Returns for how many a round is cut: those relied on, and newcomers that may be tried.

        Args:
            now: monotonic seconds.
            version: the newest policy's.
        """
        there = [guest for guest in self._guests.values() if guest.present(now)]
        relied = {guest.worker for guest in there if guest.delivered}
        new = {guest.worker for guest in there} - relied
        allowed = self._allowed(version, len(relied)) if relied else _COUNTED
        return len(relied) + min(allowed, len(new))

    def seen(self, now: float) -> tuple[RoleSeen, ...]:
        """Returns what is known of each worker, those who have delivered first."""
        known = sorted(self._guests.values(), key=lambda g: (not g.delivered, g.worker))
        return tuple(
            RoleSeen(
                name=guest.worker,
                seen_s=round(now - guest.seen, 1),
                version=str(guest.version) if guest.version >= 0 else "",
                rate=round(guest.rate, 1),
                doing=guest.said(now),
            )
            for guest in known
        )

    def all_told(self, now: float) -> bool:
        """True where all who work, or were heard of lately, know of the end."""
        return all(guest.told or not guest.listens(now) for guest in self._guests.values())

    def admits(self, guest: Guest, version: int) -> bool:
        """Says whether a guest may have a piece now."""
        if guest.caught:
            return False
        if guest.delivered or not (relied := self._relied(guest.seen)):
            return True
        return self._given < self._allowed(version, relied)

    def admit(self, guest: Guest, version: int) -> None:
        """Notes that a guest has got a piece."""
        if not guest.delivered and self._relied(guest.seen):
            self._tried, self._given = version, self._given + 1

    def _allowed(self, version: int, relied: int) -> int:
        """Returns how many pieces newcomers may have; few and seldom once trials have failed."""
        if self._given and version > self._tried:  # no newcomer has delivered since
            self._failed, self._given = self._failed + 1, 0
        if not self._failed:
            return max(_TRIED, relied)
        return int(version >= self._tried + (1 << min(self._failed, _RARELY)))

    def _relied(self, now: float) -> int:
        return sum(guest.delivered and guest.present(now) for guest in self._guests.values())

    def _named(self, worker: str) -> list[Guest]:
        return [guest for guest in self._guests.values() if guest.worker == worker]

    def _forget(self, now: float) -> None:
        """Drops those long not heard of; of a full roster also newcomers heard of least lately."""
        self._swept = now
        for key, guest in list(self._guests.items()):
            if not guest.present(now) and not (
                guest.delivered and now - guest.seen < _REMEMBERED_S
            ):
                del self._guests[key]
        spare = sorted(
            (key for key, guest in self._guests.items() if not guest.delivered),
            key=lambda key: self._guests[key].seen,
        )
        if len(self._guests) >= MOST_WORKERS:
            # Many at once, so that a storm of names is not a sweep each.
            for key in spare[: len(self._guests) - MOST_WORKERS + _SPARED]:
                del self._guests[key]
