"""Environments of other people, made as a user's factory would, and what their teams are."""

from __future__ import annotations

import numpy as np
import torch

from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.tasks.pettingzoo import PettingZoo
from moma_core.types import TaskSpec

HERE = "tests.integration.teams"


def halfcheetah():
    """MaMuJoCo's HalfCheetah with a leg per agent; it warns of things that do not concern us."""
    from gymnasium_robotics import mamujoco_v1

    return mamujoco_v1.parallel_env("HalfCheetah", "2x3", agent_obsk=0)


def spread():
    """MPE's spread: three agents, five discrete actions each, 25 steps."""
    from mpe2 import simple_spread_v3

    return simple_spread_v3.parallel_env()


def brief_spread():
    """The same, truncated after ten steps."""
    from mpe2 import simple_spread_v3

    return simple_spread_v3.parallel_env(max_cycles=10)


def team(name, agents, observed, acted, bound, *, limit, discrete=False):
    """A team whose joint state is all observations side by side."""
    names = tuple(f"agent_{agent}" for agent in range(agents))
    low = 0.0 if discrete else -bound
    return TaskSpec(
        name=name,
        agents=names,
        state_names=tuple(f"{agent}.{feature}" for agent in names for feature in range(observed)),
        observation_index=tuple(
            tuple(range(agent * observed, (agent + 1) * observed)) for agent in range(agents)
        ),
        action_low=((low,) * acted,) * agents,
        action_high=((bound,) * acted,) * agents,
        episode_limit=limit,
        discrete=(discrete,) * agents,
    )


HALFCHEETAH = team("halfcheetah", 2, 11, 3, 1.0, limit=1000)
SPREAD = team("spread", 3, 18, 5, 1.0, limit=25, discrete=True)


def random_play(path, episodes=20, seed=0):
    """A log of spread by agents that choose at random, as a user would write it."""
    random, system = np.random.default_rng(seed), PettingZoo(spread, SPREAD, episodes)
    states, actions, rewards = [system.reset(seed)], [], []
    over = torch.zeros(episodes, dtype=torch.bool)
    while not over.all():
        choice = random.integers(5, size=(episodes, 3))
        actions.append(torch.from_numpy(np.eye(5, dtype=np.float32)[choice]))
        state, reward, over = system.step(actions[-1])
        states.append(state)
        rewards.append(reward)
    parts = [torch.stack(part, 1).numpy() for part in (states, actions, rewards)]
    with EpisodeWriter(SPREAD, path, {"maker": "random play"}) as writer:
        for state, action, reward in zip(*parts, strict=True):
            writer.add(state, action, reward, terminated=False)
    return Dataset.load(path)
