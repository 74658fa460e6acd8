"""Hundreds of calls that wait for work leave room for all others."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest

from learner import service as under_test
from moma_core.ports import DeadlineError
from moma_core.rpc import learner as wire
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import LearnerClient, serve_learner
from tests.integration.parts import make_service

SOON_S = 2.0


@contextmanager
def beside_400_who_wait(service):
    """A client of a service that another process keeps 400 calls of `Assign` waiting at."""
    server = serve_learner(service, Endpoint())
    words = (sys.executable, "-m", "tests.e2e.stranger", str(server.address), "400", "30")
    with subprocess.Popen(words, stdout=subprocess.PIPE) as strangers:
        try:
            strangers.stdout.readline()
            wait_until_full(service)
            with closing(LearnerClient(server.address)) as client:
                yield client
        finally:
            strangers.kill()
            service.finish()
            server.stop(0.0)


def wait_until_full(service):
    """Waits until nobody comes in any more."""
    end, before = time.monotonic() + 20, -1
    while (now := service._waiting.total()) != before or now < 100:
        assert time.monotonic() < end, now
        before = now
        time.sleep(0.5)


@pytest.fixture
def busy(run):
    """A service with nothing to hand out."""
    service = make_service(run)
    while service.assign("own", 0, 0.0).starts is not None:
        service._inbox._leases[-1].worker = "another"  # so that asking again gives nothing back
    return service


def described_in(client):
    begun = time.monotonic()
    client.describe()
    return time.monotonic() - begun


@pytest.mark.reliability(21, "overload")
def test_four_hundred_who_wait_for_work_block_nobody(busy, record_property):
    """Very many calls wait for work at once.

    Symptom: "128 calls wait for rollouts already" in the log of a worker that has not worked yet.
    Cause: Somebody who asks from many threads; or far more new workers than a run can use.
    What we do: Calls that wait have room of their own, in all and over each connection; others,
    and workers that have delivered, are answered as ever.
    What you do: End the client; beyond loopback, replace the run's tokens.
    """
    with beside_400_who_wait(busy) as client:
        took = [described_in(client) for _ in range(10)]
    record_property("worst_s", round(max(took), 2))
    assert max(took) < SOON_S


def test_without_room_of_their_own_they_would_block_all(busy, monkeypatch):
    monkeypatch.setattr(under_test, "_WAITING", 10**6)
    monkeypatch.setattr(under_test, "_WAITING_EACH", 10**6)
    monkeypatch.setattr(wire, "_CALL_S", SOON_S)
    with beside_400_who_wait(busy) as client, pytest.raises(DeadlineError):
        described_in(client)
