"""Behaviour cloning: each agent's part of the log, its memory, the best on held-out episodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learner.algorithms.bc import BehaviourCloning
from moma_core.config import ActorConfig, BCConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.nets.policy import Actors
from moma_core.types import History
from tests.builders import SPEC, write_dataset

CONFIG = BCConfig(rounds=10, updates=20, minibatch=64, learning_rate=1e-2, patience=10)
STILL = ActorConfig(width=16, depth=1, memory="none")


def cloning(dataset, config=CONFIG, actor=STILL, seed=0):
    return BehaviourCloning(Actors(dataset.spec, actor, seed), dataset, config, seed)


def learned(dataset, config=CONFIG, actor=STILL, seed=0):
    algorithm = cloning(dataset, config, actor, seed)
    while not algorithm.done:
        algorithm.update(())
    return algorithm


@pytest.fixture
def linear(tmp_path):
    """Episodes whose agents act on what they see: half of their own first observation."""
    random = np.random.default_rng(0)
    with EpisodeWriter(SPEC, tmp_path / "log", {"maker": "tests"}) as writer:
        for _ in range(60):
            state = random.uniform(-0.8, 0.8, (6, 5)).astype(np.float32)
            action = np.zeros((5, 2, 2), np.float32)
            action[:, 0, 0], action[:, 1, 0] = 0.5 * state[:5, 0], 0.5 * state[:5, 1]
            writer.add(state, action, np.zeros(5, np.float32), terminated=False)
    return Dataset.load(tmp_path / "log")


def mode(algorithm, state):
    observed = algorithm.actors.observed(SPEC.observe(state))
    empty = History.none(len(state), 2, 0, 5)
    with torch.no_grad():
        return algorithm.actors(observed, empty).mode()


def test_every_agent_does_what_its_part_of_the_log_did(linear):
    state = torch.rand(200, 5) * 1.2 - 0.6
    action = mode(learned(linear), state)
    untrained = mode(cloning(linear), state)
    expected = 0.5 * torch.stack([state[:, 0], state[:, 1]], 1)
    assert (action[:, :, 0] - expected).abs().mean() < 0.04
    assert (action[:, 0, 1]).abs().mean() < 0.04
    # Negative control: before training it does something else.
    assert (untrained[:, :, 0] - expected).abs().mean() > 0.1


def test_the_best_on_held_out_episodes_are_kept_and_cloning_stops(tmp_path):
    dataset = write_dataset(tmp_path / "log", episodes=12)
    config = replace(CONFIG, rounds=200, patience=3, learning_rate=3e-2)
    actor = ActorConfig(width=64, depth=2, memory="none")
    algorithm, held = cloning(dataset, config, actor), []
    while not algorithm.done:
        metrics = algorithm.update(()).metrics
        held.append(sum(metrics[f"losses/holdout_nll/{agent}"] for agent in SPEC.agents))
    assert len(held) < 200
    assert len(held) == 1 + int(np.argmin(held)) + 3
    with torch.no_grad():
        kept = algorithm._nll(algorithm.actors, algorithm._held).sum()
        last = algorithm._nll(algorithm._current, algorithm._held).sum()
    assert kept.item() == pytest.approx(min(held), rel=1e-5)
    assert last > kept  # negative control: the last ones are worse


def test_held_out_episodes_are_not_trained_on(tmp_path):
    dataset = write_dataset(tmp_path / "log", episodes=40)
    algorithm = cloning(dataset)
    trained = algorithm._train.at(np.arange(len(algorithm._train)))
    assert not set(dataset.episode_of(trained)) & set(dataset.episode_of(algorithm._held))
    assert len(algorithm._held) > 0


def test_a_bad_row_is_refused_by_the_optimiser_and_not_learned(linear, monkeypatch):
    algorithm = cloning(linear)
    before = algorithm._optimiser.parameters.detach().clone()
    monkeypatch.setattr(
        algorithm, "_nll", lambda *_: algorithm._current.head.bias.sum() * torch.nan * torch.ones(2)
    )
    algorithm.update(())
    assert torch.equal(algorithm._optimiser.parameters, before)
