"""The `Learner` port in-process: policy and start states out, segments in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Condition
from typing import Any

from learner.inbox import Inbox, Lease
from learner.leasing import Leasing
from learner.roster import Guest, Roster
from learner.starts import Draw
from learner.waiting import Asked, Waiting
from moma_core.checks import check_trajectory
from moma_core.handed_out import check_handed_out, check_model_of
from moma_core.ports import CALLER, InvalidFieldError, UnavailableError
from moma_core.runtime.progress import RoleSeen
from moma_core.types import (
    Assignment,
    ModelCard,
    PolicySnapshot,
    Receipt,
    RunCard,
    StartStates,
    Trajectory,
)

Verify = Callable[[Trajectory, StartStates, PolicySnapshot], None]
"""Refuses a segment, by its starts and its policy, that is not what they come to."""
_LOG = logging.getLogger(__name__)
_LOOK_S = 0.1
"""Seconds between two looks of one who waits whether somebody has held rollouts for too long."""


class LearnerService:
    """Thread-safe: workers' calls come from any thread, the loop's from its own."""

    def __init__(
        self,
        card: RunCard,
        starts: Draw,
        epoch: int = 0,
        model: ModelCard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens no round yet: `publish` does.

        Args:
            card: what workers are told.
            starts: draws the start states of rollouts.
            epoch: how often the run was resumed.
            model: what segments have to be imagined in; None: anything.
            clock: monotonic seconds.
        """
        self._card, self._starts, self._clock = card, starts, clock
        self._epoch, self._model = epoch, model
        self._changed = Condition()
        self._inbox = Inbox(card.rollout, epoch)
        self._roster = Roster()
        self._waiting = Waiting()
        self._leasing = Leasing(card, self._inbox, self._roster, self._waiting)
        self._refused = 0
        self.verify: Verify | None = None
        """Maker of a sample of segments, who compares them; None: nobody does."""
        self._policies: dict[int, PolicySnapshot] = {}
        """By version, those that segments of now may have been made with."""
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
        asked, until = self.ask(worker, incarnation, wait_s), self._clock() + wait_s
        while not asked.done() and (left := until - self._clock()) > 0:
            with suppress(TimeoutError):
                asked.result(min(left, _LOOK_S))
            with self._changed:
                self._hand_out()
        return self.answer(asked)

    def ask(self, worker: str, incarnation: int, wait_s: float) -> Asked:
        """Begins what `assign` does; what it returns is done once there is something to say.

        Args:
            worker: its name.
            incarnation: how often it was started before.
            wait_s: seconds that it may wait; with 0 there is something to say at once.

        Raises:
            BusyError: too many wait already.
        """
        with self._changed:
            now = self._clock()
            guest = self._roster.greet(worker, incarnation, CALLER.get(), now)
            guest.begins("waits for work", now)
            asked = Asked(guest)
            lease = None if self._stop else self._leasing.lease(guest, now, self._version)
            if lease is not None or self._stop or wait_s <= 0:
                asked.tell(lease)
            else:
                self._waiting.add(asked)
            return asked

    def answer(self, asked: Future[Any]) -> Assignment:
        """Returns what there is of what was asked for.

        Args:
            asked: what `ask` returned; it is cancelled where it is not done.
        """
        assert isinstance(asked, Asked)
        asked.cancel()
        lease = None if asked.cancelled() else asked.result()
        with self._changed:
            asked.guest.seen = self._clock()
            self._tell(asked.guest)
            version = self._version
        if lease is not None:
            lease.starts = self._starts(lease.rollouts)
        return Assignment(
            policy_version=version,
            epoch=self._epoch,
            first=-1 if lease is None else lease.rollouts.start,
            starts=None if lease is None else lease.starts,
            stop=self._stop,
        )

    @property
    def _version(self) -> int:
        """The newest policy's; -1 before the first."""
        return -1 if self._snapshot is None else self._snapshot.version

    def _hand_out(self) -> None:
        self._leasing.hand_out(self._clock(), self._version)

    def fetch_policy(self) -> PolicySnapshot:
        """Returns the newest policy, which is never further from a round than the one assigned."""
        with self._changed:
            if self._snapshot is None:
                raise UnavailableError("no policy has been published yet")
            return self._snapshot

    def submit(self, trajectory: Trajectory) -> Receipt:
        """Takes one whole segment, once, if it is what was handed out."""
        history, task = self._card.actor.history, self._card.task
        check_trajectory(trajectory, task, self._card.rollout, history)
        with self._changed:
            wanted, lease = self._inbox.wanted(trajectory), self._inbox.lease_of(trajectory)
        if wanted:
            # Whole segments are compared, while others ask for work.
            self._compare(trajectory, lease)
        who, steps = (trajectory.worker, trajectory.incarnation), int(trajectory.valid.sum())
        with self._changed:
            now = self._clock()
            reason = self._inbox.submit(trajectory, now)
            guest = self._roster.greet(*who, CALLER.get(), now)
            if reason != "stale":
                self._roster.deliver(guest)
            if not reason:
                guest.credit(trajectory.policy_version, steps, now)
            guest.begins("", now)
            guest.busy_until = now
            self._hand_out()
            self._changed.notify_all()
            self._tell(guest)
            version = self._version
            return Receipt(version=version, reason=reason, stop=self._stop)

    def _compare(self, trajectory: Trajectory, lease: Lease | None) -> None:
        """Refuses, and counts, what is not what was handed out."""
        starts = None if lease is None else lease.starts
        policy = self._policies.get(trajectory.policy_version)
        try:
            check_handed_out(trajectory, starts)
            check_model_of(trajectory, self._model)
            if self.verify is not None and starts is not None and policy is not None:
                self._verified(self.verify, trajectory, starts, policy)
        except InvalidFieldError:
            with self._changed:
                self._refused += 1
            raise

    def _verified(
        self, verify: Verify, trajectory: Trajectory, starts: StartStates, policy: PolicySnapshot
    ) -> None:
        """Lets a segment be made again; a worker whose own differs is relied on no more.

        Args:
            verify: makes it again.
            trajectory: the segment.
            starts: where its rollouts were to begin.
            policy: that it was made with.
        """
        try:
            verify(trajectory, starts, policy)
        except InvalidFieldError as error:
            who = trajectory.worker, trajectory.incarnation
            with self._changed:
                self._roster.distrust(self._roster.greet(*who, CALLER.get(), self._clock()))
                self._inbox.take_back(trajectory)
            _LOG.warning("worker %s, incarnation %d, is relied on no more: %s", *who, error)
            raise

    def _tell(self, guest: Guest) -> None:
        """Notes that a worker is about to hear of the end, where there is one."""
        if self._stop:
            guest.told = True
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
            oldest = snapshot.version - self._card.rollout.lag
            kept = {v: policy for v, policy in self._policies.items() if v >= oldest}
            self._policies = kept | {snapshot.version: snapshot}
            self._inbox.open(snapshot.version, self._clock())
            self._hand_out()

    def gather(self, wait_s: float) -> list[Trajectory] | None:
        """Returns the round's segments once it is complete; None after `wait_s` seconds."""
        until = time.monotonic() + wait_s
        with self._changed:
            while not (complete := self._inbox.complete(self._clock())):
                self._hand_out()
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(min(left, _LOOK_S))
            return self._inbox.take() if complete else None

    def finish(self) -> None:
        """Tells every worker that the run is over."""
        with self._changed:
            self._stop = True
            for asked in self._waiting.waiting():
                asked.tell(None)
            self._changed.notify_all()

    def counters(self) -> dict[str, float]:
        """Returns counts since the start, for TensorBoard."""
        with self._changed:
            now = self._clock()
            return {
                "charts/workers_alive": float(self._roster.alive(now, self._version)),
                "lag/stale_segments": float(self._inbox.stale),
                "lag/dropped_fraction": self._inbox.dropped(),
                "fault/duplicate_segments": float(self._inbox.duplicates),
                "fault/reissued_segments": float(self._inbox.reissued),
                "fault/refused_segments": float(self._refused),
                "fault/worker_restarts": float(self._roster.restarts),
            }

    def waiting_for(self) -> str:
        """Says whom the round waits for."""
        with self._changed:
            return self._inbox.waiting_for(self._clock())
