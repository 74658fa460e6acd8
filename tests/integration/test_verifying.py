"""A segment that is made again: rounding passes, what is made up does not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
import torch

from learner.service import LearnerService
from learner.starts import drawing
from learner.verifying import Verifier
from model_server.world_model import files
from moma_core.datasets import StartSampler
from moma_core.ports import InvalidFieldError
from moma_core.rpc.dynamics import DynamicsClient
from moma_core.runtime import subject
from rollout_workers.worker import Worker
from tests.builders import free_address
from tests.integration.parts import make_service, serving

FORGED = {
    "rewards a hundredth higher": lambda s: replace(s, reward=s.reward * 1.01),
    "no penalty": lambda s: replace(s, reward=s.reward + s.penalty, penalty=s.penalty * 0),
    "other states": lambda s: replace(s, state=torch.cat([s.state[:1], s.state[1:] * 0.99])),
    "actions of another policy": lambda s: replace(s, action=s.action.roll(1, dims=1)),
    "likelier actions": lambda s: replace(s, log_prob=s.log_prob + 0.01),
}  # fmt: skip
"""Whole segments within the model's range that begin where they were to."""


class Forger:
    """A learner's side on which what a worker sends is changed on its way."""

    def __init__(self, service, forge):
        self._service, self._forge = service, forge
        self.describe, self.assign = service.describe, service.assign
        self.fetch_policy = service.fetch_policy

    def submit(self, segment):
        return self._service.submit(self._forge(segment))


@pytest.fixture
def service(run, model):
    """A learner's service that knows its model; its first round is open."""
    dataset, config = subject.dataset(run.config(), run.data), run.config()
    told = replace(
        make_service(run).describe(), pessimism=replace(config.pessimism, disagreement=9.0)
    )
    starts = StartSampler(dataset, config.actor.history, 0.5)
    made = LearnerService(told, drawing(starts, 0), model=model.describe())
    made.publish(make_service(run).fetch_policy())
    return made


@pytest.fixture
def served(model):
    with serving(model) as (_, address):
        client = DynamicsClient(address)
        yield client
        client.close()


def verifying(service, model, dynamics, precision="fp32", draw=lambda: 0.0):
    service.verify = Verifier(service.describe(), model.describe(), dynamics, 0.5, precision, draw)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_workers_really_made_passes(service, run, precision):
    model = files.load(run.model, precision)
    with serving(model) as (_, address), closing(DynamicsClient(address)) as served:
        verifying(service, model, served, precision)
        worker = Worker(service, served, "w", wait_s=0.0)
        while service.waiting_for():
            assert worker.step()
    assert service.counters()["fault/refused_segments"] == 0
    assert sum(len(s.rollouts) for s in service.gather(0.0)) == service.describe().rollout.rows


@pytest.mark.parametrize("which", FORGED)
def test_what_is_made_up_is_refused_and_its_worker_relied_on_no_more(service, model, served, which):
    """A worker sends segments that are plausible, and that the model never answered.

    Symptom: "worker NAME is relied on no more: reward: A, made again it is B" in the learner's log.
    Cause: A worker that is not one's own, or a machine that computes wrongly.
    What we do: With `--verify-share` a sample of segments is made again; the worker of one that
    differs gets no more work.
    What you do: End that worker; beyond loopback, replace the run's tokens.
    """
    verifying(service, model, served)
    with pytest.raises(InvalidFieldError, match="made again it is"):
        Worker(Forger(service, FORGED[which]), served, "w", wait_s=0.0).step()
    assert service.counters()["fault/refused_segments"] == 1
    assert service.assign("w", 0, 0.0).starts is None
    assert "relied on no more" in service.roles()[0].doing
    assert service.assign("other", 0, 0.0).first == 0  # its rollouts are to be had again


def test_what_is_not_of_the_sample_is_taken_as_it_comes(service, model, served):
    verifying(service, model, served, draw=lambda: 0.5)
    forger = Forger(service, FORGED["rewards a hundredth higher"])
    assert Worker(forger, served, "w", wait_s=0.0).step()
    assert service.counters()["fault/refused_segments"] == 0
    assert service.assign("w", 0, 0.0).starts is not None


def test_without_a_model_server_nothing_is_refused(service, model, served):
    with closing(DynamicsClient(free_address())) as away:
        verifying(service, model, away)
        assert Worker(service, served, "w", wait_s=0.0).step()
    assert service.counters()["fault/refused_segments"] == 0
