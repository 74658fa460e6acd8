"""How far the members disagree, and how noisy they call the world. Pure.

All are computed from the kept members' Gaussians over (state, reward) in standardised units, the
reward being the last of the D outputs (arXiv 2305.17198, section on uncertainty; by the facts of
its code, sample covariances are unbiased).
"""

from __future__ import annotations

from jaxtyping import Float32
from torch import Tensor


def disagreement(mean: Float32[Tensor, "E N D"]) -> Float32[Tensor, " N"]:
    """Frobenius norm of the members' sample covariance.

    With C = X^T X / (E - 1) for the centred means X `[E D]`, |C|_F = |X X^T|_F / (E - 1): the Gram
    matrix has E*E entries where the covariance has D*D. Rows lie last, where they are many: a
    product per row would be half of what a prediction takes beside its networks.
    """
    centred = (mean - mean.mean(0)).permute(2, 0, 1).contiguous()
    gram = (centred[:, :, None] * centred[:, None]).sum(0)
    return gram.square().sum((0, 1)).sqrt() / (mean.shape[0] - 1)


def aleatoric(log_variance: Float32[Tensor, "E N D"]) -> Float32[Tensor, " N"]:
    """The largest member's norm of predicted variances."""
    return log_variance.exp().square().sum(-1).sqrt().amax(0)


def reward_disagreement(mean: Float32[Tensor, "E N D"]) -> Float32[Tensor, " N"]:
    """Unbiased variance of the members' mean rewards."""
    reward = mean[..., -1]
    return (reward - reward.mean(0)).square().sum(0) / (mean.shape[0] - 1)
