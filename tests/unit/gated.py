"""A model that runs when a test lets it, and callers who wait for it meanwhile."""

from threading import Barrier, Event

import torch

from moma_core import seeds
from moma_core.checks import check_query
from tests.builders import PER_ROW, SPEC, FakeDynamics, make_query, make_starts

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""


class Gated(FakeDynamics):
    """Runs when the test lets it, and says when it has begun."""

    def __init__(self):
        super().__init__()
        self.begun, self.gate, self.fault = Event(), Event(), None

    def predict(self, query):
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        check_query(SPEC, query)  # as every model does
        return super().predict(query)


class Meeting(FakeDynamics):
    """Answers only when two batches run at once."""

    def __init__(self, patience_s):
        super().__init__()
        self.barrier, self.patience_s = Barrier(2), patience_s

    def predict(self, query):
        self.barrier.wait(self.patience_s)
        return super().predict(query)


def rows(count, seed):
    state = make_starts(count, 0, seed).state
    action = torch.full((count, 2, 2), 0.1 * seed)
    return make_query(state=state, action=action, seed=seeds.rows(seed, count))


def wait_until(server, requests):
    """Waits until so many requests were queued, woken by the queue itself."""
    with server._changed:
        counts = server._load.counts
        reached = server._changed.wait_for(lambda: counts["requests"] >= requests, PATIENCE)
    assert reached


def busy(server, inner, pool):
    """Occupies the model with a first request."""
    first = pool.submit(server.predict, rows(1, 0))
    assert inner.begun.wait(PATIENCE)
    return first


def ask(server, pool, count, seed, **more):
    """Asks for so many rows in a thread of the pool."""
    return pool.submit(server.predict, rows(count, seed), **more)


def same(one, other):
    return one.model == other.model and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in PER_ROW
    )


def asked(server, inner, pool, sizes):
    """Queues requests of these sizes while the model is busy, then lets it go on."""
    first = busy(server, inner, pool)
    waiting = [ask(server, pool, n, k + 1) for k, n in enumerate(sizes)]
    wait_until(server, 1 + len(sizes))
    inner.gate.set()
    first.result(PATIENCE)
    return [future.result(PATIENCE) for future in waiting]
