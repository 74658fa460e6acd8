"""What to make of the model's doubt: a penalty on the reward, and where to stop believing. Pure."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from moma_core.config import PessimismConfig
from moma_core.types import ModelCard, Prediction


def threshold(config: PessimismConfig, card: ModelCard) -> float:
    """Returns the disagreement above which a rollout is truncated."""
    if config.cut is not None:
        return config.cut
    return config.cut_scale * card.disagreement_quantiles[config.cut_quantile]


def penalty(prediction: Prediction, config: PessimismConfig) -> Float32[Tensor, " B"]:
    """Returns what the reward loses, each doubt limited to `config.clamp` (arXiv 2305.17198).

    A doubt that is no number counts as the limit.
    """
    doubts = (
        (config.disagreement, prediction.disagreement),
        (config.reward_disagreement, prediction.reward_disagreement),
        (config.aleatoric, prediction.aleatoric),
    )
    limit = config.clamp
    lost = torch.zeros_like(prediction.reward)
    for weight, doubt in doubts:
        if weight:
            lost = lost + weight * doubt.nan_to_num(nan=limit, posinf=limit).clamp_max(limit)
    return lost


def cut(prediction: Prediction, limit: float) -> Bool[Tensor, " B"]:
    """Returns where to stop: on the doubt itself, before any clamp, and where it is no number."""
    return ~(prediction.disagreement <= limit)
