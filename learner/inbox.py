"""Which rollouts of a round are handed out, returned or missing. Its clock is an argument.

Rollouts are numbered through the run: round k has those from k * rows on. A piece is a run of them,
as long as its worker's share is then, so that a round is cut by whoever is there. Every rollout has
a seed of its own: it comes out the same whoever makes it, and in whatever piece.

Admission instead of discarding: a rollout is handed out only while its round needs it, so nobody
imagines in vain, and a bound of lag 0 cannot deadlock. What a worker holds too long, or has lost,
is handed out again, cut anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from moma_core.config import RolloutConfig
from moma_core.types import Trajectory

ENOUGH = 0.9
"""Share of a round's rollouts with which it may close at its deadline."""
_MOST, _MOST_STEPS = 256, 12_800
"""Rollouts and steps of a piece at most: more rows a request are no faster, and larger messages."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Rollouts that someone is making."""

    rollouts: range
    worker: str
    since: float
    expires: float


def share(rollout: RolloutConfig, workers: int) -> int:
    """Returns the rollouts of a piece, so that every worker finds some of a round.

    Args:
        rollout: rollouts of a round and their steps.
        workers: who may ask for some.
    """
    most = min(_MOST, max(1, _MOST_STEPS // rollout.horizon))
    return min(most, math.ceil(rollout.rows / max(1, workers)))


class Inbox:
    """One round at a time, each of its rollouts missing, leased or filled.

    Args:
        rows: rollouts of a round.
        lease_s: seconds after which a piece is offered to others.
        round_s: seconds after which a round may close with most of its rollouts.
        epoch: how often the learner was resumed.
        grain: rollouts that are never cut apart, counted from the round's first.
    """

    def __init__(
        self, rows: int, lease_s: float, round_s: float, epoch: int, grain: int = 1
    ) -> None:
        self._rows, self._lease_s, self._round_s = rows, lease_s, round_s
        self._version, self._epoch, self._grain = -1, epoch, max(1, grain)
        self._opened = -math.inf
        self._filled: list[Trajectory] = []
        self._leases: list[Lease] = []
        self.stale = self.duplicates = self.reissued = 0

    def open(self, version: int, now: float) -> None:
        """Begins the round that is made with this policy version."""
        self._version, self._opened = version, now
        self._filled, self._leases = [], []

    def assign(self, worker: str, share: int, now: float) -> range | None:
        """Leases missing rollouts to a worker; None when none is missing.

        Args:
            worker: its name; one that asks again has lost what it held.
            share: rollouts to lease at most, but for the grain.
            now: monotonic seconds.
        """
        kept = [ls for ls in self._leases if ls.worker != worker and now < ls.expires]
        self.reissued += len(self._leases) - len(kept)
        self._leases = kept
        if (missing := next(self._missing(), None)) is None:
            return None
        whole = math.ceil(share / self._grain) * self._grain
        piece = missing[:whole]
        self._leases.append(
            Lease(rollouts=piece, worker=worker, since=now, expires=now + self._lease_s)
        )
        return piece

    def submit(self, trajectory: Trajectory) -> str:
        """Takes a segment; returns "" or why not: "stale" or "duplicate"."""
        made, wanted = trajectory.rollouts, self._round
        made_with = (trajectory.epoch, trajectory.policy_version)
        inside = wanted.start <= made.start and made.stop <= wanted.stop
        if made_with != (self._epoch, self._version) or not inside:
            self.stale += 1
            return "stale"
        if any(_overlap(made, filled.rollouts) for filled in self._filled):
            self.duplicates += 1
            self._leases = [lease for lease in self._leases if lease.rollouts != made]
            return "duplicate"
        self._filled.append(trajectory)
        # Whoever else is at some of these will be told that they are there already.
        self._leases = [ls for ls in self._leases if not _overlap(made, ls.rollouts)]
        return ""

    def complete(self, now: float) -> bool:
        """True at the quota, or at the deadline with enough of it."""
        count = self._count()
        late = now - self._opened >= self._round_s
        return count == self._rows or (late and count >= ENOUGH * self._rows)

    def take(self) -> list[Trajectory]:
        """Returns the round's segments by their rollouts, whatever order they came in."""
        return sorted(self._filled, key=lambda filled: filled.first)

    def waiting_for(self, now: float) -> str:
        """Says which rollouts are missing, who holds them and since when."""
        held = [
            f"{lease.worker} ({len(lease.rollouts)} since {now - lease.since:.0f} s)"
            for lease in self._leases
        ]
        missing = self._rows - self._count() - sum(len(lease.rollouts) for lease in self._leases)
        unasked = [f"any worker to ask for {missing} more rollouts"] if missing else []
        return ", ".join([*held, *unasked])

    @property
    def _round(self) -> range:
        """The rollouts of the round that is open; none before the first."""
        first = max(0, self._version) * self._rows
        return range(first, first + self._rows * (self._version >= 0))

    def _count(self) -> int:
        return sum(len(filled.rollouts) for filled in self._filled)

    def _missing(self) -> Iterator[range]:
        """Yields the runs of rollouts that nobody has made or is making."""
        begin, end = self._round.start, self._round.stop
        made, leased = ([p.rollouts for p in pieces] for pieces in (self._filled, self._leases))
        taken = sorted([*made, *leased], key=lambda piece: piece.start)
        for piece in (*taken, range(end, end)):
            if begin < piece.start:
                yield range(begin, piece.start)
            begin = piece.stop


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop
