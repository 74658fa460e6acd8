"""Polynomial game: two agents choose a number each, once, and are paid the product or its negation.

The smallest test of agreement on a strategy with continuous actions: the datasets mix the two good
modes (signs equal, or opposite), and averaging or recombining them is the worst one can do.
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

MODE = 0.8
"""Size of the actions around which the dataset's episodes lie."""
_NOTE = (
    "independent uniformly random actions score 0 (return 0), the best joint action 1 (return 1)"
)


class Polygame:
    """B copies of the game; `sign` is that of the product's coefficient."""

    def __init__(self, sign: int, count: int) -> None:
        self._sign, self._count = sign, count

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:  # noqa: ARG002 - all starts are alike
        """Starts one episode in every copy; the state holds nothing but a constant."""
        return torch.ones(self._count, 1)

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Pays the signed product and terminates."""
        paid = self._sign * action.prod(1).squeeze(-1)
        return torch.ones(self._count, 1), paid, torch.ones(self._count, dtype=torch.bool)


def modes(sign: int, spec: TaskSpec, path: Path, config: DataConfig, seed: int) -> Dataset:
    """Makes `config.episodes` episodes, each near one of the two good modes, drawn evenly.

    Actions are +-0.8 with normal noise of `config.noise`, clipped to [-1, 1].

    Args:
        sign: of the product's coefficient: 1 where equal signs pay, -1 where opposite ones do.
        spec: the team.
        path: the dataset's directory.
        config: how many episodes, and the noise's standard deviation.
        seed: of every draw.
    """
    random = np.random.default_rng(seeds.derive(seed, "polygame"))
    first = random.choice((-1, 1), size=config.episodes)
    mean = MODE * np.stack([first, sign * first], axis=1)
    noisy = mean + config.noise * random.standard_normal(mean.shape)
    action = torch.from_numpy(noisy.clip(-1, 1).astype(np.float32)).unsqueeze(-1)
    game = Polygame(sign, config.episodes)
    before = game.reset(seed)
    after, reward, _ = game.step(action)
    states = torch.stack([before, after], 1).numpy()
    maker = f"both good modes of size {MODE} alike, normal noise"
    origin = {"variant": "modes", "maker": maker, "noise": config.noise, "seed": seed}
    with EpisodeWriter(spec, path, origin) as writer:
        for episode in range(config.episodes):
            rows = slice(episode, episode + 1)
            writer.add(states[episode], action[rows].numpy(), reward[rows].numpy(), terminated=True)
    return Dataset.load(path)


def plus() -> Task:
    """Equal signs pay."""
    return _task("polygame-plus", 1)


def minus() -> Task:
    """Opposite signs pay."""
    return _task("polygame-minus", -1)


def _task(name: str, sign: int) -> Task:
    spec = TaskSpec(
        name=name,
        agents=("agent_0", "agent_1"),
        state_names=("constant",),
        observation_index=((0,), (0,)),
        action_low=((-1.0,), (-1.0,)),
        action_high=((1.0,), (1.0,)),
        episode_limit=1,
    )
    return Task(
        spec=spec,
        environment=partial(Polygame, sign),
        variants={"modes": partial(modes, sign, spec)},
        return_at_zero=0.0,
        return_at_one=1.0,
        note=_NOTE,
    )
