"""A thousand deliveries over a wire that loses: what was acknowledged counts, and counts once."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from learner.inbox import Inbox
from learner.service import LearnerService
from learner.starts import drawing
from moma_core.config import RolloutConfig
from moma_core.datasets import StartSampler
from moma_core.ports import UnavailableError
from tests.builders import make_config, make_ppo, make_trajectory, run_card, write_dataset

CONFIG = make_config(rollout=RolloutConfig(rows=12, horizon=4))
WORKERS, DELIVERIES = ("a", "b", "c"), 1000


class Clock:
    """Seconds that only the test moves."""

    now = 0.0

    def __call__(self):
        return self.now


class Wire:
    """Loses a quarter of the segments, a quarter of the receipts, and holds a quarter up."""

    def __init__(self, service, draw):
        self._service, self._draw, self._late = service, draw, []
        self.met = Counter()

    def submit(self, segment):
        """Delivers a segment, or says that nobody answered; the sender cannot tell why."""
        fate = self._draw.choice(("request lost", "reply lost", "in flight", "whole"))
        self.met[fate] += 1
        if fate == "in flight":
            self._late.append(segment)
        receipt = self._service.submit(segment) if fate in ("reply lost", "whole") else None
        if fate != "whole":
            raise UnavailableError("no answer in time")
        return receipt

    def arrive(self):
        """Delivers something that was held up, by now perhaps for rounds."""
        if self._late and self._draw.random() < 0.5:
            self._service.submit(self._late.pop(self._draw.randrange(len(self._late))))


def made_of(assignment, worker, mark):
    """The segment that was asked for; its reward says which delivery it is."""
    starts = assignment.starts
    rows = len(starts.state)
    made = make_trajectory(
        CONFIG, rows=rows, first=assignment.first, worker=worker,
        policy_version=assignment.policy_version, history=starts.history, age=starts.age,
    )  # fmt: skip
    made.state[0] = starts.state
    return replace(made, reward=made.reward * 0 + mark)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("ledger") / "log")


def delivered(wire, segment, attempts):
    """Sends a segment until somebody answers; returns what was answered, or None."""
    for _ in range(attempts):
        try:
            return wire.submit(segment).reason
        except UnavailableError:
            continue
    return None  # its worker asks anew


def ledger(log, seed):
    """Works for a thousand deliveries; returns what was acknowledged, what was taken, and fates.

    Both by rollout: the delivery that was told so (None: that it was there), and those taken.
    """
    draw, clock, taken, acknowledged = random.Random(seed), Clock(), {}, {}
    starts = drawing(StartSampler(log, CONFIG.actor.history, 1.0), 9)
    service = LearnerService(run_card(CONFIG), starts, clock=clock)
    for worker in WORKERS:
        service.assign(worker, 0, 0.0)
    snapshot, version = make_ppo(CONFIG).snapshot(), 0
    service.publish(snapshot)
    wire = Wire(service, draw)
    for mark in range(DELIVERIES):
        clock.now += 1.0
        wire.arrive()
        worker = draw.choice(WORKERS)
        assignment = service.assign(worker, 0, 0.0)
        if assignment.starts is not None:
            segment = made_of(assignment, worker, mark)
            reason = delivered(wire, segment, draw.randint(1, 3))
            told = {"": mark, "duplicate": None}
            if reason in told:
                acknowledged |= dict.fromkeys(segment.rollouts, told[reason])
        for one in service.gather(0.0) or ():
            for number in one.rollouts:
                taken.setdefault(number, []).append(int(one.reward[0, 0]))
        if len(taken) == (version + 1) * CONFIG.rollout.rows:
            version += 1
            service.publish(replace(snapshot, version=version))
    return acknowledged, taken, version, wire.met


@pytest.mark.reliability(6, "exactly_once_ledger")
def test_what_was_acknowledged_is_taken_and_nothing_is_taken_twice(log, record_property):
    acknowledged, taken, rounds, met = ledger(log, 0)
    assert rounds > 50
    assert min(met.values()) > 100
    assert sorted(taken) == list(range(rounds * CONFIG.rollout.rows))  # no hole, none too many
    assert [number for number, marks in taken.items() if len(marks) != 1] == []
    due = {n: mark for n, mark in acknowledged.items() if n < rounds * CONFIG.rollout.rows}
    assert len(due) > 100
    assert [n for n, mark in due.items() if mark is not None and taken[n] != [mark]] == []
    record_property("tried", sum(met.values()))


def test_an_inbox_that_takes_what_it_has_would_be_seen(log, monkeypatch):
    """Negative control: without the look at what is there, something is taken twice."""

    def careless(self, trajectory, now=0.0):
        del now
        if self.wanted(trajectory):
            self._cells(trajectory.rollouts)[:] = -2
            self._filled.append(trajectory)
        return ""

    monkeypatch.setattr(Inbox, "submit", careless)
    monkeypatch.setattr(
        Inbox, "_drop", lambda self, lease: self._leases.pop(lease.rollouts.start, None)
    )
    _, taken, *_ = ledger(log, 0)
    assert [number for number, marks in taken.items() if len(marks) > 1]
