"""The terms that an ensemble is fitted by."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from model_server.world_model.ensemble import Ensemble, Outputs

_WEIGHT_LIMIT = 100.0


def nll(
    ensemble: Ensemble,
    outputs: Outputs,
    targets: Float32[Tensor, "*E N D"],
    code: Int64[Tensor, "*E N"],
    beta: float = 0.0,
) -> Float32[Tensor, " E"]:
    """Each member's negative log-likelihood, without the Gaussian's constant.

    Averaged over rows and over the outputs that vary; constant features are not predicted, and
    coded ones have the cross-entropy of their codes for all of them. With `beta` each Gaussian term
    is weighted by its own variance to that power, held fixed (Seitzer et al. 2022, equation 5):
    otherwise rows that are called noisy stop teaching the mean.

    Args:
        ensemble: whose units and codes say which outputs are what.
        outputs: what it predicts, in output units.
        targets: what it should, in output units.
        code: of the next states.
        beta: the power; 0: the plain likelihood.
    """
    error = (outputs.mean - targets).square() * torch.exp(-outputs.log_variance)
    terms = 0.5 * (error + outputs.log_variance)
    if beta:
        terms = terms * torch.exp(beta * outputs.log_variance.detach())
    gaussian = terms[..., ensemble.gaussian]
    mean = gaussian.mean((1, 2))
    if outputs.code_logit is None:
        return mean
    members, rows, _ = outputs.code_logit.shape
    entropy = torch.nn.functional.cross_entropy(
        outputs.code_logit.flatten(0, 1), code.expand(members, rows).flatten(), reduction="none"
    )
    continuous, coded = gaussian.shape[-1], len(ensemble.codes.features)
    return (mean * continuous + entropy.view(members, rows).mean(1)) / (continuous + coded)


def terminal_weight(rows: int, terminals: int) -> float:
    """Returns the weight that makes terminals count as much as the other rows, in [0.01, 100].

    Where every row is terminal it is not 0: that would teach nothing.
    """
    odds = (rows - terminals) / max(terminals, 1)
    return min(max(odds, 1 / _WEIGHT_LIMIT), _WEIGHT_LIMIT)


def termination_loss(
    logit: Float32[Tensor, "E N"], terminated: Bool[Tensor, "E N"], weight: float
) -> Float32[Tensor, ""]:
    """Binary cross-entropy, averaged over rows and summed over members.

    Args:
        logit: of every member's termination.
        terminated: whether its row did terminate.
        weight: how often a terminal counts.
    """
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logit,
        terminated.float(),
        pos_weight=torch.tensor(weight, device=logit.device),
        reduction="none",
    )
    return loss.mean(1).sum()


def clip(ensemble: Ensemble, limit: float) -> None:
    """Scales each member's gradient to a norm of at most `limit`."""
    gradients = [p.grad for p in ensemble.parameters() if p.grad is not None]
    norm = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
    scale = (limit / (norm + 1e-8)).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
