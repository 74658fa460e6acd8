"""Methods without a model, where nobody has to agree: each does better than the log it learns from.

So where one of them fails at coordination, it is not for want of learning. With rewards that say
nothing of actions it does not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from learner import build
from moma_core import recipes
from moma_core.config import OfflineConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.tasks import icg, play, polygame

SMALL = OfflineConfig(rounds=1, updates=150, minibatch=32, width=32, learning_rate=1e-2)
BEST = 0.5
"""Action of either agent that pays most; the log's lie around 0."""
CONTINUOUS = ("iql", "ma_iql", "itd3_bc", "matd3_bc", "cql", "omar")


def paid(action):
    """Minus the squared distance of both agents' actions from the best: a sum, not a product."""
    return -np.square(action - BEST).sum((1, 2))


def one_mode(path, *, shuffled=False):
    """A log of one step in which both agents act around 0, each by itself."""
    random = np.random.default_rng(0)
    action = random.normal(0, 0.35, (400, 2, 1)).clip(-1, 1).astype(np.float32)
    reward = paid(action).astype(np.float32)
    reward = random.permutation(reward) if shuffled else reward
    with EpisodeWriter(polygame.plus().spec, path, {"maker": "tests"}) as writer:
        for one, worth in zip(action, reward, strict=True):
            writer.add(np.ones((2, 1), np.float32), one[None], worth[None], terminated=True)
    return Dataset.load(path)


def learned(name, recipe, dataset, path):
    config = replace(recipes.get(recipe), algorithm=name, offline=SMALL)
    algorithm = build.algorithm(config, dataset, path)
    while not algorithm.done:
        algorithm.update(())
    return algorithm


def worth(algorithm, task):
    """What the most likely actions are worth in the game of one step."""
    seen = []

    class Game(polygame.Polygame):
        def step(self, action):
            seen.append(paid(action.numpy()))
            return super().step(action)

    play.evaluate(algorithm.actors, task.spec, Game(1, 2), 0)
    return float(seen[0].mean())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_each_does_better_than_what_it_learns_from(tmp_path, name):
    task, dataset = polygame.plus(), one_mode(tmp_path / "log")
    behaviour, cloned = float(dataset.returns().mean()), float(paid(np.zeros((1, 2, 1)))[0])
    reached = worth(learned(name, "polygame-plus", dataset, tmp_path), task)
    assert behaviour < cloned < -0.4
    assert reached > cloned + 0.15
    # Negative control: where rewards say nothing of actions, it is not led there.
    noise = one_mode(tmp_path / "noise", shuffled=True)
    assert worth(learned(name, "polygame-plus", noise, tmp_path), task) < reached - 0.1


@pytest.mark.parametrize("name", ["iql", "ma_iql", "cql"])
def test_choices_of_one_convention_are_learned(tmp_path, name):
    """Four of five episodes agree on 0; the rest of the log is play at random."""
    random, task = np.random.default_rng(0), icg.icg()
    with EpisodeWriter(task.spec, tmp_path / "log", {"maker": "tests"}) as writer:
        for _ in range(200):
            choice = random.integers(2, size=(10, 2)) * (random.random((10, 2)) < 0.5)
            action = np.eye(2, dtype=np.float32)[choice]
            state = np.concatenate([np.zeros((1, 4)), action.reshape(10, 4)]).astype(np.float32)
            agreed = (choice[:, 0] == choice[:, 1]).astype(np.float32)
            writer.add(state, action, agreed, terminated=False)
    dataset = Dataset.load(tmp_path / "log")
    algorithm = learned(name, "icg", dataset, tmp_path)
    returns = play.evaluate(algorithm.actors, task.spec, task.copies(2), 0)
    assert float(dataset.returns().mean()) < 7
    assert torch.equal(returns, torch.full((2,), 10.0))
