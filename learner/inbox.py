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

import numpy as np
from numpy.typing import NDArray

from moma_core.config import RolloutConfig
from moma_core.types import StartStates, Trajectory

ENOUGH = 0.9
"""Share of a round's rollouts with which it may close at its deadline."""
_PATIENCE, _LEAST_S = 3.0, 0.05
"""Times as long as a piece takes usually, that one who has not delivered yet may hold it."""
_MOST, _MOST_STEPS = 256, 12_800
"""Rollouts and steps of a piece at most: more rows a request are no faster, and larger messages."""
_MISSING, _MADE = -1, -2
_NAMED = 8
"""Workers that are named where a round waits for many."""


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
        self._round = self._first = 0
        """The round to be taken next, and the number of the first rollout of `_holder`."""
        self._holder: NDArray[np.int64] = np.empty(0, np.int64)
        """First rollout of the lease, `_MISSING` or `_MADE`, of each rollout that may be begun."""
        self._opened, self._usual_s = -math.inf, math.inf
        self._filled: list[Trajectory] = []
        self._leases: dict[int, Lease] = {}
        """By their first rollout, the oldest first."""
        self._given: dict[tuple[str, int, range], Lease] = {}
        """What was handed out of these rounds, held still or not: to whom, and which rollouts."""
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
        return int((self._holder == _MISSING).sum())

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
        own = [
            lease
            for lease in self._leases.values()
            if lease.worker == worker
            and (lease.caller == caller or lease.incarnation < incarnation)
        ]
        lost = {lease.rollouts.start: lease for lease in (*own, *self._late(now, trusted))}
        self.reissued += len(lost)
        for lease in lost.values():
            self._drop(lease)
        if self._version < 0 or (missing := self._missing()) is None:
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
        self._leases[lease.rollouts.start] = lease
        self._given[worker, incarnation, lease.rollouts] = lease
        self._cells(lease.rollouts)[:] = lease.rollouts.start
        return lease

    def offers(self, now: float) -> bool:
        """True where there is something to hand out, be it only to those who are trusted."""
        late = next(self._late(now, trusted=True), None)
        return self._version >= 0 and (late is not None or self._missing() is not None)

    def lease_of(self, trajectory: Trajectory) -> Lease | None:
        """Returns what a segment was handed out with, held still or not."""
        who = trajectory.worker, trajectory.incarnation
        return self._given.get((*who, trajectory.rollouts))

    def take_back(self, trajectory: Trajectory) -> None:
        """Ends what a segment was handed out with, so that others get it."""
        lease = self.lease_of(trajectory)
        if lease is not None and self._leases.get(lease.rollouts.start) is lease:
            self._drop(lease)

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
        held = self._cells(made)
        if bool((held == _MADE).any()):
            self.duplicates += 1
            self._refused += len(made)
            lease = self._leases.get(made.start)
            if lease is not None and lease.rollouts == made:
                self._drop(lease)
            return "duplicate"
        if (lease := self.lease_of(trajectory)) is not None:
            took, usual = max(_LEAST_S, now - lease.since), self._usual_s
            self._usual_s = took if math.isinf(usual) else 0.7 * usual + 0.3 * took
        # Whoever else is at some of these will be told that they are there already.
        for first in np.unique(held[held != _MISSING]).tolist():
            self._drop(self._leases[first])
        held[:] = _MADE
        self._filled.append(trajectory)
        self._taken += len(made)
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
        count = int((self._holder[: self._rows] == _MADE).sum())
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
        leases = [one for one in self._leases.values() if one.rollouts.start < self._end]
        held = [
            f"{lease.worker} ({len(lease.rollouts)} since {now - lease.since:.0f} s)"
            for lease in leases[:_NAMED]
        ]
        others = [f"{len(leases) - _NAMED} other workers"] if len(leases) > _NAMED else []
        taken = int((self._holder[: self._rows] != _MISSING).sum())
        missing = self._rows - taken if self._version >= 0 else 0
        unasked = [f"any worker to ask for {missing} more rollouts"] if missing else []
        return ", ".join([*held, *others, *unasked])

    @property
    def _end(self) -> int:
        """Number after the last rollout of the round to be taken next."""
        return (self._round + 1) * self._rows

    def _made(self) -> list[Trajectory]:
        """What there is of that round."""
        return [made for made in self._filled if made.first < self._end]

    def _forget(self) -> None:
        """Drops what belongs to rounds that were taken, and admits those that may be begun now."""
        first = self._round * self._rows
        self._filled = [made for made in self._filled if made.first >= first]
        self._leases = {start: lease for start, lease in self._leases.items() if start >= first}
        self._given = {who: one for who, one in self._given.items() if who[2].start >= first}
        kept = self._holder[max(0, first - self._first) :] if first >= self._first else ()
        admitted = max(0, self._version + self._lag + 1 - self._round) * self._rows
        self._holder = np.full(admitted, _MISSING)
        self._holder[: len(kept)] = kept[:admitted]
        self._first = first

    def _cells(self, rollouts: range) -> NDArray[np.int64]:
        """Returns some rollouts' part of `_holder`, to be read or written."""
        return self._holder[rollouts.start - self._first : rollouts.stop - self._first]

    def _missing(self) -> range | None:
        """Returns the first run of rollouts, of one round, that nobody has made or is making."""
        missing = self._holder == _MISSING
        begin = int(missing.argmax()) if len(missing) else 0
        if not missing[begin : begin + 1].any():
            return None
        rest = missing[begin : (begin // self._rows + 1) * self._rows]
        count = len(rest) if rest.all() else int(rest.argmin())
        return range(self._first + begin, self._first + begin + count)

    def _late(self, now: float, trusted: bool) -> Iterator[Lease]:
        """Yields what is to be handed out again, be it only to one that is trusted."""
        for lease in self._leases.values():
            slow = now - lease.since > _PATIENCE * self._usual_s
            if lease.expires <= now or (slow and trusted and not lease.trusted):
                yield lease
            elif not slow:
                return  # nor are those that were handed out later

    def _drop(self, lease: Lease) -> None:
        """Takes a lease back; what of it was not made is missing again."""
        del self._leases[lease.rollouts.start]
        cells = self._cells(lease.rollouts)
        cells[cells == lease.rollouts.start] = _MISSING
