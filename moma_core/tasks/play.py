"""The policies in an environment, every agent with its own memory."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from moma_core import seeds
from moma_core.nets import history
from moma_core.nets.policy import Actors
from moma_core.tasks.task import Environment
from moma_core.types import History, TaskSpec


def evaluate(
    actors: Actors, spec: TaskSpec, environment: Environment, seed: int, *, sampled: bool = False
) -> Float32[Tensor, " B"]:
    """Plays one episode in every copy of the environment.

    Args:
        actors: the policies.
        spec: the task.
        environment: B copies of the task's environment, or of a model of it.
        seed: of the start states, and of actions that are drawn.
        sampled: draw actions from the policies; otherwise the most likely ones are taken.

    Returns:
        The undiscounted return of every episode, `[B]`.
    """
    state = environment.reset(seed)
    returns = torch.zeros(len(state))
    alive = torch.ones(len(state), dtype=torch.bool)
    begun = History.none(len(state), len(spec.agents), actors.config.history, spec.frame_width)
    remembered = history.Ring(begun)
    draw = seeds.rows(seeds.derive(seed, "actions"), len(state))
    with torch.no_grad():
        for step in range(spec.episode_limit):
            observed = actors.observed(spec.observe(state))
            given = actors(observed, remembered.window)
            action = given.mode()
            if sampled:
                now = seeds.along(draw, torch.full_like(draw, step), seeds.ACTIONS)
                shape = len(spec.agents), spec.action_width
                action = given.sample(given.noise(seeds.grid(now, shape)))
            action = spec.clamp(action)
            remembered.push(observed, action)
            state, reward, terminated = environment.step(action)
            returns += reward * alive
            alive &= ~terminated
            if not alive.any():
                break
    return returns
