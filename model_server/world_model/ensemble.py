"""E networks as one batched module: (state, action) to a distribution over what changes.

A network's outputs are S state features and one reward, in *output units*: by default the change
of the standardised state and the standardised reward, each scaled to unit variance over the data;
in reference units the next state and the reward as they are. Features that take few values have
no Gaussian: a network of their own says how likely each of their joint values is, and the others
are told which of them comes, so that all that belongs to it comes with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from model_server.world_model.codes import Codes
from model_server.world_model.units import Units
from moma_core import seeds
from moma_core.config import ModelConfig
from moma_core.nets.kernels import Activation, activate
from moma_core.nets.stacked import StackedLinear, StackedNorm, chain
from moma_core.types import TaskSpec

REFERENCE_LOG_STD = (-6.0, 2.0)
TERMINATION_DEPTH = 2
_LEAST_VARIANCE = 1e-6
"""Of a coded feature, in output units, so that its logarithm is one."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What the networks say, in output units."""

    mean: Float32[Tensor, "E N D"]
    """Means; D = S + 1: the state features, then the reward."""
    log_variance: Float32[Tensor, "E N D"]
    code_logit: Float32[Tensor, "E N C"] | None
    """Logits of the codes; None where no feature is coded."""
    termination_logit: Float32[Tensor, "E N"] | None
    """Logit of termination; None where the data holds no terminal."""


