"""Concurrent calls share a forward pass, and every caller gets its own rows back."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from threading import Event, Thread

import pytest
import torch

from model_server.batching import Batching
from moma import seeds
from moma.ports import DeadlineError, Dynamics
from moma.types import Prediction
from tests.builders import FakeDynamics, make_starts

PATIENCE = 10.0
"""Seconds after which a test that hangs fails."""


class Gated(FakeDynamics):
    """Runs when the test lets it, and says when it has begun."""

    def __init__(self):
        super().__init__()
        self.begun, self.gate, self.fault = Event(), Event(), None

    def predict(self, state, action, seed, deadline=math.inf, priority="training"):
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        return super().predict(state, action, seed, deadline, priority)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def inner():
    return Gated()


@pytest.fixture
def serve(inner):
    """Makes a server around the gated model; it is let go and closed at the end."""
    made = []

    def make(**settings):
        made.append(Batching(inner, **settings))
        return made[-1]

    yield make
    inner.gate.set()
    inner.fault = None
    for server in made:
        server.close()


def rows(count, seed):
    state = make_starts(count, 0, seed).state
    return state, torch.full((count, 2, 2), 0.1 * seed), seeds.rows(seed, count)


def wait_until(server, requests):
    """Waits until so many requests were queued, woken by the queue itself."""
    with server._changed:
        reached = server._changed.wait_for(lambda: server._counts["requests"] >= requests, PATIENCE)
    assert reached


def busy(server, inner, pool):
    """Occupies the model with a first request."""
    first = pool.submit(server.predict, *rows(1, 0))
    assert inner.begun.wait(PATIENCE)
    return first


def same(one, other):
    return all(
        torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Prediction)
    )


def asked(server, inner, pool, sizes):
    """Queues requests of these sizes while the model is busy, then lets it go on."""
    first = busy(server, inner, pool)
    waiting = [pool.submit(server.predict, *rows(n, k + 1)) for k, n in enumerate(sizes)]
    wait_until(server, 1 + len(sizes))
    inner.gate.set()
    first.result(PATIENCE)
    return [future.result(PATIENCE) for future in waiting]


def test_what_waits_is_batched_and_every_caller_gets_its_own_rows(serve, inner, pool):
    server = serve()
    assert isinstance(server, Dynamics)
    answers = asked(server, inner, pool, [3, 1, 4])
    assert [len(s) for s in inner.seeds] == [1, 8]
    for k, (n, answer) in enumerate(zip([3, 1, 4], answers, strict=True)):
        assert same(answer, FakeDynamics().predict(*rows(n, k + 1))), k
    assert not torch.equal(answers[0].next_state[:1], answers[1].next_state)


def test_alone_serves_each_request_by_itself(serve, inner, pool):
    asked(serve(alone=True), inner, pool, [3, 1, 4])
    assert sorted(len(s) for s in inner.seeds) == [1, 1, 3, 4]


def test_a_batch_has_at_most_so_many_rows_and_a_larger_request_goes_by_itself(serve, inner, pool):
    asked(serve(max_rows=5), inner, pool, [2, 2, 2, 9])
    sizes = [len(s) for s in inner.seeds]
    assert sum(sizes) == 16
    assert 9 in sizes
    assert all(size <= 5 for size in sizes if size != 9)
    assert 4 in sizes


def test_a_request_that_waited_past_its_deadline_is_not_run(serve, inner, pool):
    now = [0.0]
    server = serve(clock=lambda: now[0])
    first = busy(server, inner, pool)
    late = pool.submit(server.predict, *rows(2, 1), 5.0)
    wait_until(server, 2)
    now[0] = 5.0
    inner.gate.set()
    first.result(PATIENCE)
    with pytest.raises(DeadlineError):
        late.result(PATIENCE)
    assert [len(s) for s in inner.seeds] == [1]
    assert server.metrics()["model_server/expired"] == 1


def test_the_queue_is_bounded_and_callers_outside_have_deadlines_too(serve, inner, pool):
    server = serve(queue_rows=4, clock=lambda: 0.0)
    first = busy(server, inner, pool)
    inside = pool.submit(server.predict, *rows(3, 1))
    wait_until(server, 2)
    with pytest.raises(DeadlineError, match="queue of 4 rows stayed full"):
        server.predict(*rows(2, 2), deadline=0.01)
    outside = pool.submit(server.predict, *rows(2, 3))
    assert not outside.done()
    inner.gate.set()
    for future, n in ((first, 1), (inside, 3), (outside, 2)):
        assert len(future.result(PATIENCE).reward) == n


def test_a_fault_of_the_model_reaches_its_callers_and_the_thread_lives(serve, inner, pool):
    server = serve()
    inner.fault = RuntimeError("no such weights")
    first = busy(server, inner, pool)
    inner.gate.set()
    with pytest.raises(RuntimeError, match="no such weights"):
        first.result(PATIENCE)
    inner.fault = None
    answer = server.predict(*rows(3, 2))
    assert same(answer, FakeDynamics().predict(*rows(3, 2)))


def test_metrics_count_requests_batches_and_rows(serve, inner, pool):
    server = serve()
    asked(server, inner, pool, [3, 1])
    server.close()
    metrics = server.metrics()
    assert metrics["model_server/requests"] == 3
    assert metrics["model_server/batches"] == 2
    assert metrics["model_server/rows"] == 5
    assert metrics["model_server/rows_per_batch"] == 2.5


def test_closing_answers_what_waits(serve, inner, pool):
    server = serve()
    first = busy(server, inner, pool)
    waiting = pool.submit(server.predict, *rows(2, 1))
    wait_until(server, 2)
    closing = Thread(target=server.close)
    closing.start()
    inner.gate.set()
    closing.join(PATIENCE)
    assert len(first.result(PATIENCE).reward) == 1
    assert len(waiting.result(PATIENCE).reward) == 2


def test_a_call_after_closing_does_not_hang(inner):
    inner.gate.set()
    server = Batching(inner)
    server.close()

    def call():
        with suppress(Exception):
            server.predict(*rows(1, 1))

    caller = Thread(target=call, daemon=True)
    caller.start()
    caller.join(1.0)
    assert not caller.is_alive(), "the caller waits for a thread that has ended"
