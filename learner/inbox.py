"""Which segments of a round are handed out, returned or missing. Its clock is an argument.

Admission instead of discarding: a segment is handed out only while its round needs it, so nobody
imagines in vain, and a bound of lag 0 cannot deadlock. A lease that runs out, or whose worker was
respawned, is handed out again; the segment comes out the same whoever makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from moma_core.types import Trajectory

ENOUGH = 0.9
"""Share of a round's segments with which it may close at its deadline."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A segment that someone is making."""

    worker: str
    incarnation: int
    since: float
    expires: float


class Inbox:
    """One round at a time: `segments` slots, each empty, leased or filled.

    Args:
        segments: slots of a round.
        lease_s: seconds after which a slot is offered to another worker.
        round_s: seconds after which a round may close with most of its slots filled.
        epoch: how often the learner was resumed.
    """

    def __init__(self, segments: int, lease_s: float, round_s: float, epoch: int) -> None:
        self._segments, self._lease_s, self._round_s = segments, lease_s, round_s
        self._version, self._epoch = -1, epoch
        self._opened = -math.inf
        self._filled: dict[int, Trajectory] = {}
        self._leases: dict[int, Lease] = {}
        self.stale = self.duplicates = self.reissued = 0

    def open(self, version: int, now: float) -> None:
        """Begins the round that is made with this policy version."""
        self._version, self._opened = version, now
        self._filled, self._leases = {}, {}

    def assign(self, worker: str, incarnation: int, now: float) -> int | None:
        """Leases the next missing segment to a worker; None when none is missing.

        Args:
            worker: its name.
            incarnation: how often it was started before.
            now: monotonic seconds.
        """
        if self._version < 0:
            return None
        first = self._version * self._segments
        for sequence in range(first, first + self._segments):
            if sequence in self._filled:
                continue
            lease = self._leases.get(sequence)
            if lease is not None and not self._void(lease, worker, now):
                continue
            self.reissued += lease is not None
            self._leases[sequence] = Lease(
                worker=worker, incarnation=incarnation, since=now, expires=now + self._lease_s
            )
            return sequence
        return None

    def _void(self, lease: Lease, worker: str, now: float) -> bool:
        """A worker that asks again has lost what it held."""
        return lease.worker == worker or lease.expires <= now

    def submit(self, trajectory: Trajectory) -> str:
        """Takes a segment; returns "" or why not: "stale" or "duplicate"."""
        first = self._version * self._segments
        made_with = (trajectory.epoch, trajectory.policy_version)
        in_round = first <= trajectory.sequence < first + self._segments
        if made_with != (self._epoch, self._version) or not in_round:
            self.stale += 1
            return "stale"
        if trajectory.sequence in self._filled:
            self.duplicates += 1
            return "duplicate"
        self._filled[trajectory.sequence] = trajectory
        self._leases.pop(trajectory.sequence, None)
        return ""

    def complete(self, now: float) -> bool:
        """True at the quota, or at the deadline with enough of it."""
        count = len(self._filled)
        late = now - self._opened >= self._round_s
        return count == self._segments or (late and count >= ENOUGH * self._segments)

    def take(self) -> list[Trajectory]:
        """Returns the round's segments by sequence, whatever order they came in."""
        return [self._filled[sequence] for sequence in sorted(self._filled)]

    def waiting_for(self, now: float) -> str:
        """Says which segments are missing, who holds them and since when."""
        if not self._segments - len(self._filled):
            return ""
        held = [
            f"{lease.worker} (since {now - lease.since:.0f} s)" for lease in self._leases.values()
        ]
        missing = self._segments - len(self._filled) - len(held)
        unasked = [f"any worker to ask for {missing} more"] if missing else []
        return ", ".join([*held, *unasked])