class Hidden(nn.Module):
    """The hidden layers of E networks of one shape.

    Args:
        count: E.
        widths: of the input and of every layer after it.
        config: whether layers are normalised.
        generator: draws the weights.
    """

    def __init__(
        self, count: int, widths: list[int], config: ModelConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.layers = nn.ModuleList(StackedLinear(count, i, o, generator) for i, o in pairs)
        self.norms = nn.ModuleList(StackedNorm(count, o) for _, o in pairs) if config.norm else None


class Network(nn.Sequential):
    """E networks of one shape: hidden layers, then a linear head.

    Args:
        count: E.
        widths: of the input, of every hidden layer and of the output.
        config: activation, and whether layers are normalised.
        generator: draws the weights.
    """

    def __init__(
        self, count: int, widths: list[int], config: ModelConfig, generator: torch.Generator
    ) -> None:
        super().__init__(
            Hidden(count, widths[:-1], config, generator),
            StackedLinear(count, widths[-2], widths[-1], generator),
        )
        self.activation: Activation = config.activation

    def forward(self, x: Float32[Tensor, "E N I"]) -> Float32[Tensor, "E N J"]:
        """Maps every network's rows to its outputs."""
        hidden, head = self
        layers, norms = list(hidden.get_submodule("layers").children()), hidden.norms
        if norms is None:
            return chain([*layers, head], x, [self.activation] * len(layers))
        for layer, norm in zip(layers, hidden.get_submodule("norms").children(), strict=True):
            x = activate(norm(layer(x)), self.activation)
        outputs: Tensor = head(x)
        return outputs


class Ensemble(nn.Module):
    """E members; every member sees its own rows, or all the same ones.

    Args:
        task: the team, whose widths the networks have.
        config: architecture and units.
        members: E.
        terminates: whether terminations are predicted; not where the data holds none.
        codes: the features that take few values; None: all are continuous.
        seed: of the weights.
    """

    residuals: Tensor
    """Vectors that draws add to the means, in deviations, `[E K D]`; zeros alone before a fit."""

    def __init__(
        self,
        task: TaskSpec,
        config: ModelConfig,
        *,
        members: int,
        terminates: bool,
        codes: Codes | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        state_width = task.state_width
        generator = seeds.generator(seed, "ensemble")
        self.config = config
        self.units = Units.of(task, config)
        self.codes = Codes.none() if codes is None else codes
        # Mean and log-variance of the state, mean and log-variance of the reward, the
        # termination's logit.
        self.outputs = {"state": 2 * state_width, "reward": 2}
        if terminates:
            self.outputs["termination"] = 1

        told = len(self.codes.features)

        def network(depth: int, outputs: int, inputs: int = self.units.width + told) -> Network:
            hidden = [config.width] * depth
            return Network(members, [inputs, *hidden, outputs], config, generator)

        if told:
            self.code_head = network(config.depth, len(self.codes), self.units.width)

        if config.network == "trunk":
            self.trunk = network(config.depth, sum(self.outputs.values()))
        else:
            self.state_head = network(config.depth, self.outputs["state"])
            self.reward_head = network(config.depth, self.outputs["reward"])
            if terminates:
                self.termination_head = network(TERMINATION_DEPTH, 1)
        bound = torch.ones(members, 1, state_width + 1)
        self.max_log_variance = nn.Parameter(bound * 0.5)
        self.min_log_variance = nn.Parameter(bound * -10.0)
        self.register_buffer("residuals", torch.zeros(members, 1, state_width + 1))

    def forward(
        self, inputs: Float32[Tensor, "E N I"], code: Int64[Tensor, "*E N"] | None = None
    ) -> Outputs:
        """Maps standardised inputs to every member's Gaussian and logits.

        What it says of coded features is in the code's logits alone: see `expected`.

        Args:
            inputs: of every member's rows.
            code: of the next states, as they came; None where nothing is coded.
        """
        return self.given(inputs, self.code_logit(inputs), code)

    def code_logit(self, inputs: Float32[Tensor, "E N I"]) -> Float32[Tensor, "E N C"] | None:
        """Returns the logits of the next states' codes; None where nothing is coded."""
        return self.code_head(inputs) if len(self.codes) else None

    def given(
        self,
        inputs: Float32[Tensor, "E N I"],
        code_logit: Float32[Tensor, "E N C"] | None,
        code: Int64[Tensor, "*E N"] | None,
    ) -> Outputs:
        """Returns what goes with a code of the next states.

        Args:
            inputs: of every member's rows.
            code_logit: what it said of the codes.
            code: of the next states, drawn or as they came; None where nothing is coded.
        """
        if code is not None and code_logit is not None:
            told = self._standardised[code]
            told = told.expand(*inputs.shape[:-1], told.shape[-1])
            inputs = torch.cat([inputs, told], dim=-1)
        if self.config.network == "trunk":
            parts = self.trunk(inputs).split(list(self.outputs.values()), dim=-1)
        else:
            parts = [self.get_submodule(f"{name}_head")(inputs) for name in self.outputs]
        state_mean, state_raw = parts[0].chunk(2, dim=-1)
        reward_mean, reward_raw = parts[1].chunk(2, dim=-1)
        return Outputs(
            mean=torch.cat([state_mean, reward_mean], dim=-1),
            log_variance=self._bounded(torch.cat([state_raw, reward_raw], dim=-1)),
            code_logit=code_logit,
            termination_logit=parts[2].squeeze(-1) if len(parts) == 3 else None,
        )

    def expected(self, inputs: Float32[Tensor, "*E N I"], outputs: Outputs) -> Outputs:
        """Returns the outputs with the codes' mean and variance where features are coded.

        Args:
            inputs: what the networks were asked, standardised.
            outputs: what they said.
        """
        if outputs.code_logit is None:
            return outputs
        chosen = self.codes.features
        weight = outputs.code_logit.softmax(-1)
        value = self._standardised
        reached = weight @ value
        variance = weight @ value.square() - reached.square()
        variance = (variance / self.units.output_std[chosen] ** 2).clamp_min(_LEAST_VARIANCE)
        mean, log_variance = outputs.mean.clone(), outputs.log_variance.clone()
        mean[..., chosen] = self.units.towards(reached, inputs[..., chosen], chosen)
        log_variance[..., chosen] = variance.log()
        return replace(outputs, mean=mean, log_variance=log_variance)

    @property
    def _standardised(self) -> Float32[Tensor, "C F"]:
        """The codes' values, standardised."""
        chosen, units = self.codes.features, self.units
        return (self.codes.values - units.state_mean[chosen]) / units.state_std[chosen]

    @property
    def gaussian(self) -> Bool[Tensor, " D"]:
        """The outputs whose Gaussian counts: neither constant nor coded; the reward's does."""
        counts = nn.functional.pad(~self.units.constant, (0, 1), value=True)
        counts[self.codes.features] = False
        return counts

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
            if isinstance(module, Hidden) and module.norms is None:
                for layer in list(module.layers)[1:]:
                    layer.to(torch.bfloat16)

    def unweight(self, weight: float) -> None:
        """Makes the termination's logits log-odds again that were fitted with a terminal's weight.

        Weighted cross-entropy is least where the odds are the weight times the true ones.
        """
        if "termination" in self.outputs:
            # Of either kind of network the last layer's last output is the termination's logit.
            last = [layer for layer in self.modules() if isinstance(layer, StackedLinear)][-1]
            last.bias.data[..., -1] -= math.log(weight)

    def keep(self, members: list[int]) -> None:
        """Drops all members but these, in this order."""
        for parameter in self.parameters():
            parameter.data = parameter.data[members].contiguous()
        self.residuals = self.residuals[members]
