"""A peer that is away is waited for in so many words; a peer that hangs is not waited for."""

from __future__ import annotations

import threading
import time

import pytest

from moma_core.ports import DeadlineError, UnavailableError
from moma_core.rpc.channel import Patience
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.stopping import StoppedError
from tests.builders import free_address
from tests.integration.parts import Held, in_thread, make_rows, serving, until


@pytest.fixture
def stuck(model):
    """A stuck model and the address that it is served at."""
    dynamics = Held(model)
    with serving(dynamics) as (_, address):
        yield dynamics, address
        dynamics.go.set()


def waiting(address, stopping=lambda: False):
    """A patient client of an absent server, what it said, and its call under way."""
    said = []
    client = DynamicsClient(address, Patience(f"the server at {address}", stopping, said.append))
    return client, said, in_thread(client.describe)


def test_it_says_whom_it_waits_for_since_when_and_goes_on_when_the_server_comes(model):
    address = free_address()
    client, said, call = waiting(address)
    until(lambda: said, 10, "word of waiting")
    until(lambda: len(said) > 1, 15, "second word of waiting")
    assert not call.done
    with serving(model, listen=address):
        assert call.result(10) == model.describe()
        client.close()
    assert said[0].startswith(f"waiting for the server at {address} since 0 s (")
    assert "asking again" in said[0]
    later = int(said[1].partition(" since ")[2].partition(" s ")[0])
    assert later >= 5


def test_without_patience_an_absent_server_is_an_error_at_once():
    client = DynamicsClient(free_address())
    begun = time.monotonic()
    with pytest.raises(UnavailableError):
        client.describe()
    client.close()
    assert time.monotonic() - begun < 5


def test_told_to_stop_it_stops_waiting():
    stop = threading.Event()
    client, said, call = waiting(free_address(), stop.is_set)
    until(lambda: said, 10, "word of waiting")
    assert not call.done
    stop.set()
    with pytest.raises(StoppedError, match="the server at 127"):
        call.result(5)
    client.close()


def test_a_model_that_hangs_costs_no_more_than_the_deadline(stuck, model):
    dynamics, address = stuck
    client = DynamicsClient(address)
    begun = time.monotonic()
    with pytest.raises(DeadlineError):
        client.predict(make_rows(model.describe()), deadline=begun + 0.5)
    assert 0.4 < time.monotonic() - begun < 2.5
    assert dynamics.asked.is_set()
    assert client.describe() == model.describe()
    client.close()


def test_a_model_that_answers_in_time_is_waited_for(stuck, model):
    dynamics, address = stuck
    client = DynamicsClient(address)
    rows = make_rows(model.describe())
    call = in_thread(lambda: client.predict(rows, deadline=time.monotonic() + 30))
    until(dynamics.asked.is_set, 10, "request at the model")
    dynamics.go.set()
    assert len(call.result(10).reward) == len(rows.seed)
    client.close()


def test_patience_ends_at_the_callers_own_deadline(stuck, model):
    _, address = stuck
    end = time.monotonic() + 3
    patience = Patience("the model", lambda: time.monotonic() > end, lambda _: None)
    client = DynamicsClient(address, patience)
    with pytest.raises(DeadlineError):
        client.predict(make_rows(model.describe()), deadline=time.monotonic() + 0.5)
    client.close()
