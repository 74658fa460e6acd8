"""Iterated coordination game: two agents choose one of two actions, ten times; agreeing pays 1.

Our own definition of the smallest game in which a team must settle on a convention. Both agents
see the last joint action, one-hot, and zeros before the first. The datasets mix ways to play, one
per episode: from `favourable` to `unfavourable` each agent's own most frequent action says less
and less about what the team should do.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from moma_core import seeds
from moma_core.config import DataConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.tasks.task import Task
from moma_core.types import TaskSpec

AGENTS = ("agent_0", "agent_1")
ACTIONS, STEPS = 2, 10
MIXTURES = {
    "favourable": {(0, 0): 0.8, (1, 1): 0.2},
    "neutral": {(0, 0): 0.5, (1, 1): 0.5},
    "unfavourable": {(0, 1): 0.6, (0, 0): 0.2, (1, 1): 0.2},
}
"""Joint action to share of the episodes that keep to it. Unfavourable: agent 0 plays 0 in 80 % of
them and agent 1 plays 1 in 80 %, so that the two most frequent actions disagree."""
_STATE = tuple(f"{agent}_played_{action}" for agent in AGENTS for action in range(ACTIONS))
_NOTE = "our own game; uniformly random play scores 0 (return 5), constant agreement 1 (return 10)"


class Icg:
    """B copies of the game."""

    def __init__(self, count: int) -> None:
        self._count = count

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:  # noqa: ARG002 - all starts are alike
        """Starts one episode in every copy: nobody has played yet."""
        return torch.zeros(self._count, len(_STATE))

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Pays 1 where all agents chose the same; the game never terminates."""
        agreed = action.prod(1).sum(-1)
        return action.flatten(1), agreed, torch.zeros(self._count, dtype=torch.bool)


def play(variant: str, spec: TaskSpec, path: Path, config: DataConfig, seed: int) -> Dataset:
    """Makes `config.episodes` episodes of a mixture.

    Each episode keeps to one joint action; each single action is replaced by a uniformly random
    one with probability `config.noise`.

    Args:
        variant: the mixture's name.
        spec: the team.
        path: the dataset's directory.
        config: how many episodes, and the probability of a random action.
        seed: of every draw.
    """
    random = np.random.default_rng(seeds.derive(seed, "icg", variant))
    mixture, count = MIXTURES[variant], config.episodes
    kept = random.choice(len(mixture), size=count, p=list(mixture.values()))
    choice = np.repeat(np.array(list(mixture))[kept][:, None], STEPS, axis=1)
    strays = random.random(choice.shape) < config.noise
    choice = np.where(strays, random.integers(ACTIONS, size=choice.shape), choice)
    action = np.eye(ACTIONS, dtype=np.float32)[choice]
    game = Icg(count)
    states, rewards = [game.reset(seed)], []
    for step in range(STEPS):
        state, reward, _ = game.step(torch.from_numpy(action[:, step]))
        states.append(state)
        rewards.append(reward)
    all_states, all_rewards = torch.stack(states, 1).numpy(), torch.stack(rewards, 1).numpy()
    shares = ", ".join(f"{share:.0%} {joint}" for joint, share in mixture.items())
    maker = f"one joint action per episode, {shares}, single actions at random by noise"
    origin = {"variant": variant, "maker": maker, "noise": config.noise, "seed": seed}
    with EpisodeWriter(spec, path, origin) as writer:
        for episode in zip(all_states, action, all_rewards, strict=True):
            writer.add(*episode, terminated=False)
    return Dataset.load(path)


def icg() -> Task:
    """The game with its three mixtures."""
    everything = tuple(range(len(_STATE)))
    spec = TaskSpec(
        name="icg",
        agents=AGENTS,
        state_names=_STATE,
        observation_index=(everything,) * len(AGENTS),
        action_low=((0.0,) * ACTIONS,) * len(AGENTS),
        action_high=((1.0,) * ACTIONS,) * len(AGENTS),
        episode_limit=STEPS,
        discrete=(True,) * len(AGENTS),
    )
    return Task(
        spec=spec,
        environment=Icg,
        variants={variant: partial(play, variant, spec) for variant in MIXTURES},
        return_at_zero=5.0,
        return_at_one=10.0,
        note=_NOTE,
    )
