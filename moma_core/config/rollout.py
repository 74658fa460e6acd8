"""Settings of the imagined experience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moma_core.config.checks import not_negative, positive, require, share

_LAGS = (0, 1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How the team is imagined."""

    rows: int = 512
    """Rollouts of a round, which the workers that are there share out."""
    horizon: int = 50
    """Steps per rollout at most."""
    starts: Literal["data", "task"] = "data"
    """Starts of rollouts: states of the dataset, or the simulator's own (online training)."""
    lag: int = 0
    """Age limit, in updates, of the policy that imagines: 0, 1, 2 or 4 (`--lag`); from 1 on workers
    imagine while the learner updates."""
    carry: bool = False
    """Continuation in the next round, up to the episode's limit, of rollouts cut by the horizon."""
    episode_starts: float = 1.0
    """Share of rollouts that begin where episodes began; the rest begins at any row of the data."""
    member_per: Literal["step", "rollout"] = "step"
    """Time that a row stays with one ensemble member."""
    lease_s: float = 20.0
    """Seconds after which unreturned rollouts are offered to another worker."""
    round_s: float = 120.0
    """Seconds after which a round closes with 90 % of its rollouts."""

    def __post_init__(self) -> None:
        require(
            "rollout",
            rows=positive(self.rows),
            horizon=positive(self.horizon),
            lag=(self.lag, self.lag in _LAGS, "be 0, 1, 2 or 4"),
            carry=(
                self.carry,
                not (self.carry and self.lag),
                "be False with a lag: a rollout that goes on has to wait for the round before "
                "(--rollout.no-carry, or --lag 0)",
            ),
            episode_starts=share(self.episode_starts),
            lease_s=positive(self.lease_s),
            round_s=positive(self.round_s),
        )


@dataclass(frozen=True, kw_only=True)
class PessimismConfig:
    """Consequences of the model's uncertainty."""

    disagreement: float = 0.1
    """Reward lost per unit of ensemble disagreement (standardised units)."""
    reward_disagreement: float = 0.0
    """Reward lost per unit of variance of the members' rewards; reference 0.05."""
    aleatoric: float = 0.0
    """Reward lost per unit of predicted noise."""
    clamp: float = 2.0
    """Upper limit of each uncertainty in the penalty; truncation is decided before it."""
    edge: Literal["cut", "clamp"] = "cut"
    """End of a rollout that leaves the log's range: there, or never, clamped to it (reference)."""
    cut: float | None = None
    """Disagreement above which a rollout is truncated; None: by `cut_quantile`."""
    cut_quantile: Literal["0.90", "0.95", "0.99", "0.999", "1.00"] = "0.99"
    """Quantile of the held-out data's disagreement that `cut_scale` multiplies."""
    cut_scale: float = 100.0
    """Factor on that quantile which gives the threshold."""

    def __post_init__(self) -> None:
        require(
            "pessimism",
            disagreement=not_negative(self.disagreement),
            reward_disagreement=not_negative(self.reward_disagreement),
            aleatoric=not_negative(self.aleatoric),
            clamp=positive(self.clamp),
            cut=(self.cut, self.cut is None or self.cut > 0, "be None or greater than 0"),
            cut_scale=positive(self.cut_scale),
        )
