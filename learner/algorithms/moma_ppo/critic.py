"""The centralised critic on the joint state, and the running scale of what it predicts."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from moma_core import seeds
from moma_core.config import PPOConfig
from moma_core.nets.stacked import StackedLinear, chain

_DECAY = 0.95
"""How much of the running return statistics a round keeps."""


class Critic(nn.Module):
    """Value of a joint state, in normalised units; it may see all: it is used in training only.

    Args:
        mean: of every state feature, to standardise by.
        std: of every state feature, greater than 0.
        config: width, depth and activation.
        seed: of the first weights.
        limit: steps of an episode, of which the critic sees the share that is over; None: it does
            not see it.
    """

    state_mean: Tensor
    state_std: Tensor

    def __init__(
        self,
        mean: Float32[Tensor, " S"],
        std: Float32[Tensor, " S"],
        config: PPOConfig,
        seed: int,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        generator = seeds.generator(seed, "critic")
        self._limit = limit
        inputs = len(mean) + (limit is not None)
        widths = [inputs, *[config.value_width] * config.value_depth]
        self.layers = nn.ModuleList(StackedLinear(1, i, o, generator) for i, o in pairwise(widths))
        self.head = StackedLinear(1, widths[-1], 1, generator)
        self.hidden = torch.float32
        """What an update may compute hidden layers in (`moma_core.nets.stacked.chain`)."""
        self._activations = [config.value_activation] * config.value_depth
        self.register_buffer("state_mean", mean.clone())
        self.register_buffer("state_std", std.clone())

    def forward(
        self, state: Float32[Tensor, "*N S"], age: Int64[Tensor, "*N"]
    ) -> Float32[Tensor, "*N"]:
        """Returns normalised values of states in which an episode is some steps old."""
        inputs = (state - self.state_mean) / self.state_std
        if self._limit is not None:
            over = 2 * age[..., None] / self._limit - 1
            inputs = torch.cat([inputs, over], dim=-1)
        inputs = inputs.flatten(0, -2)[None]
        value = chain([*self.layers, self.head], inputs, self._activations, self.hidden)
        return value.reshape(state.shape[:-1])


class RunningMoments(nn.Module):
    """Mean and standard deviation of all joint states so far (Chan, Golub, LeVeque 1983)."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(width, dtype=torch.float64))

    def update(self, state: Float32[Tensor, "N S"]) -> None:
        """Takes in one round's states."""
        exact = state.double()
        total = self.count + len(exact)
        mean = exact.mean(0)
        offset = mean - self.mean
        self.squares += (exact - mean).square().sum(0)
        self.squares += offset.square() * self.count * len(exact) / total
        self.mean += offset * len(exact) / total
        self.count.copy_(total)

    def std(self) -> Float32[Tensor, " S"]:
        """Standard deviation per feature; 1 where a feature does not vary."""
        std = (self.squares / self.count.clamp_min(1)).sqrt().float()
        return torch.where(std > 1e-6, std, torch.ones_like(std))


class ValueScale(nn.Module):
    """Running mean and standard deviation of returns, debiased as in Adam (Kingma, Ba 2015)."""

    first: Tensor
    second: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second", "weight"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def update(self, returns: Float32[Tensor, " N"]) -> None:
        """Takes in one round's returns, or none of them: what is not finite would stay for good."""
        exact = returns.double()
        if not exact.isfinite().all():
            return
        self.first.mul_(_DECAY).add_((1 - _DECAY) * exact.mean())
        self.second.mul_(_DECAY).add_((1 - _DECAY) * exact.square().mean())
        self.weight.mul_(_DECAY).add_(1 - _DECAY)

    def normalise(self, value: Float32[Tensor, "*N"]) -> Float32[Tensor, "*N"]:
        """Returns to the critic's units."""
        mean, std = self._moments()
        return (value - mean) / std

    def restore(self, value: Float32[Tensor, "*N"]) -> Float32[Tensor, "*N"]:
        """The critic's units to returns."""
        mean, std = self._moments()
        return value * std + mean

    def _moments(self) -> tuple[Tensor, Tensor]:
        if self.weight == 0:
            return torch.zeros(()), torch.ones(())
        mean = self.first / self.weight
        variance = self.second / self.weight - mean.square()
        return mean.float(), variance.clamp_min(1e-8).sqrt().float()
