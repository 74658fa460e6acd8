"""Several servers of one model: one that is killed or drained costs no rollout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from moma_core.address import Address
from moma_core.ports import Dynamics, UnavailableError
from moma_core.rpc.channel import once
from moma_core.rpc.replicas import Replicas
from tests.builders import free_address
from tests.integration.parts import in_thread, make_rows, serving, until

CALLERS, SOON_S, START_S = 16, 2.0, 60.0


class Server:
    """A model server in a process of its own."""

    def __init__(self, run, directory, name):
        self._announce = directory / f"{name}.json"
        words = ("--model", run.model, "--threads", "1", "--announce", self._announce)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moma", "serve", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def address(self):
        until(self._announce.exists, START_S, "address of a model server")
        return Address.parse(json.loads(self._announce.read_text())["address"])

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def servers(run, tmp_path):
    """Two of them."""
    started = [Server(run, tmp_path, name) for name in ("one", "two")]
    yield started
    for server in started:
        server.end()


def asking(addresses, card, said, over, answers):
    """Asks again and again; returns what went wrong."""
    replicas = Replicas(addresses, once, said.append)
    try:
        while not over.is_set():
            replicas.predict(make_rows(card))
            answers.append(time.monotonic())
    except Exception as error:
        return error
    finally:
        replicas.close()
    return None


@pytest.mark.reliability(31, "blocked_callers")
def test_blocked_callers_of_a_killed_server_are_answered_by_another_soon(
    servers, model, record_property
):
    first, second = (server.address for server in servers)
    said, rows = [], make_rows(model.describe())
    callers = [Replicas((first, second), once, said.append) for _ in range(CALLERS)]
    (expected, *_) = [caller.predict(rows) for caller in callers]
    servers[0].signal(signal.SIGSTOP)
    calls = [in_thread(lambda caller=caller: caller.predict(rows)) for caller in callers]
    time.sleep(0.5)
    assert not any(call.done for call in calls)
    begun = time.monotonic()
    servers[0].signal(signal.SIGKILL)
    answers = [call.result(SOON_S) for call in calls]
    assert time.monotonic() - begun < SOON_S
    record_property("tried", CALLERS)
    record_property("worst_s", round(time.monotonic() - begun, 2))
    assert all(answer.model == expected.model for answer in answers)
    assert len(said) == CALLERS
    assert f"the model server at {first} is away" in said[0]
    for caller in callers:
        caller.close()


def test_with_one_server_alone_its_death_is_an_error(servers, model):
    first = servers[0].address
    with closing(Replicas((first,), once, print)) as replicas:
        replicas.predict(make_rows(model.describe()))
        servers[0].signal(signal.SIGKILL)
        servers[0].process.wait(10)
        with pytest.raises(UnavailableError):
            replicas.predict(make_rows(model.describe()))


def test_a_server_is_drained_under_load_without_one_failure(servers, model):
    addresses = [server.address for server in servers]
    said, over, answers = [], threading.Event(), []
    calls = [in_thread(lambda: asking(addresses, model.describe(), said, over, answers))
             for _ in range(4)]  # fmt: skip
    until(lambda: len(answers) > 40, START_S, "answers")
    servers[0].signal(signal.SIGTERM)
    assert servers[0].process.wait(START_S) == 0
    drained = len(answers)
    until(lambda: len(answers) > drained + 40, START_S, "answers of the other one")
    over.set()
    assert [call.result(10) for call in calls] == [None] * 4
    assert said


def test_a_server_that_comes_back_is_asked_first_again(model, monkeypatch):
    monkeypatch.setattr("moma_core.rpc.replicas._RETURN_S", 0.2)
    card, away, said = model.describe(), free_address(), []
    with serving(model) as (other, address), \
            closing(Replicas((away, address), once, said.append)) as replicas:  # fmt: skip
        assert isinstance(replicas, Dynamics)
        assert replicas.describe() == card
        with serving(model, listen=away) as (own, _):

            def own_one_answers():
                replicas.predict(make_rows(card))
                return own.metrics()["model_server/requests"]

            until(own_one_answers, 10, "answer of its own server")
            before = other.metrics()["model_server/requests"]
            replicas.predict(make_rows(card))
            assert other.metrics()["model_server/requests"] == before
    assert len(said) == 1


def health(channel, service=""):
    """What the standard check says."""
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SOON_S).status


def test_health_is_told_by_the_standard_check_until_the_server_stops(model):
    serves, not_now = (getattr(health_pb2.HealthCheckResponse, name)
                       for name in ("SERVING", "NOT_SERVING"))  # fmt: skip
    address = free_address()
    with grpc.insecure_channel(str(address)) as channel:
        with serving(model, listen=address):
            assert health(channel) == serves
            assert health(channel, "moma_core.pb.Dynamics") == serves
            watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watched).status == serves
        assert next(watched).status == not_now
