"""What an actor draws its action from: distributions of one shape. Pure.

Actions are float32 `[N A U]` always: continuous values, or one-hot over an agent's own dimensions.
`mask` says which dimensions are an agent's own; padding counts for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

_IMPOSSIBLE = -1e9
"""Logit of a padded choice: its probability is exactly 0, and no product with it is NaN."""


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Every agent's diagonal Gaussian over its continuous action."""

    mean: Float32[Tensor, "N A U"]
    log_std: Float32[Tensor, "N A U"]
    mask: Bool[Tensor, "A U"]

    @staticmethod
    def noise(uniform: Float64[Tensor, "*N A U"]) -> Float32[Tensor, "*N A U"]:
        """Returns what `sample` needs of numbers in (0, 1): standard normal, by their quantile."""
        normal: Tensor = torch.special.ndtri(uniform)
        return normal.float()

    def sample(self, noise: Float32[Tensor, "N A U"]) -> Float32[Tensor, "N A U"]:
        """Returns mean + std * noise, zero in the padding."""
        return (self.mean + self.log_std.exp() * noise) * self.mask

    def mode(self) -> Float32[Tensor, "N A U"]:
        """Returns the most likely action: the mean."""
        return self.mean

    def log_prob(self, action: Float32[Tensor, "N A U"]) -> Float32[Tensor, "N A"]:
        """Returns the log-density of each agent's action, summed over its own dimensions."""
        scaled = (action - self.mean) * torch.exp(-self.log_std)
        density = -0.5 * scaled.square() - self.log_std - 0.5 * math.log(2 * math.pi)
        return (density * self.mask).sum(-1)

    def entropy(self) -> Float32[Tensor, "N A"]:
        """Returns each agent's differential entropy in nats: 1/2 log(2 pi e std^2), summed."""
        return ((self.log_std + 0.5 * math.log(2 * math.pi * math.e)) * self.mask).sum(-1)

    def kl(self, other: Gaussian) -> Float32[Tensor, "N A"]:
        """Returns each agent's KL(self || other) in nats, summed over its own dimensions."""
        ratio = 2 * (self.log_std - other.log_std)
        apart = (self.mean - other.mean).square() * torch.exp(-2 * other.log_std)
        return (0.5 * (ratio.exp() - 1 - ratio + apart) * self.mask).sum(-1)


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """Every agent's choice of one of its own dimensions; actions are one-hot."""

    logits: Float32[Tensor, "N A U"]
    mask: Bool[Tensor, "A U"]

    @staticmethod
    def noise(uniform: Float64[Tensor, "*N A U"]) -> Float32[Tensor, "*N A U"]:
        """Returns Gumbel noise of numbers in (0, 1): the largest logit + noise is the draw."""
        return -torch.log(-torch.log(uniform)).float()

    @cached_property
    def mean(self) -> Float32[Tensor, "N A U"]:
        """Probability of every choice: the mean of the one-hot action."""
        return self._log_probs.exp()

    def sample(self, noise: Float32[Tensor, "N A U"]) -> Float32[Tensor, "N A U"]:
        """Returns a one-hot draw (the Gumbel-max trick: Maddison et al. 2014, section 2)."""
        return self._one_hot((self._log_probs + noise).argmax(-1))

    def mode(self) -> Float32[Tensor, "N A U"]:
        """Returns the most likely action, one-hot; of equals the first."""
        return self._one_hot(self._log_probs.argmax(-1))

    def log_prob(self, action: Float32[Tensor, "N A U"]) -> Float32[Tensor, "N A"]:
        """Returns the log-probability of each agent's one-hot action."""
        return (self._log_probs * action).sum(-1)

    def entropy(self) -> Float32[Tensor, "N A"]:
        """Returns each agent's entropy in nats."""
        return -(self._log_probs * self.mean).sum(-1)

    def kl(self, other: Categorical) -> Float32[Tensor, "N A"]:
        """Returns each agent's KL(self || other) in nats."""
        return ((self._log_probs - other._log_probs) * self.mean).sum(-1)

    @cached_property
    def _log_probs(self) -> Float32[Tensor, "N A U"]:
        return torch.log_softmax(self.logits.masked_fill(~self.mask, _IMPOSSIBLE), dim=-1)

    def _one_hot(self, choice: Int64[Tensor, "N A"]) -> Float32[Tensor, "N A U"]:
        return torch.nn.functional.one_hot(choice, self.logits.shape[-1]).float()


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A choice for the agents that choose, a Gaussian for the others.

    Either distribution holds every agent; what it says of those that are not its own is dropped.
    """

    gaussian: Gaussian
    categorical: Categorical
    chooses: Bool[Tensor, " A"]

    noise = staticmethod(Gaussian.noise)

    @cached_property
    def mean(self) -> Float32[Tensor, "N A U"]:
        """Mean of the action, or probability of every choice."""
        return self._of_each(self.categorical.mean, self.gaussian.mean)

    def sample(self, noise: Float32[Tensor, "N A U"]) -> Float32[Tensor, "N A U"]:
        """Returns a draw; choices take the Gumbel that has the quantile of the normal noise."""
        gumbel = -torch.log(-torch.special.log_ndtr(noise))
        return self._of_each(self.categorical.sample(gumbel), self.gaussian.sample(noise))

    def mode(self) -> Float32[Tensor, "N A U"]:
        """Returns the most likely action of each agent."""
        return self._of_each(self.categorical.mode(), self.gaussian.mode())

    def log_prob(self, action: Float32[Tensor, "N A U"]) -> Float32[Tensor, "N A"]:
        """Returns the log-probability of each agent's choice, the log-density of its action."""
        return torch.where(
            self.chooses, self.categorical.log_prob(action), self.gaussian.log_prob(action)
        )

    def entropy(self) -> Float32[Tensor, "N A"]:
        """Returns each agent's entropy in nats, differential where it does not choose."""
        return torch.where(self.chooses, self.categorical.entropy(), self.gaussian.entropy())

    def kl(self, other: Mixed) -> Float32[Tensor, "N A"]:
        """Returns each agent's KL(self || other) in nats."""
        choice, number = self.categorical.kl(other.categorical), self.gaussian.kl(other.gaussian)
        return torch.where(self.chooses, choice, number)

    def _of_each(
        self, choice: Float32[Tensor, "N A U"], number: Float32[Tensor, "N A U"]
    ) -> Float32[Tensor, "N A U"]:
        return torch.where(self.chooses[:, None], choice, number)


Distribution = Gaussian | Categorical | Mixed
