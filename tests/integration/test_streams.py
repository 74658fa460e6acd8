"""Predictions go over streams that stay open: who stops, is stopped or is refused ends them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from model_server.serving.batching import Batching
from moma_core.ports import InvalidFieldError, UnavailableError
from moma_core.rpc.channel import Patience
from moma_core.rpc.dynamics import DynamicsClient, serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.handlers import Resting
from tests.integration.parts import Held, in_thread, make_rows, serving, until

GRACE_S = 3.0


@pytest.fixture
def batching(model):
    """A model with its thread."""
    made = Batching(model)
    yield made
    made.close()


def stopping_takes(batching, model):
    """Stops a server whose client has a stream open and asks nothing; returns the seconds."""
    server = serve_dynamics(batching, Endpoint())
    client = DynamicsClient(server.address)
    client.predict(make_rows(model.describe()))
    begun = time.monotonic()
    server.stop(GRACE_S)
    took = time.monotonic() - begun
    with pytest.raises(UnavailableError):
        client.predict(make_rows(model.describe()))
    client.close()
    return took


def test_an_idle_stream_does_not_hold_up_the_servers_end(batching, model):
    assert stopping_takes(batching, model) < GRACE_S / 2


def test_negative_control_streams_that_are_not_ended_hold_it_up(batching, model, monkeypatch):
    monkeypatch.setattr(Resting, "end", lambda _: None)
    assert stopping_takes(batching, model) >= GRACE_S


def test_a_request_under_way_is_answered_before_the_server_ends(model):
    held = Held(model)
    batching = Batching(held)
    server = serve_dynamics(batching, Endpoint())
    client = DynamicsClient(server.address)
    answer = in_thread(lambda: client.predict(make_rows(model.describe())))
    assert held.asked.wait(10)
    stop = in_thread(lambda: server.stop(10.0))
    time.sleep(0.3)
    assert not stop.done
    held.go.set()
    assert len(answer.result(10).reward) == 8
    stop.result(GRACE_S)  # of 10 s that it would have had
    client.close()
    batching.close()


def test_a_client_goes_on_with_the_servers_successor(model):
    said = []
    with serving(model) as (_, address):
        client = DynamicsClient(address, Patience("the model", lambda: False, said.append))
        client.predict(make_rows(model.describe()))
    call = in_thread(lambda: client.predict(make_rows(model.describe())))
    until(lambda: said, 10, "word of waiting")
    with serving(model, listen=address):
        assert len(call.result(20).reward) == 8
        client.close()


def test_a_refusal_ends_a_stream_and_the_next_request_opens_another(model):
    rows = make_rows(model.describe())
    with serving(model) as (batching, address):
        client = DynamicsClient(address)
        for _ in range(3):
            client.predict(rows)
            with pytest.raises(InvalidFieldError, match="state"):
                client.predict(replace(rows, state=rows.state * float("nan")))
        assert len(client.predict(rows).reward) == 8
        assert batching.metrics()["model_server/requests"] == 4
        client.close()


def test_a_closed_client_leaves_no_thread_behind(model):
    rows = make_rows(model.describe())
    with serving(model) as (_, address):
        before = set(threading.enumerate())
        clients = [DynamicsClient(address) for _ in range(3)]
        for client in clients:
            client.predict(rows)
            with pytest.raises(InvalidFieldError):
                client.predict(replace(rows, state=rows.state * float("nan")))
            client.predict(rows)
        assert len(set(threading.enumerate()) - before) >= len(clients)
        for client in clients:
            client.close()
        until(lambda: not set(threading.enumerate()) - before, 10, "end of the clients' threads")
