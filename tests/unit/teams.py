"""Rows of different episodes of made-up teams, for the test of conventions."""

from __future__ import annotations

import numpy as np

from moma.log_tools.conventions import Situations, look
from moma_core.types import TaskSpec


def task(agents, width, *, discrete=False, state=2):
    """A task of like agents that see everything."""
    low = 0.0 if discrete else -1.0
    return TaskSpec(
        name="team",
        agents=tuple(f"agent_{agent}" for agent in range(agents)),
        state_names=tuple(f"s{feature}" for feature in range(state)),
        observation_index=(tuple(range(state)),) * agents,
        action_low=((low,) * width,) * agents,
        action_high=((1.0,) * width,) * agents,
        episode_limit=10,
        discrete=(discrete,) * agents,
    )


def seen(state, action, *, seed=0, discrete=False, scale=1.0):
    """Looks at these rows, `[n S]` and `[n A U]`; the log's features have deviation `scale`."""
    spec = task(action.shape[1], action.shape[2], discrete=discrete, state=state.shape[1])
    rows = Situations(
        where="first step", state=state.astype(np.float32), action=action.astype(np.float32)
    )
    return look(spec, rows, np.full(state.shape[1], scale), seed)


def choices(random, rows, shares, noise, agents=2):
    """All agents make the row's choice, drawn by `shares`; one-hot, `[rows A U]`."""
    width = len(shares)
    convention = random.choice(width, rows, p=shares)[:, None].repeat(agents, axis=1)
    random_choice = random.integers(width, size=(rows, agents))
    chosen = np.where(random.random((rows, agents)) < noise, random_choice, convention)
    return np.eye(width)[chosen]


def network(seed, features, width):
    """A random smooth policy, `[n S] -> [n width]`."""
    random = np.random.default_rng(seed)
    inner = random.normal(size=(features, 32)) * 1.5 / np.sqrt(features)
    outer = random.normal(size=(32, width)) / np.sqrt(32) * 1.5
    shift = random.normal(size=32) * 0.5
    return lambda state: np.tanh(np.tanh(state @ inner + shift) @ outer)
