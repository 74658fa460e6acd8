"""Cloning a log that only memory can tell, with every kind of memory."""

import numpy as np
import pytest
import torch

from learner.algorithms.bc import BehaviourCloning
from moma_core.config import ActorConfig, BCConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.nets.policy import Actors
from moma_core.tasks import icg

CONFIG = BCConfig(rounds=10, updates=20, minibatch=64, learning_rate=1e-2, patience=10)


def repeating(path, episodes=80):
    """A log of choices in which what an agent does is what it did two steps before."""
    random, spec = np.random.default_rng(1), icg.icg().spec
    with EpisodeWriter(spec, path, {"maker": "tests"}) as writer:
        for _ in range(episodes):
            choice = random.integers(2, size=(10, 2))
            for step in range(2, 10):
                choice[step] = choice[step - 2]
            action = np.eye(2, dtype=np.float32)[choice]
            state = np.zeros((11, 4), np.float32)  # they see nothing: only memory can tell
            writer.add(state, action, np.zeros(10, np.float32), terminated=False)
    return Dataset.load(path)


@pytest.fixture
def held_out(tmp_path):
    """Clones a log that only memory can tell; returns its mean loss on held-out episodes."""

    def measured(memory):
        actor = ActorConfig(width=32, depth=1, frames=4, memory=memory, memory_width=16)
        log = repeating(tmp_path / "log")
        algorithm = BehaviourCloning(Actors(log.spec, actor, 0), log, CONFIG, 0)
        while not algorithm.done:
            algorithm.update(())
        with torch.no_grad():
            return algorithm._nll(algorithm.actors, algorithm._held).mean()

    return measured


@pytest.mark.parametrize("memory", ["frames", "attention", "gru"])
def test_memory_tells_what_observations_do_not(held_out, memory):
    assert held_out(memory) < 0.45  # of ln 2 = 0.69: the first two of ten steps are drawn


def test_without_memory_nothing_tells(held_out):
    assert held_out("none") > 0.6
