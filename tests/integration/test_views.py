"""Decoded tensors are views of the bytes that came: two whole rounds write into none of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from learner.service import LearnerService
from learner.starts import CarriedStarts
from model_server.serving.batching import Batching
from model_server.simulator import Simulator
from moma_core import tasks
from moma_core.datasets import StartSampler
from moma_core.rpc import codec
from moma_core.rpc.dynamics import DynamicsClient, serve_dynamics
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.learner import LearnerClient, serve_learner
from moma_core.runtime import subject
from moma_core.types import RunCard
from rollout_workers.worker import Worker
from tests.builders import make_ppo
from tests.integration.parts import NOBODY, gather

ROUNDS = 2


@pytest.fixture
def views(monkeypatch):
    """Every view that is made, beside a copy from when it was made."""
    kept, make = [], codec._view

    def kept_view(*arguments):
        view = make(*arguments)
        kept.append((view, view.clone()))
        return view

    monkeypatch.setattr(codec, "_view", kept_view)
    return kept


def learner(run):
    """What learns, what carries rollouts on, and the port to both."""
    config = run.config()
    dataset = subject.dataset(config, run.data)
    spec, history = dataset.spec, config.actor.history
    rollout = config.rollout
    fresh = StartSampler(dataset, history, rollout.episode_starts)
    carried = CarriedStarts(fresh, spec, rollout, history, 0)
    card = RunCard(
        run=run.name, task=spec, model_servers=(NOBODY,), model=None, rollout=rollout,
        together=0, pessimism=config.pessimism, actor=config.actor,
    )  # fmt: skip
    online = replace(config, ppo=replace(config.ppo, standardise="running"))
    return make_ppo(online, spec), carried, LearnerService(card, carried.draw)


def play(run, dynamics):
    """Imagines and learns for some rounds, all messages over sockets."""
    ppo, carried, service = learner(run)
    batching = Batching(dynamics)
    servers = serve_dynamics(batching, Endpoint()), serve_learner(service, Endpoint())
    clients = DynamicsClient(servers[0].address), LearnerClient(servers[1].address)
    service.publish(ppo.snapshot())
    worker = Worker(clients[1], clients[0], "w", wait_s=0.0)
    for _ in range(ROUNDS):
        while service.waiting_for():
            assert worker.step()
        segments = gather(service)
        carried.take(segments)
        ppo.update(segments)
        service.publish(ppo.snapshot())
    for end in (*clients, *servers):
        (end.close if end in clients else end.stop)()
    batching.close()


@pytest.mark.parametrize("system", ["learned", "simulator"])
def test_nobody_writes_into_a_decoded_tensor(run, model, views, system):
    play(run, model if system == "learned" else Simulator(tasks.get(run.config().task), 1))
    assert len(views) > 100
    assert all(torch.equal(view, copy) for view, copy in views)
    # Negative control: a write would be seen.
    view, copy = next(pair for pair in views if pair[0].is_floating_point() and pair[0].any())
    view.mul_(2)
    assert not torch.equal(view, copy)
