"""Which rollouts of which round are handed out, returned or missing. Its clock is an argument.

Rollouts are numbered through the run: round k has those from k * rows on. A piece is a run of them,
as long as its worker's share is then, so that a round is cut by whoever is there. Every rollout has
a seed of its own: it comes out the same whoever makes it, and in whatever piece.

Admission instead of discarding: a rollout is handed out only while its round may still be made with
the policy that there is, so nobody imagines in vain, and a lag of 0 cannot deadlock. With a lag of
1, workers make a round while the learner updates by the one before. What a worker holds too long,
or has lost, is handed out again, cut anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from moma_core.config import RolloutConfig
from moma_core.types import StartStates, Trajectory

ENOUGH = 0.9
"""Share of a round's rollouts with which it may close at its deadline."""
_PATIENCE, _LEAST_S = 3.0, 0.05
"""Times as long as a piece takes usually, that one who has not delivered yet may hold it."""
_MOST, _MOST_STEPS = 256, 12_800
"""Rollouts and steps of a piece at most: more rows a request are no faster, and larger messages."""


@dataclass(kw_only=True, eq=False)
class Lease:
    """Rollouts that someone is making."""

    rollouts: range
    worker: str
    incarnation: int
    caller: str
    """Connection that the worker asked over."""
    trusted: bool
    """The worker has delivered before."""
    since: float
    expires: float
    starts: StartStates | None = None
    """Beginnings that were handed out with it."""


