"""A server without room says so over a real socket, and a patient client gets its answer anyway."""

from __future__ import annotations

import threading

import grpc
import pytest

from model_server.serving.waiting import Limits
from moma_core.ports import BusyError
from moma_core.rpc.channel import Patience
from moma_core.rpc.dynamics import DynamicsClient
from tests.integration.parts import Held, in_thread, make_rows, serving, until
from tests.integration.raw import predict_request

ROWS = 8
PLACES = 2
"""Requests of that many rows that may wait."""


@pytest.fixture
def served(model):
    """A held model, its queue and its address."""
    held = Held(model)
    with serving(held, Limits(max_rows=ROWS, queue_rows=PLACES * ROWS)) as (batching, address):
        yield held, batching, address
        held.go.set()


@pytest.fixture
def ask(served):
    """Asks in a thread of its own, with the patience given."""
    clients = []

    def start(*patience):
        clients.append(DynamicsClient(served[2], *patience))
        rows = make_rows(served[1].describe(), ROWS)
        return in_thread(lambda: clients[-1].predict(rows))

    yield start
    for client in clients:
        client.close()


def fill(served, ask):
    """One request in the model and as many behind it as may wait."""
    held, batching, _ = served
    calls = [ask()]
    until(held.asked.is_set, 10, "request at the model")
    calls += [ask() for _ in range(PLACES)]
    until(lambda: batching.metrics()["model_server/requests"] == 1 + PLACES, 10, "full queue")
    return calls


def test_a_full_server_answers_resource_exhausted_with_when_to_ask_again(served, ask):
    held, batching, address = served
    calls = fill(served, ask)
    request = predict_request(batching.describe(), ROWS)
    with grpc.insecure_channel(str(address)) as channel:
        method = channel.unary_unary(
            "/moma_core.pb.Dynamics/Predict",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=lambda raw: raw,
        )
        with pytest.raises(grpc.RpcError) as refusal:
            method(request, timeout=10)
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal.value.details() == f"{PLACES * ROWS} rows wait already"
        said = {entry.key: entry.value for entry in refusal.value.trailing_metadata()}
        assert said["retry-after-ms"] == "1000"  # nothing has been measured yet
        held.go.set()
        # Negative control: with room it is answered, and says nothing of the kind.
        for call in calls:
            call.result(10)
        _, answered = method.with_call(request, timeout=10)
        assert "retry-after-ms" not in {entry.key for entry in answered.trailing_metadata()}


def test_asked_once_it_is_an_error_that_says_when_to_ask_again(served, ask):
    calls = fill(served, ask)
    with pytest.raises(BusyError, match=f"{PLACES * ROWS} rows wait already") as refusal:
        ask().result(10)
    assert refusal.value.retry_after_s == 1.0
    served[0].go.set()
    assert all(len(call.result(10).reward) == ROWS for call in calls)
    assert served[1].metrics()["model_server/shed"] == 1


def test_a_patient_client_gets_its_answer_in_the_end_and_complains_of_nothing(served, ask, model):
    held, batching, _ = served
    calls, said, slept = fill(served, ask), [], threading.Event()

    def sleep(seconds):
        # It may come back before there is room again, and then waits longer.
        assert 0.5 <= seconds <= (2.0 if slept.is_set() else 1.5)
        slept.set()
        held.go.wait(10)

    late = ask(Patience("the model", lambda: False, said.append, sleep=sleep))
    until(slept.is_set, 10, "refusal")
    assert not late.done
    held.go.set()
    for call in (*calls, late):
        assert call.result(10).model == model.describe().digest
    assert batching.metrics()["model_server/shed"] >= 1
    assert said == []
