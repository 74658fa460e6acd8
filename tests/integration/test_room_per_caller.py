"""A few who ask for very much leave room for who asks for little."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager

import pytest

from model_server.serving.waiting import Limits
from moma_core.ports import BusyError
from moma_core.rpc.dynamics import DynamicsClient
from tests.integration.parts import make_rows, serving

CALLERS, LITTLE, SECONDS = 4, 256, 2.5


@contextmanager
def crowded(model, rows):
    """A client of a server that another process asks for so many rows from four connections."""
    with serving(model) as (_, address):
        words = (sys.executable, "-m", "tests.integration.crowd", address, CALLERS, rows)
        with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE) as crowd:
            try:
                assert crowd.stdout.readline() == b"asks\n"
                time.sleep(0.5)
                with closing(DynamicsClient(address)) as client:
                    yield client
            finally:
                crowd.kill()


def asked(client):
    """What came of asking for a few rows again and again, and the longest that an answer took."""
    query, found, longest = make_rows(client.describe(), LITTLE), Counter(), 0.0
    end = time.monotonic() + SECONDS
    while (begun := time.monotonic()) < end:
        try:
            client.predict(query)
            found["answered"] += 1
            longest = max(longest, time.monotonic() - begun)
        except BusyError:
            found["refused"] += 1
            time.sleep(0.01)
    return found, longest


@pytest.mark.reliability(21, "overload")
@pytest.mark.parametrize("rows", [Limits().largest, Limits().max_rows])
def test_who_asks_for_little_is_answered_beside_those_who_ask_for_very_much(
    model, rows, record_property
):
    """A few callers of a model server ask for very many rows, all the time.

    Symptom: `model_server/shed` rises; other workers become slower.
    Cause: Somebody who asks for thousands of rows at once, from several connections.
    What we do: A request has a bounded number of rows; a small one of a caller with nothing waiting
    finds room beside a full queue, and is next.
    What you do: Find out who asks, or give workers a model server of their own.
    """
    with crowded(model, rows) as client:
        found, longest = asked(client)
    record_property("worst_s", round(longest, 2))
    record_property("note", f"256 rows beside 4 callers of {rows}: {dict(found)}")
    assert found["answered"] >= 4
    assert found["refused"] <= found["answered"] / 10


def test_without_room_of_its_own_it_would_be_refused(model, monkeypatch):
    monkeypatch.setattr(Limits, "kept", 0)
    with crowded(model, Limits().largest) as client:
        found, _ = asked(client)
    assert found["refused"] > found["answered"]
