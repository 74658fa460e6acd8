"""Batches side by side: both run at once, and they share what waits."""

from threading import BrokenBarrierError, Semaphore

import pytest

from model_server.serving.batching import Batching
from tests.builders import FakeDynamics
from tests.unit.gated import PATIENCE, Gated, Meeting, ask, rows, same, wait_until


def test_two_streams_run_two_batches_at_once(pool):
    server = Batching(Meeting(PATIENCE), streams=2)
    waiting = [ask(server, pool, n, n) for n in (2, 3)]
    for n, future in zip((2, 3), waiting, strict=True):
        assert same(future.result(PATIENCE), FakeDynamics().predict(rows(n, n)))
    server.close()


def test_one_stream_does_not(pool):
    server = Batching(Meeting(0.1))
    with pytest.raises(BrokenBarrierError):
        ask(server, pool, 2, 2).result(PATIENCE)
    server.close()


class Entered(Gated):
    """Counts the batches that have begun."""

    def __init__(self):
        super().__init__()
        self.entered = Semaphore(0)

    def predict(self, query):
        self.entered.release()
        return super().predict(query)


def test_what_waits_is_shared_out_among_the_streams(pool):
    inner = Entered()
    server = Batching(inner, streams=2)
    firsts = []
    for seed in (0, 1):  # both streams are busy with one request each
        firsts.append(ask(server, pool, 1, seed))
        assert inner.entered.acquire(timeout=PATIENCE)
    later = [ask(server, pool, 2, seed) for seed in range(2, 6)]
    wait_until(server, 6)
    inner.gate.set()
    for future in [*firsts, *later]:
        future.result(PATIENCE)
    # Four requests wait for two streams: whoever comes first takes two of them, not all.
    assert max(len(seed) for seed in inner.seeds) <= 4
    assert sum(len(seed) for seed in inner.seeds) == 10
    server.close()
