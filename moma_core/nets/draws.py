"""All draws of some rollouts, each from its own seed: the same ones whoever makes a rollout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from moma_core import seeds
from moma_core.config import RolloutConfig
from moma_core.nets.policy import Actors

_MEMBERS = 33
"""Stream of the draws of members."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """A segment's, step by step."""

    noise: Float32[Tensor, "T B A U"]
    member: Int64[Tensor, "T B"]
    """Seeds by which the model draws members."""


def drawn(actors: Actors, seed: Int64[Tensor, " B"], settings: RolloutConfig) -> Draws:
    """Returns all draws of some rollouts, each from its own seed.

    Args:
        actors: the team, whose distribution says what noise it needs.
        seed: of each rollout.
        settings: the horizon T, and how long a row stays with one member.
    """
    shape = len(actors.spec.agents), actors.spec.action_width
    seed = seed.expand(settings.horizon, -1)
    step = torch.arange(settings.horizon)[:, None].expand_as(seed)
    acting = seeds.along(seed, step, seeds.ACTIONS)
    asked = seeds.along(seed, step * (settings.member_per == "step"), _MEMBERS)
    return Draws(noise=actors.distribution.noise(seeds.grid(acting, shape)), member=asked)
