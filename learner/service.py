"""The `Learner` port in-process: policy and start states out, segments in."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from threading import Condition

from learner.inbox import Inbox, share
from learner.starts import Draw
from moma_core.checks import check_trajectory
from moma_core.ports import UnavailableError
from moma_core.runtime.progress import RoleSeen
from moma_core.types import Assignment, PolicySnapshot, Receipt, RunCard, Trajectory

ALIVE_S = 30.0
"""A worker that has not been heard of for so long is not counted as alive."""
_RECENT_S = 10.0
"""One that works is heard of within so many seconds, unless it has ended."""
_IMAGINES = "imagines"
"""What a worker is at that is not heard of until it is done."""


@dataclass
class _Guest:
    """What is known of one worker."""

    incarnation: int
    seen: float
    doing: str = ""
    """Work or wait that it has begun, in words."""
    since: float = 0.0
    version: int = -1
    rate: float = 0.0
    told: bool = False
    """Knowledge that the run is over."""
    credited: float = 0.0
    """Last time that something of it was accepted."""

    def said(self, now: float) -> str:
        """Says what it is at, and since when."""
        if now - self.seen >= ALIVE_S and self.doing != _IMAGINES:
            return "gone"
        return f"{self.doing} since {now - self.since:.0f} s" if self.doing else ""

    def begins(self, doing: str, now: float) -> None:
        """Notes what it is at from now on."""
        self.doing, self.since = doing, now


@dataclass
class Roster:
    """Who works for this run."""

    workers: dict[str, _Guest] = field(default_factory=dict)
    restarts: int = 0

    def greet(self, worker: str, incarnation: int, now: float) -> None:
        """Notes that a worker was heard of.

        Args:
            worker: its name.
            incarnation: how often it was started before.
            now: monotonic seconds.
        """
        guest = self.workers.setdefault(worker, _Guest(incarnation, now))
        self.restarts += max(0, incarnation - guest.incarnation)
        guest.incarnation, guest.seen = max(guest.incarnation, incarnation), now

    def credit(self, trajectory: Trajectory, now: float) -> None:
        """Notes that what a worker made was accepted."""
        guest = self.workers[trajectory.worker]
        since = guest.credited or guest.since
        guest.rate = float(trajectory.valid.sum()) / max(1e-3, now - since)
        guest.version, guest.credited = trajectory.policy_version, now

    def seen(self, now: float) -> tuple[RoleSeen, ...]:
        """Returns what is known of each worker."""
        return tuple(
            RoleSeen(
                name=name,
                seen_s=round(now - guest.seen, 1),
                version=str(guest.version) if guest.version >= 0 else "",
                rate=round(guest.rate, 1),
                doing=guest.said(now),
            )
            for name, guest in sorted(self.workers.items())
        )

    def all_told(self, now: float) -> bool:
        """True where nobody is left who was heard of lately and does not know of the end."""
        return all(guest.told or now - guest.seen >= _RECENT_S for guest in self.workers.values())

    def alive(self, now: float, busy: Collection[str]) -> int:
        """Returns how many were heard of lately, or are busy, which may take them longer."""
        guests = self.workers.items()
        return sum(name in busy or now - guest.seen < ALIVE_S for name, guest in guests)


class LearnerService:
    """Thread-safe: workers' calls come from any thread, the loop's from its own."""

    def __init__(
        self,
        card: RunCard,
        starts: Draw,
        epoch: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens no round yet: `publish` does.

        Args:
            card: what workers are told.
            starts: draws the start states of rollouts.
            epoch: how often the run was resumed.
            clock: monotonic seconds.
        """
        self._card, self._starts, self._clock = card, starts, clock
        self._epoch = epoch
        self._changed = Condition()
        self._inbox = Inbox(card.rollout, epoch, card.together)
        self._roster = Roster()
        self._snapshot: PolicySnapshot | None = None
        self._stop = False

    def describe(self) -> RunCard:
        """Returns the run's card."""
        return self._card

    def assign(self, worker: str, incarnation: int, wait_s: float) -> Assignment:
        """Leases a worker's share of the rollouts that are missing, once some are.

        Args:
            worker: its name.
            incarnation: how often it was started before.
            wait_s: seconds to wait at most; the answer is an assignment of nothing then.
        """
        until = self._clock() + wait_s
        with self._changed:
            self._roster.greet(worker, incarnation, self._clock())
            self._roster.workers[worker].begins("waits for work", self._clock())
            while True:
                now = self._clock()
                self._roster.greet(worker, incarnation, now)
                piece = None if self._stop else self._lease(worker, now)
                if piece is not None or self._stop or now >= until:
                    break
                self._changed.wait(min(until - now, 1.0))
            if piece is not None:
                self._roster.workers[worker].begins(_IMAGINES, now)
            self._tell(worker)
            version = -1 if self._snapshot is None else self._snapshot.version
        return Assignment(
            policy_version=version,
            epoch=self._epoch,
            first=-1 if piece is None else piece.start,
            starts=None if piece is None else self._starts(piece),
            stop=self._stop,
        )

    def _lease(self, worker: str, now: float) -> range | None:
        workers = self._roster.alive(now, self._inbox.busy(now))
        return self._inbox.assign(worker, share(self._card.rollout, workers), now)

    def fetch_policy(self) -> PolicySnapshot:
        """Returns the newest policy, which is never further from a round than the one assigned."""
        with self._changed:
            if self._snapshot is None:
                raise UnavailableError("no policy has been published yet")
            return self._snapshot

    def submit(self, trajectory: Trajectory) -> Receipt:
        """Takes one whole segment, once."""
        history = self._card.actor.history
        check_trajectory(trajectory, self._card.task, self._card.rollout, history)
        with self._changed:
            self._roster.greet(trajectory.worker, trajectory.incarnation, self._clock())
            reason = self._inbox.submit(trajectory)
            if not reason:
                self._roster.credit(trajectory, self._clock())
            self._roster.workers[trajectory.worker].begins("", self._clock())
            self._changed.notify_all()
            self._tell(trajectory.worker)
            version = -1 if self._snapshot is None else self._snapshot.version
            return Receipt(version=version, reason=reason, stop=self._stop)

    def _tell(self, worker: str) -> None:
        """Notes that a worker is about to hear of the end, where there is one."""
        if self._stop:
            self._roster.workers[worker].told = True
            self._changed.notify_all()

    def farewell(self, wait_s: float) -> None:
        """Waits until all who work for the run know that it is over, so that they end as well."""
        until = self._clock() + wait_s
        with self._changed:
            while (now := self._clock()) < until and not self._roster.all_told(now):
                self._changed.wait(until - now)

    def roles(self) -> tuple[RoleSeen, ...]:
        """Returns what is known of each worker."""
        with self._changed:
            return self._roster.seen(self._clock())

    def publish(self, snapshot: PolicySnapshot) -> None:
        """Makes this the policy and opens its round."""
        with self._changed:
            self._snapshot = snapshot
            self._inbox.open(snapshot.version, self._clock())
            self._changed.notify_all()

    def gather(self, wait_s: float) -> list[Trajectory] | None:
        """Returns the round's segments once it is complete; None after `wait_s` seconds."""
        with self._changed:
            complete = self._changed.wait_for(lambda: self._inbox.complete(self._clock()), wait_s)
            return self._inbox.take() if complete else None

    def finish(self) -> None:
        """Tells every worker that the run is over."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def counters(self) -> dict[str, float]:
        """Returns counts since the start, for TensorBoard."""
        with self._changed:
            now = self._clock()
            return {
                "charts/workers_alive": float(self._roster.alive(now, self._inbox.busy(now))),
                "lag/stale_segments": float(self._inbox.stale),
                "lag/dropped_fraction": self._inbox.dropped(),
                "fault/duplicate_segments": float(self._inbox.duplicates),
                "fault/reissued_segments": float(self._inbox.reissued),
                "fault/worker_restarts": float(self._roster.restarts),
            }

    def waiting_for(self) -> str:
        """Says whom the round waits for."""
        with self._changed:
            return self._inbox.waiting_for(self._clock())
