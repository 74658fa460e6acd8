"""What follows from the model's uncertainty: a penalty on the reward, and truncation. Pure."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from moma_core.config import PessimismConfig
from moma_core.types import ModelCard, Prediction

Penalty = Callable[[Prediction], Float32[Tensor, " B"]]
"""What a prediction's uncertainty takes from its reward."""
Truncation = Callable[[Prediction], Bool[Tensor, " B"]]
"""Where a prediction is too uncertain to go on from."""


def threshold(config: PessimismConfig, card: ModelCard) -> float:
    """Returns the disagreement above which a rollout is truncated."""
    if config.cut is not None:
        return config.cut
    return config.cut_scale * card.disagreement_quantiles[config.cut_quantile]


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


def truncate(prediction: Prediction, limit: float) -> Bool[Tensor, " B"]:
    """Returns where to stop: by the disagreement before any clamp, and where it is no number."""
    return ~(prediction.disagreement <= limit)
