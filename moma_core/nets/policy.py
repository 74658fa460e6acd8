"""Decentralised actors: one network per agent, stacked; each sees its own observations only.

Knows the task's widths, not its meaning, and not how it is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from moma_core import seeds
from moma_core.config import ActorConfig
from moma_core.nets import memory
from moma_core.nets.distributions import Categorical, Distribution, Gaussian, Mixed
from moma_core.nets.history import Path
from moma_core.nets.stacked import StackedLinear, chain, precision
from moma_core.types import History, TaskSpec

_HEAD_SCALE = 0.01
"""Scale of the head's first weights: a new policy explores around zero, or all choices alike."""


class Actors(nn.Module):
    """Every agent's policy over its own action, given observation and memory.

    Args:
        spec: the task: its agents and the widths of what they observe and do.
        config: memory, networks and spread of the actions.
        seed: of the first weights.
    """

    observation_mean: Tensor
    observation_std: Tensor
    action_mask: Tensor
    chooses: Tensor

    def __init__(self, spec: TaskSpec, config: ActorConfig, seed: int = 0) -> None:
        super().__init__()
        self.spec, self.config = spec, config
        self.hidden = torch.float32
        """What an update may compute hidden layers in (`moma_core.nets.stacked.chain`)."""
        self.distribution: type[Distribution] = (
            Categorical if all(spec.discrete) else Mixed if any(spec.discrete) else Gaussian
        )
        agents, observed, acted = len(spec.agents), spec.observation_width, spec.action_width
        generator = seeds.generator(seed, "actors")
        self.memory = memory.build(config, agents, spec.frame_width, generator)
        widths = [observed + self.memory.width, *[config.width] * config.depth]
        self.layers = nn.ModuleList(
            StackedLinear(agents, i, o, generator) for i, o in pairwise(widths)
        )
        spread = config.state_dependent_std and self.distribution is not Categorical
        outputs = 2 * acted if spread else acted
        self.head = StackedLinear(agents, config.width, outputs, generator, scale=_HEAD_SCALE)
        self.log_std = (
            None
            if self.distribution is Categorical
            else nn.Parameter(torch.full((agents, 1, acted), config.log_std))
        )
        self.register_buffer("observation_mean", torch.zeros(agents, observed))
        self.register_buffer("observation_std", torch.ones(agents, observed))
        self.register_buffer("action_mask", spec.action_mask.clone(), persistent=False)
        self.register_buffer("chooses", spec.chooses.clone(), persistent=False)

    def standardise(self, mean: Float32[Tensor, "A O"], std: Float32[Tensor, "A O"]) -> None:
        """Sets the observation statistics that travel with the policy."""
        self.observation_mean.copy_(mean)
        self.observation_std.copy_(std)

    def standardise_states(self, mean: Float32[Tensor, " S"], std: Float32[Tensor, " S"]) -> None:
        """Sets the observation statistics from those of joint states, deviations above 0."""
        padding = (~self.spec.observation_mask).float().to(mean.device)
        self.standardise(self.spec.observe(mean), self.spec.observe(std) + padding)

    def observed(self, observation: Float32[Tensor, "*N A O"]) -> Float32[Tensor, "*N A O"]:
        """Returns observations in the networks' units."""
        return (observation - self.observation_mean) / self.observation_std

    def remembered(self, history: History) -> History:
        """Returns a history in the networks' units; frames that do not exist stay zero."""
        width = self.observation_mean.shape[1]
        past = history.frames[..., :width].transpose(1, 2)
        past = self.observed(past).transpose(1, 2)
        frames = torch.cat([past, history.frames[..., width:]], dim=-1)
        return replace(history, frames=frames * history.exists[:, None, :, None])

    def rounded(self, path: Path, rows: int) -> Path:
        """Returns frames as an update in minibatches of `rows` may keep them.

        That is in the precision that the networks would round them to first, where nothing else
        sees them: half as much to gather for every minibatch.

        Args:
            path: frames in the networks' units.
            rows: steps of a minibatch, N.
        """
        if next(self.memory.parameters(), None) is not None:
            return path
        kept = precision(rows, self.config.width, path.frames.device, self.hidden)
        return replace(path, frames=path.frames.to(kept))

    def forward(self, observed: Float32[Tensor, "N A O"], remembered: History) -> Distribution:
        """Returns the distribution of every agent's action: the kind that the task's actions need.

        Args:
            observed: `[N A O]`, as `observed` gives it.
            remembered: as `remembered` gives it, or windows shifted by frames of such units, or of
                frames as `rounded` gives them.
        """
        summary = self.memory(remembered.frames.transpose(0, 1), remembered.exists)
        inputs = torch.cat([observed.transpose(0, 1).to(summary.dtype), summary], dim=-1)
        activations = [self.config.activation] * len(self.layers)
        outputs = chain([*self.layers, self.head], inputs, activations, self.hidden)
        if self.log_std is None:
            return Categorical(logits=outputs.transpose(0, 1), mask=self.action_mask)
        mean, log_std = (
            outputs.chunk(2, dim=-1)
            if self.config.state_dependent_std
            else (outputs, torch.zeros_like(outputs))
        )
        low, high = self.config.log_std_min, self.config.log_std_max
        log_std = torch.clamp(self.log_std + log_std, low, high)
        gaussian = Gaussian(
            mean=mean.transpose(0, 1), log_std=log_std.transpose(0, 1), mask=self.action_mask
        )
        if self.distribution is Gaussian:
            return gaussian
        categorical = Categorical(logits=gaussian.mean, mask=self.action_mask)
        return Mixed(gaussian=gaussian, categorical=categorical, chooses=self.chooses)

    def copy(self) -> Actors:
        """Returns other actors with the same parameters and statistics."""
        other = Actors(self.spec, self.config)
        other.load(self.state_dict())
        other.hidden = self.hidden
        return other

    def alone(self, agent: int) -> Actors:
        """Returns one agent's policy as actors of one, of the same widths, padding included."""
        one = deepcopy(self)
        of_each = (*one.parameters(), one.observation_mean, one.observation_std)
        for part in (*of_each, one.action_mask, one.chooses):
            part.data = part.data[agent : agent + 1].clone()
        return one

    def load(self, parameters: Mapping[str, Tensor]) -> None:
        """Takes parameters and statistics by name, as `state_dict` gives them."""
        self.load_state_dict(dict(parameters))
