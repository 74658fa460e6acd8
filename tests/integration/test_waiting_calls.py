"""Hundreds of calls that wait for work leave room for all others."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import wait
from contextlib import closing, contextmanager

import pytest

from learner import waiting
from moma_core.ports import DeadlineError
from moma_core.rpc import learner as wire
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import LearnerClient, serve_learner
from moma_core.rpc.server import _THREADS
from tests.integration.parts import make_service

SOON_S = 2.0


@contextmanager
def beside_400_who_wait(service, least=100):
    """A client of a service that another process keeps 400 calls of `Assign` waiting at."""
    server = serve_learner(service, Endpoint())
    words = (sys.executable, "-m", "tests.e2e.stranger", str(server.address), "400", "30")
    with subprocess.Popen(words, stdout=subprocess.PIPE) as strangers:
        try:
            strangers.stdout.readline()
            wait_until_full(service, least)
            with closing(LearnerClient(server.address)) as client:
                yield client
        finally:
            strangers.kill()
            service.finish()
            server.stop(0.0)


def wait_until_full(service, least):
    """Waits until nobody comes in any more."""
    end, before = time.monotonic() + 20, -1
    while (now := len(service._waiting.waiting())) != before or now < least:
        assert time.monotonic() < end, now
        before = now
        time.sleep(0.5)


@pytest.fixture
def busy(run):
    """A service with nothing to hand out."""
    service = make_service(run)
    while service.assign("own", 0, 0.0).starts is not None:
        *_, last = service._inbox._leases.values()
        last.worker = "another"  # so that asking again gives nothing back
    return service


def described_in(client):
    begun = time.monotonic()
    client.describe()
    return time.monotonic() - begun


@pytest.mark.reliability(21, "overload")
def test_four_hundred_who_wait_for_work_block_nobody(busy, record_property):
    """Very many calls wait for work at once.

    Symptom: "calls wait for rollouts already" in the log of a worker that has not worked yet.
    Cause: Somebody who asks from many threads; or more than 4,096 workers.
    What we do: Calls that wait hold no thread, and are counted, in all and over each connection;
    others, and workers that have delivered, are answered as ever.
    What you do: End the client; beyond loopback, replace the run's tokens.
    """
    with beside_400_who_wait(busy) as client:
        took = [described_in(client) for _ in range(10)]
    record_property("worst_s", round(max(took), 2))
    assert max(took) < SOON_S


def test_with_a_thread_each_they_would_block_all(busy, monkeypatch):
    def held(asked, within_s, reply):
        wait([asked], within_s)
        return reply()

    monkeypatch.setattr(wire, "Later", held)
    monkeypatch.setattr(waiting, "_EACH", 10**6)
    monkeypatch.setattr(wire, "_CALL_S", SOON_S)
    with beside_400_who_wait(busy, _THREADS) as client, pytest.raises(DeadlineError):
        described_in(client)
