"""The same segment, bit for bit, whether it was imagined in one process or over two sockets."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import fields

import pytest
import torch

from model_server.serving.batching import Batching
from moma_core.rpc.dynamics import DynamicsClient, serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import LearnerClient, serve_learner
from rollout_workers.worker import Worker
from tests.builders import same_history
from tests.integration.parts import gather, in_thread, make_segments, make_service, until

FLAGS = ("terminated", "truncated", "valid")
TENSORS = ("action", "state", "log_prob", "reward", "penalty", *FLAGS)
CLIENTS = 4


@contextmanager
def served(dynamics, service, clients):
    """Yields one remote worker per client."""
    servers = [serve_dynamics(dynamics, Endpoint()), serve_learner(service, Endpoint())]
    channels = []
    for _ in range(clients):
        channels.append((LearnerClient(servers[1].address), DynamicsClient(servers[0].address)))
    yield [Worker(*pair, f"w{i}", wait_s=0.0) for i, pair in enumerate(channels)]
    for pair in channels:
        for client in pair:
            client.close()
    for server in servers:
        server.stop(0.0)


class HeldUntilAllAsk:
    """A model whose first call waits until all have asked, so that the rest must share."""

    def __init__(self, inner):
        self._inner, self.all_asked = inner, threading.Event()

    def describe(self):
        return self._inner.describe()

    def metrics(self):
        return self._inner.metrics()

    def predict(self, query):
        assert self.all_asked.wait(30)
        return self._inner.predict(query)


def equal(one, other):
    """Names the first tensor that differs in a bit; "" when none does."""
    for name in TENSORS:
        if not torch.equal(getattr(one, name), getattr(other, name)):
            return name
    if not same_history(one.history, other.history):
        return "history"
    return ""


@pytest.mark.usefixtures("one_thread")
def test_served_alone_a_rollout_over_grpc_is_the_local_one_bit_for_bit(run, model):
    local = make_segments(make_service(run), model)
    service, batching = make_service(run), Batching(model, alone=True)
    with served(batching, service, 1) as (worker,):
        for _ in range(2):
            assert worker.step()
    batching.close()
    for one, other in zip(local, gather(service), strict=True):
        assert {field.name for field in fields(one)} >= set(TENSORS)
        assert equal(one, other) == ""
        for name in ("policy_version", "epoch", "first", "incarnation"):
            assert getattr(one, name) == getattr(other, name)


@pytest.mark.usefixtures("one_thread")
def test_another_seed_gives_another_rollout(run, model):
    one, other = (make_segments(make_service(run, seed=seed), model)[0] for seed in (0, 1))
    assert equal(one, other) != ""
    assert not torch.allclose(one.state, other.state, atol=1e-3)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("alone", [True, False])
def test_four_clients_at_once_get_the_same_draws_as_alone(run, model, alone):
    local = make_segments(make_service(run, workers=CLIENTS), model)
    service, held = make_service(run, workers=CLIENTS), HeldUntilAllAsk(model)
    batching = Batching(held, alone=alone)
    with served(batching, service, CLIENTS) as workers:
        steps = [in_thread(worker.step) for worker in workers]
        asked = lambda: batching.metrics()["model_server/requests"] == CLIENTS  # noqa: E731
        until(asked, 20, f"{CLIENTS} requests in the queue")
        held.all_asked.set()
        assert all(step.result(60) for step in steps)
    batching.close()
    counts = batching.metrics()
    for one, other in zip(local, gather(service), strict=True):
        assert one.rollouts == other.rollouts
        for name in FLAGS:
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        torch.testing.assert_close(other.state, one.state, rtol=0, atol=1e-5)
        assert equal(one, other) == "" or not alone
    requests, batches = counts["model_server/requests"], counts["model_server/batches"]
    assert (batches == requests) if alone else (batches <= requests - (CLIENTS - 2))
