"""What follows from the model's uncertainty: a penalty on the reward, and truncation. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from moma_core.config import PessimismConfig
from moma_core.types import ModelCard, Prediction

Penalty = Callable[[Prediction], Float32[Tensor, " B"]]
"""What a prediction's uncertainty takes from its reward."""
Truncation = Callable[[Prediction], Bool[Tensor, " B"]]
"""Where a prediction is not to be gone on from."""

_AGREED = 0.1
"""Disagreement, in variances of the data, up to which a rollout goes on in any world."""


def threshold(config: PessimismConfig, card: ModelCard) -> float:
    """Returns the disagreement above which a rollout is truncated.

    A multiple of what is usual on held-out data; in a world without chance that is next to nothing,
    and members that agree to a third of a deviation are no reason to stop there either.
    """
    if config.cut is not None:
        return config.cut
    usual = card.disagreement_quantiles[config.cut_quantile]
    return max(config.cut_scale * usual, _AGREED)


def truncation(config: PessimismConfig, card: ModelCard) -> Truncation:
    """Returns where a model's predictions are not to be gone on from."""
    return partial(truncate, limit=threshold(config, card), edge=config.edge)


def penalty(prediction: Prediction, config: PessimismConfig) -> Float32[Tensor, " B"]:
    """Returns what the reward loses, each uncertainty limited to `config.clamp` (arXiv 2305.17198).

    An uncertainty that is no number counts as the limit.
    """
    uncertainties = (
        (config.disagreement, prediction.disagreement),
        (config.reward_disagreement, prediction.reward_disagreement),
        (config.aleatoric, prediction.aleatoric),
    )
    limit = config.clamp
    lost = torch.zeros_like(prediction.reward)
    for weight, uncertainty in uncertainties:
        if weight:
            finite = uncertainty.nan_to_num(nan=limit, posinf=limit)
            lost = lost + weight * finite.clamp_max(limit)
    return lost


def truncate(
    prediction: Prediction, limit: float, edge: Literal["cut", "clamp"]
) -> Bool[Tensor, " B"]:
    """Returns where to stop.

    That is where the members disagree, before any clamp, or their disagreement is no number; and
    where the next state has left what the log holds.

    Args:
        prediction: what the model says.
        limit: the disagreement up to which it is believed.
        edge: whether leaving the log ends a rollout; clamped (reference), it goes on at the edge.
    """
    unsure = ~(prediction.disagreement <= limit)
    return unsure | prediction.outside.any(1) if edge == "cut" else unsure