def share(rollout: RolloutConfig, workers: int, grain: int = 0) -> int:
    """Returns the rollouts of a piece, so that every worker finds some of a round.

    Args:
        rollout: rollouts of a round and their steps.
        workers: who may ask for some.
        grain: rollouts that are never cut apart, counted from the round's first; 0: each by itself.
    """
    most = min(_MOST, max(1, _MOST_STEPS // rollout.horizon))
    own, whole = min(most, math.ceil(rollout.rows / max(1, workers))), max(1, grain)
    return math.ceil(own / whole) * whole


class Inbox:
    """The round to be taken next and those that may be begun, each rollout missing, leased, filled.

    Args:
        settings: rollouts of a round, its seconds, a lease's seconds, and the largest lag.
        epoch: how often the learner was resumed.
    """

    def __init__(self, settings: RolloutConfig, epoch: int) -> None:
        self._settings, self._rows, self._lag = settings, settings.rows, settings.lag
        self._epoch = epoch
        self._version = -1
        """Version of the newest policy."""
        self._round = 0
        """The one to be taken next."""
        self._opened, self._usual_s = -math.inf, math.inf
        self._filled: list[Trajectory] = []
        self._leases: list[Lease] = []
        self._given: list[Lease] = []
        self.stale = self.duplicates = self.reissued = 0
        self._taken = self._refused = 0

    def open(self, version: int, now: float) -> None:
        """Takes note of a policy: the round of its number is the next one to be taken."""
        self._version, self._round, self._opened = version, version, now
        self._forget()

    @property
    def capacity(self) -> int:
        """Rollouts that may be handed out now: (lag + version + 1) rounds less what there is.

        That is what was accepted, where all rounds before count as whole, also after a resume, and
        what is being made (the staleness bound of AReaL, arXiv 2505.24298, section 5.1).
        """
        accepted = self._round * self._rows + sum(len(made.rollouts) for made in self._filled)
        running = sum(len(lease.rollouts) for lease in self._leases)
        return (self._lag + self._version + 1) * self._rows - accepted - running

    def assign(
        self,
        worker: str,
        share: int,
        now: float,
        *,
        incarnation: int = 0,
        caller: str = "",
        trusted: bool = False,
    ) -> Lease | None:
        """Leases missing rollouts to a worker; None when none is missing.

        One that is trusted also gets what somebody who is not has held for too long.

        Args:
            worker: its name; one that asks again has lost what it held.
            share: rollouts to lease at most.
            now: monotonic seconds.
            incarnation: how often the worker was started before.
            caller: the connection that it asks over.
            trusted: it has delivered before.
        """

        def lost(lease: Lease) -> bool:
            again = lease.caller == caller or lease.incarnation < incarnation
            late = trusted and not lease.trusted and now - lease.since > _PATIENCE * self._usual_s
            return (lease.worker == worker and again) or late or lease.expires <= now

        kept = [lease for lease in self._leases if not lost(lease)]
        self.reissued += len(self._leases) - len(kept)
        self._leases = kept
        if self._version < 0 or (missing := next(self._missing(), None)) is None:
            return None
        lease = Lease(
            rollouts=missing[:share],
            worker=worker,
            incarnation=incarnation,
            caller=caller,
            trusted=trusted,
            since=now,
            expires=now + self._settings.lease_s,
        )
        self._leases.append(lease)
        self._given.append(lease)
        return lease

    def lease_of(self, trajectory: Trajectory) -> Lease | None:
        """Returns what a segment was handed out with, held still or not."""
        who = (trajectory.worker, trajectory.incarnation, trajectory.rollouts)
        given = ((ls.worker, ls.incarnation, ls.rollouts) for ls in self._given)
        return next((ls for ls, of in zip(self._given, given, strict=True) if of == who), None)

    def take_back(self, trajectory: Trajectory) -> None:
        """Ends what a segment was handed out with, so that others get it."""
        lease = self.lease_of(trajectory)
        self._leases = [held for held in self._leases if held is not lease]

    def submit(self, trajectory: Trajectory, now: float = -math.inf) -> str:
        """Takes a segment; returns "" or why not: "stale" or "duplicate".

        Args:
            trajectory: the segment.
            now: monotonic seconds.
        """
        made = trajectory.rollouts
        if not self.wanted(trajectory):
            self.stale += 1
            self._refused += len(made)
            return "stale"
        if any(_overlap(made, filled.rollouts) for filled in self._filled):
            self.duplicates += 1
            self._refused += len(made)
            self._leases = [lease for lease in self._leases if lease.rollouts != made]
            return "duplicate"
        if (lease := self.lease_of(trajectory)) is not None:
            took, usual = max(_LEAST_S, now - lease.since), self._usual_s
            self._usual_s = took if math.isinf(usual) else 0.7 * usual + 0.3 * took
        self._filled.append(trajectory)
        self._taken += len(made)
        # Whoever else is at some of these will be told that they are there already.
        self._leases = [ls for ls in self._leases if not _overlap(made, ls.rollouts)]
        return ""

    def wanted(self, trajectory: Trajectory) -> bool:
        """True of one round's rollouts that may be made, by a policy that is not too old."""
        made, version = trajectory.rollouts, trajectory.policy_version
        number = made.start // self._rows
        whole = made.stop <= (number + 1) * self._rows
        admitted = self._round <= number <= self._version + self._lag
        fresh = number - self._lag <= version <= min(number, self._version)
        return trajectory.epoch == self._epoch and whole and admitted and fresh

    def complete(self, now: float) -> bool:
        """True at the quota, or at the deadline with enough of it."""
        count = sum(len(made.rollouts) for made in self._made())
        late = now - self._opened >= self._settings.round_s
        return count == self._rows or (late and count >= ENOUGH * self._rows)

    def take(self) -> list[Trajectory]:
        """Closes the round; returns its segments by their rollouts, whatever order they came in."""
        made = sorted(self._made(), key=lambda made: made.first)
        self._round += 1
        self._forget()
        return made

    def dropped(self) -> float:
        """Returns the share of the rollouts sent in so far that was refused."""
        return self._refused / max(1, self._taken + self._refused)

    def waiting_for(self, now: float) -> str:
        """Says which of the round's rollouts are missing, who holds them and since when."""
        leases = [lease for lease in self._leases if lease.rollouts.start < self._end]
        held = [
            f"{lease.worker} ({len(lease.rollouts)} since {now - lease.since:.0f} s)"
            for lease in leases
        ]
        there = [made.rollouts for made in self._made()] + [lease.rollouts for lease in leases]
        missing = self._rows - sum(map(len, there)) if self._version >= 0 else 0
        unasked = [f"any worker to ask for {missing} more rollouts"] if missing else []
        return ", ".join([*held, *unasked])

    @property
    def _end(self) -> int:
        """Number after the last rollout of the round to be taken next."""
        return (self._round + 1) * self._rows

    def _made(self) -> list[Trajectory]:
        """What there is of that round."""
        return [made for made in self._filled if made.first < self._end]

    def _forget(self) -> None:
        """Drops what belongs to rounds that were taken."""
        first = self._round * self._rows
        self._filled = [made for made in self._filled if made.first >= first]
        self._leases = [lease for lease in self._leases if lease.rollouts.start >= first]
        self._given = [lease for lease in self._given if lease.rollouts.start >= first]

    def _missing(self) -> Iterator[range]:
        """Yields runs of rollouts of one round each that nobody has made or is making."""
        made, leased = ([p.rollouts for p in pieces] for pieces in (self._filled, self._leases))
        taken = sorted([*made, *leased], key=lambda piece: piece.start)
        for number in range(self._round, self._version + self._lag + 1):
            begin, end = number * self._rows, (number + 1) * self._rows
            inside = [piece for piece in taken if begin <= piece.start < end]
            for piece in (*inside, range(end, end)):
                if begin < piece.start:
                    yield range(begin, piece.start)
                begin = piece.stop


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop
