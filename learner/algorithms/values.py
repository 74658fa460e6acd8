"""Values of what agents see, remember and do, each agent's own or the team's, as networks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from moma_core import seeds
from moma_core.config import ActorConfig, OfflineConfig
from moma_core.nets import memory
from moma_core.nets.stacked import StackedLinear, chain
from moma_core.types import History, TaskSpec


class Values(nn.Module):
    """Values of what agents see and remember, and of what they do there; C copies of each.

    Args:
        spec: the team.
        actor: the memory, which is of the policies' kind.
        config: width and depth.
        seed: of the first weights.
        copies: networks per value, C.
        team: one value of what all agents see and do, or one per agent.
        acts: actions are valued; otherwise what they are done in.
    """

    def __init__(
        self,
        spec: TaskSpec,
        actor: ActorConfig,
        config: OfflineConfig,
        seed: int,
        *,
        copies: int,
        team: bool,
        acts: bool,
    ) -> None:
        super().__init__()
        agents, generator = len(spec.agents), seeds.generator(seed, "values", str(acts))
        self._copies, self._team, self._agents = copies, team, agents
        self.groups = 1 if team else agents
        count, each = copies * self.groups, agents if team else 1
        self.memory = memory.build(actor, copies * agents, spec.frame_width, generator)
        seen = each * (spec.observation_width + self.memory.width)
        done = each * spec.action_width if acts else 0

        def first(inputs: int) -> StackedLinear:
            # Together as one layer of all inputs: what agents do is valued without what they see
            # being computed again for every action.
            scale = sqrt(inputs / (seen + done))
            return StackedLinear(count, inputs, config.width, generator, scale)

        self.state = first(seen)
        self.action = first(done) if acts else None
        widths = [config.width] * config.depth
        self.layers = nn.ModuleList(
            StackedLinear(count, width, width, generator) for width in widths[1:]
        )
        self.head = StackedLinear(count, config.width, 1, generator)

    def seen(
        self, observed: Float32[Tensor, "N A O"], remembered: History
    ) -> Float32[Tensor, "K N W"]:
        """Returns what the first layer makes of what agents see and remember."""
        frames = remembered.frames.transpose(0, 1).repeat(self._copies, 1, 1, 1)
        summary = self.memory(frames, remembered.exists)
        own = torch.cat([observed.transpose(0, 1).repeat(self._copies, 1, 1), summary], dim=-1)
        if self._team:
            own = own.unflatten(0, (self._copies, self._agents)).transpose(1, 2).flatten(2)
        return self.state(own)  # type: ignore[no-any-return]

    def of(
        self, seen: Float32[Tensor, "K N W"], action: Float32[Tensor, "*M N A U"] | None = None
    ) -> Float32[Tensor, "C *M N G"]:
        """Returns the values.

        Args:
            seen: as `seen` gives it.
            action: M joint actions in every row, in the actions' own units; None: no action is
                valued.
        """
        several: Sequence[int] = () if action is None else action.shape[:-3]
        hidden = seen
        if self.action is not None and action is not None:
            own = action.flatten(-2)[None] if self._team else action.movedim(-2, 0)
            own = own.flatten(1, -2).repeat(self._copies, 1, 1)
            done = self.action(own).unflatten(1, (prod(several), seen.shape[1]))
            hidden = (done + seen[:, None]).flatten(1, 2)
        rest = [*self.layers, self.head]
        value = chain(rest, torch.relu(hidden), ["relu"] * len(self.layers))
        shape = (self._copies, self.groups, *several, seen.shape[1])
        return value.reshape(shape).movedim(1, -1)
