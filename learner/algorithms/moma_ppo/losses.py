"""The terms of the update and their derivatives. Pure functions of tensors.

The derivatives, which every optimiser step needs, are by hand: a few operations on rows where
recording the terms and going back through them takes 45 (docs/performance.md). The tests hold them
against autograd's.
"""

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
    """Probability ratios, new to behaviour: one per agent, or the team's product (G = 1)."""
    return _log_ratio(log_prob, behaviour, kind).clamp(-_LIMIT, _LIMIT).exp()


def policy_loss(
    ratios: Float32[Tensor, "N G"], advantage: Float32[Tensor, " N"], clip: float
) -> Float32[Tensor, " G"]:
    """The clipped surrogate (Schulman et al. 2017, equation 7), negated, one per ratio."""
    gain = advantage[:, None]
    clipped = ratios.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratios * gain, clipped * gain).mean(0)


def policy_gradient(
    log_prob: Float32[Tensor, "N A"],
    behaviour: Float32[Tensor, "N A"],
    advantage: Float32[Tensor, " N"],
    clip: float,
    kind: Literal["agent", "joint"],
) -> Float32[Tensor, "N A"]:
    """The derivative of the sum of `policy_loss` over ratios by `log_prob`.

    -advantage * ratio / N, and 0 where the clipped gain is the smaller one.
    """
    log_ratio = _log_ratio(log_prob, behaviour, kind)
    ratios = log_ratio.clamp(-_LIMIT, _LIMIT).exp()
    gain = ratios * advantage[:, None]
    clipped = (gain > ratios.clamp(1 - clip, 1 + clip) * advantage[:, None]) | (
        log_ratio.abs() > _LIMIT
    )
    return (gain.masked_fill(clipped, 0.0) / -len(gain)).expand_as(log_prob)


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

    Zero for discrete actions: their means are probabilities, their bounds 0 and 1.
    """
    return _outside(mean, bounds, mask).square().sum((-1, -2)).mean()


def mean_bound_gradient(
    mean: Float32[Tensor, "N A U"],
    bounds: tuple[Float32[Tensor, "A U"], Float32[Tensor, "A U"]],
    mask: Bool[Tensor, "A U"],
) -> Float32[Tensor, "N A U"]:
    """The derivative of `mean_bound_loss` by `mean`."""
    return _outside(mean, bounds, mask) * (2 / len(mean))


def value_loss(value: Float32[Tensor, " N"], target: Float32[Tensor, " N"]) -> Float32[Tensor, ""]:
    """Half the mean squared error, in normalised units."""
    return 0.5 * (value - target).square().mean()


def value_gradient(
    value: Float32[Tensor, " N"], target: Float32[Tensor, " N"]
) -> Float32[Tensor, " N"]:
    """The derivative of `value_loss` by `value`."""
    return (value - target) / len(value)


def explained_variance(
    value: Float32[Tensor, " N"], target: Float32[Tensor, " N"]
) -> Float32[Tensor, ""]:
    """1 - var(target - value) / var(target); 0 where the target does not vary."""
    variance = target.var()
    return torch.where(variance > 0, 1 - (target - value).var() / variance, 0.0)


def _log_ratio(log_prob: Tensor, behaviour: Tensor, kind: Literal["agent", "joint"]) -> Tensor:
    log_ratio = log_prob - behaviour
    return log_ratio.sum(-1, keepdim=True) if kind == "joint" else log_ratio


def _outside(mean: Tensor, bounds: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
    """How far means lie above (positive) or below their bounds; 0 in the padding."""
    low, high = (bound.to(mean.device) for bound in bounds)
    return (mean - torch.clamp(mean, low, high)) * mask
