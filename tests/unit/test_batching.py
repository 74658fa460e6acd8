"""Concurrent calls share a forward pass, and every caller gets its own rows back."""

import asyncio
from contextlib import suppress
from threading import Thread

import pytest
import torch

from model_server.serving.batching import Batching
from moma_core.ports import DeadlineError, Dynamics
from tests.builders import DIGEST, FakeDynamics
from tests.unit.gated import PATIENCE, asked, busy, rows, same, wait_until


def test_what_waits_is_batched_and_every_caller_gets_its_own_rows(serve, inner, pool):
    server = serve()
    assert isinstance(server, Dynamics)
    answers = asked(server, inner, pool, [3, 1, 4])
    assert [len(s) for s in inner.seeds] == [1, 8]
    for k, (n, answer) in enumerate(zip([3, 1, 4], answers, strict=True)):
        assert same(answer, FakeDynamics().predict(rows(n, k + 1))), k
        assert answer.model == DIGEST
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
    late = pool.submit(server.predict, rows(2, 1), 5.0)
    wait_until(server, 2)
    now[0] = 5.0
    inner.gate.set()
    first.result(PATIENCE)
    with pytest.raises(DeadlineError):
        late.result(PATIENCE)
    assert [len(s) for s in inner.seeds] == [1]
    assert server.metrics()["model_server/expired"] == 1


def test_a_caller_that_has_given_up_is_not_served_and_the_others_are(serve, inner):
    async def ask():
        first = asyncio.create_task(server.queue(rows(1, 0)))
        while not inner.begun.is_set():
            await asyncio.sleep(0.001)
        gone, other = (asyncio.create_task(server.queue(rows(n, n))) for n in (2, 3))
        await asyncio.sleep(0)  # both wait
        gone.cancel()
        await asyncio.sleep(0)
        inner.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await first, await other

    server = serve()
    first, other = asyncio.run(ask())
    assert [len(s) for s in inner.seeds] == [1, 3]  # not cancelled it would be [1, 5]
    assert same(first, FakeDynamics().predict(rows(1, 0)))
    assert same(other, FakeDynamics().predict(rows(3, 3)))


def test_a_caller_that_gives_up_at_its_deadline_does_not_end_the_models_thread(serve, inner):
    async def ask():
        first = asyncio.create_task(server.queue(rows(1, 0)))
        while not inner.begun.is_set():
            await asyncio.sleep(0.001)
        late = asyncio.create_task(server.queue(rows(2, 2), deadline=5.0))
        await asyncio.sleep(0)
        late.cancel()  # as a server does when the caller's deadline has passed
        await asyncio.sleep(0)
        now[0] = 5.0
        inner.gate.set()
        await first
        return await asyncio.wait_for(server.queue(rows(3, 3)), PATIENCE)

    now = [0.0]
    server = serve(clock=lambda: now[0])
    assert same(asyncio.run(ask()), FakeDynamics().predict(rows(3, 3)))
    assert [len(s) for s in inner.seeds] == [1, 3]
    assert server.metrics()["model_server/expired"] == 1


def test_a_caller_that_gives_up_while_its_batch_runs_harms_nobody(serve, inner):
    async def ask():
        gone = asyncio.create_task(server.queue(rows(2, 2)))
        while not inner.begun.is_set():
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.sleep(0)
        inner.gate.set()
        return await server.queue(rows(3, 3))

    server = serve()
    assert same(asyncio.run(ask()), FakeDynamics().predict(rows(3, 3)))


def test_a_fault_of_the_model_reaches_its_callers_and_the_thread_lives(serve, inner, pool):
    server = serve()
    inner.fault = RuntimeError("no such weights")
    first = busy(server, inner, pool)
    inner.gate.set()
    with pytest.raises(RuntimeError, match="no such weights"):
        first.result(PATIENCE)
    inner.fault = None
    answer = server.predict(rows(3, 2))
    assert same(answer, FakeDynamics().predict(rows(3, 2)))


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
    waiting = pool.submit(server.predict, rows(2, 1))
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
            server.predict(rows(1, 1))

    caller = Thread(target=call, daemon=True)
    caller.start()
    caller.join(1.0)
    assert not caller.is_alive(), "the caller waits for a thread that has ended"
