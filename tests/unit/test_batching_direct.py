"""A lone caller's rows are predicted where they are awaited; two callers share a thread's batch."""

import asyncio
import math
from threading import current_thread

import pytest

from model_server.serving.batching import Batching
from moma_core.ports import DeadlineError, UnavailableError
from tests.builders import FakeDynamics
from tests.unit.gated import PATIENCE, Meeting, rows, same, wait_until


class Threaded(FakeDynamics):
    """Notes the thread that each batch runs in."""

    def __init__(self):
        super().__init__()
        self.threads, self.fault, self.meanwhile = [], None, lambda: None

    def predict(self, query):
        self.threads.append(current_thread().name)
        self.meanwhile()
        if self.fault:
            raise self.fault
        return super().predict(query)


HERE = current_thread().name


@pytest.fixture
def model():
    return Threaded()


@pytest.fixture
def server(model):
    made = Batching(model, direct=True)
    yield made
    made.close()


def ask(server, *counts):
    """Awaits so many rows each, all at once."""

    async def together():
        waiting = [server.queue(rows(count, count)) for count in counts]
        return await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)

    return asyncio.run(together())


def test_a_lone_caller_needs_no_other_thread(server, model):
    for count in (3, 2):
        assert same(ask(server, count)[0], FakeDynamics().predict(rows(count, count)))
    assert model.threads == [HERE, HERE]
    metrics = server.metrics()
    assert metrics["model_server/requests"] == metrics["model_server/batches"] == 2
    assert metrics["model_server/rows"] == 5


def test_unless_it_is_told_to_be_direct_it_is_not(model):
    server = Batching(model)
    ask(server, 3)
    server.close()
    assert model.threads == ["model-0"]


def test_callers_who_ask_at_once_share_batches_in_the_models_thread(server, model):
    model.meanwhile = lambda: wait_until(server, 3)
    answers = ask(server, 3, 1, 4)
    for count, answer in zip((3, 1, 4), answers, strict=True):
        assert same(answer, FakeDynamics().predict(rows(count, count)))
    assert set(model.threads) == {"model-0"}
    assert len(model.threads) < 3
    model.meanwhile = lambda: None
    ask(server, 2)  # alone again
    assert model.threads[-1] == HERE


def test_who_asks_while_a_thread_runs_the_model_waits_for_it_like_all(server, pool):
    sync = [pool.submit(server.predict, rows(1, 1)) for _ in range(20)]
    answers = [ask(server, 2)[0] for _ in range(20)]
    assert all(same(answer, FakeDynamics().predict(rows(2, 2))) for answer in answers)
    assert all(len(future.result(PATIENCE).reward) == 1 for future in sync)
    assert server.metrics()["model_server/requests"] == 40


def test_two_streams_run_two_batches_at_once_nevertheless():
    server = Batching(Meeting(PATIENCE), streams=2, direct=True)

    async def one_after_the_other():
        first = asyncio.create_task(server.queue(rows(2, 2)))
        await asyncio.sleep(0.05)  # by now it would be computed on this loop, which would wait
        return await asyncio.gather(first, server.queue(rows(3, 3)))

    answers = asyncio.run(one_after_the_other())
    assert [len(answer.reward) for answer in answers] == [2, 3]
    server.close()


def test_a_fault_reaches_the_lone_caller_and_the_next_one_is_answered(server, model):
    model.fault = RuntimeError("no such weights")
    with pytest.raises(RuntimeError, match="no such weights"):
        ask(server, 1)
    model.fault = None
    assert len(ask(server, 2)[0].reward) == 2
    assert model.threads == [HERE, HERE]


def test_a_deadline_that_has_passed_is_not_run(server, model):
    with pytest.raises(DeadlineError):
        asyncio.run(server.queue(rows(1, 1), deadline=-math.inf))
    assert not model.threads
    assert server.metrics()["model_server/expired"] == 1


def test_after_closing_it_is_unavailable(server):
    server.close()
    with pytest.raises(UnavailableError):
        ask(server, 1)
