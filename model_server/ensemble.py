"""E networks as one batched module: (state, action) to a Gaussian over what changes.

A network's outputs are S state features and one reward, in *output units*: by default the change
of the standardised state and the standardised reward, each scaled to unit variance over the data;
in reference units the next state and the reward as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from model_server.units import Units
from moma import seeds
from moma.config import ModelConfig
from moma.stacked import StackedLinear, StackedNorm
from moma.types import TaskSpec

REFERENCE_LOG_STD = (-6.0, 2.0)
TERMINATION_DEPTH = 2


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What the networks say, in output units."""

    mean: Float32[Tensor, "E N D"]
    """D = S + 1: the state features, then the reward."""
    log_variance: Float32[Tensor, "E N D"]
    termination_logit: Float32[Tensor, "E N"] | None
    """None where the data holds no terminal."""


class StackedMLP(nn.Module):
    """The hidden layers of E networks of one shape."""

    def __init__(
        self, count: int, widths: list[int], config: ModelConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.activate = nn.functional.silu if config.activation == "silu" else torch.relu
        pairs = list(pairwise(widths))
        self.layers = nn.ModuleList(StackedLinear(count, i, o, generator) for i, o in pairs)
        self.norms = nn.ModuleList(StackedNorm(count, o) for _, o in pairs) if config.norm else None

    def forward(self, x: Float32[Tensor, "E N I"]) -> Float32[Tensor, "E N J"]:
        """Applies every layer and its activation."""
        for i, layer in enumerate(self.layers):
            x = layer(x.to(layer.get_parameter("weight").dtype))
            x = self.activate(x if self.norms is None else self.norms[i](x))
        return x.float()


class Ensemble(nn.Module):
    """E members; every member sees its own rows, or all the same ones."""

    def __init__(
        self,
        task: TaskSpec,
        config: ModelConfig,
        *,
        members: int,
        terminates: bool,
        seed: int = 0,
    ) -> None:
        """Builds `members` networks for a task; without terminals there is nothing to predict."""
        super().__init__()
        state_width, actions = task.state_width, len(task.agents) * task.action_width
        generator = seeds.generator(seed, "ensemble")
        trunk = config.network == "trunk"
        self.config = config
        self.units = Units(state_width, actions, standardised=config.units == "standardised")
        inputs, hidden = state_width + actions, [config.width] * config.depth

        def head(depth: int, outputs: int) -> nn.Sequential:
            widths = [] if trunk else [inputs, *[config.width] * depth]
            body = [StackedMLP(members, widths, config, generator)] if widths else []
            return nn.Sequential(*body, StackedLinear(members, config.width, outputs, generator))

        self.trunk = (
            StackedMLP(members, [inputs, *hidden], config, generator) if trunk else nn.Identity()
        )
        self.state_head = head(config.depth, 2 * state_width)
        self.reward_head = head(config.depth, 2)
        self.termination_head = head(TERMINATION_DEPTH, 1) if terminates else None
        bound = torch.ones(members, 1, state_width + 1)
        self.max_log_variance = nn.Parameter(bound * 0.5)
        self.min_log_variance = nn.Parameter(bound * -10.0)

    def forward(self, inputs: Float32[Tensor, "E N I"]) -> Outputs:
        """Maps standardised inputs to every member's Gaussian and termination logit."""
        hidden = self.trunk(inputs)
        state_mean, state_raw = self.state_head(hidden).chunk(2, dim=-1)
        reward_mean, reward_raw = self.reward_head(hidden).chunk(2, dim=-1)
        return Outputs(
            mean=torch.cat([state_mean, reward_mean], dim=-1),
            log_variance=self._bounded(torch.cat([state_raw, reward_raw], dim=-1)),
            termination_logit=None
            if self.termination_head is None
            else self.termination_head(hidden).squeeze(-1),
        )

    def _bounded(self, raw: Float32[Tensor, "E N D"]) -> Float32[Tensor, "E N D"]:
        """Soft learned bounds (Chua et al. 2018, appendix A.1), or the published hard clamp."""
        if self.config.bounds == "clamped":
            low, high = REFERENCE_LOG_STD
            return 2 * raw.clamp(low, high)
        soft = nn.functional.softplus
        raw = self.max_log_variance - soft(self.max_log_variance - raw)
        return self.min_log_variance + soft(raw - self.min_log_variance)

    def lower(self) -> None:
        """Puts the layers between hidden layers, nearly all of the work, into bf16.

        First and last layers, LayerNorm and everything after them stay in fp32.
        """
        for module in self.modules():
            if isinstance(module, StackedMLP) and module.norms is None:
                for layer in list(module.layers)[1:]:
                    layer.to(torch.bfloat16)

    def keep(self, members: list[int]) -> None:
        """Drops all members but these, in this order."""
        for parameter in self.parameters():
            parameter.data = parameter.data[members].contiguous()
