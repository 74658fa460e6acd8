"""Generalised advantage estimation where episodes terminate, are truncated, or go on. Pure."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32
from torch import Tensor


def gae(
    reward: Float32[Tensor, "T B"],
    value: Float32[Tensor, "T+1 B"],
    terminated: Bool[Tensor, "T B"],
    truncated: Bool[Tensor, "T B"],
    discount: float,
    gae_lambda: float,
) -> Float32[Tensor, "T B"]:
    """Advantages by Schulman et al. 2016, equation 16.

    A terminated step has no next value. A truncated one has: it bootstraps from the value of the
    state where it was truncated, and nothing after it flows back. Rows after an end are the
    caller's to leave out.

    Args:
        reward: after the penalty.
        value: of every state, the one after the last step too.
        terminated: true where the task itself ended an episode.
        truncated: true where a rollout was stopped.
        discount: per step.
        gae_lambda: decay of later residuals; 0 trusts the critic alone, 1 the rewards alone.
    """
    going_on = (~terminated).float()
    delta = reward + discount * going_on * value[1:] - value[:-1]
    kept = discount * gae_lambda * going_on * ~truncated
    advantage = torch.empty_like(reward)
    carry = torch.zeros_like(reward[0])
    for step in reversed(range(reward.shape[0])):
        carry = torch.addcmul(delta[step], kept[step], carry, out=advantage[step])
    return advantage
