"""The terms of the update. Pure functions of tensors."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

_LIMIT = 10.0
"""Log-ratios are clamped to this before `exp`, which would overflow long after they are useless."""


def ratio(
    log_prob: Float32[Tensor, "N A"],
    behaviour: Float32[Tensor, "N A"],
    kind: Literal["agent", "joint"],
) -> Float32[Tensor, "N G"]:
    """Probability ratios, new to behaviour: one per agent, or the team's product (G = 1).

    Args:
        log_prob: log-probability of each agent's action under the new policy.
        behaviour: the same under the policy that acted.
        kind: a ratio per agent, or the joint action's.
    """
    log_ratio = log_prob - behaviour
    if kind == "joint":
        log_ratio = log_ratio.sum(-1, keepdim=True)
    return log_ratio.clamp(-_LIMIT, _LIMIT).exp()


def policy_loss(
    ratios: Float32[Tensor, "N G"], advantage: Float32[Tensor, " N"], clip: float
) -> Float32[Tensor, " G"]:
    """The clipped surrogate (Schulman et al. 2017, equation 7), negated, one per ratio.

    Args:
        ratios: as `ratio` gives them.
        advantage: of each row's joint action.
        clip: half-width of the interval around 1 beyond which a ratio gains nothing.
    """
    gain = advantage[:, None]
    clipped = ratios.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratios * gain, clipped * gain).mean(0)


def approx_kl(ratios: Float32[Tensor, "N G"]) -> Float32[Tensor, " G"]:
    """KL(behaviour || new) estimated as mean(r - 1 - log r), which is never negative."""
    return (ratios - 1 - ratios.log()).mean(0)


def clip_fraction(ratios: Float32[Tensor, "N G"], clip: float) -> Float32[Tensor, " G"]:
    """Share of rows whose ratio lies outside of the clip interval."""
    return ((ratios - 1).abs() > clip).float().mean(0)


def mean_bound_loss(
    mean: Float32[Tensor, "N A U"],
    bounds: tuple[Float32[Tensor, "A U"], Float32[Tensor, "A U"]],
    mask: Bool[Tensor, "A U"],
) -> Float32[Tensor, ""]:
    """Squared distance of action means from the interval of actions that are not clamped.

    Zero for agents that choose: their means are probabilities, their bounds 0 and 1.

    Args:
        mean: means of the actions' distributions.
        bounds: lowest and highest action.
        mask: true where a dimension is an agent's own.
    """
    low, high = (bound.to(mean.device) for bound in bounds)
    outside = (mean - torch.clamp(mean, low, high)) * mask
    return outside.square().sum((-1, -2)).mean()


def value_loss(value: Float32[Tensor, " N"], target: Float32[Tensor, " N"]) -> Float32[Tensor, ""]:
    """Half the mean squared error, in normalised units."""
    return 0.5 * (value - target).square().mean()


def explained_variance(
    value: Float32[Tensor, " N"], target: Float32[Tensor, " N"]
) -> Float32[Tensor, ""]:
    """1 - var(target - value) / var(target); 0 where the target does not vary."""
    variance = target.var()
    return torch.where(variance > 0, 1 - (target - value).var() / variance, 0.0)
