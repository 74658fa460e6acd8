"""TD3 held to the log's actions (Fujimoto, Gu 2021), independent and centralised.

Independent: each agent follows its own value. Centralised: the team's value judges an agent's
action beside the others', which are the log's (MADDPG: Lowe et al. 2017, equation 6) or what the
others' policies would do.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from learner.algorithms.deterministic import Deterministic
from learner.algorithms.offline import Given, Rows
from moma_core.config import TD3BCConfig, TD3Config


class TD3BC(Deterministic):
    """Policies that go up the values and stay near the log's actions."""

    def __init__(
        self,
        given: Given,
        td3: TD3Config,
        td3_bc: TD3BCConfig,
        *,
        team: bool,
    ) -> None:
        """Takes the actors over and makes values.

        Args:
            given: what every method is built from.
            td3: what methods with deterministic policies have in common.
            td3_bc: the method's own settings.
            team: one value of all agents, or one each.
        """
        super().__init__(given, td3, team=team)
        self.td3_bc, self._team = td3_bc, team

    def _policy_loss(
        self,
        rows: Rows,
        mean: Float32[Tensor, "N A U"],
        noise: torch.Generator,  # noqa: ARG002
    ) -> Float32[Tensor, ""]:
        action = self.spec.clamp(mean)
        seen = self.q.seen(rows.observed, rows.remembered)
        if self._team and self.td3_bc.others == "log":
            # One joint action per agent, in which it alone departs from the log.
            value = self.q.of(seen, alone(action, rows.action))[0].squeeze(-1).T
        else:
            value = self.q.of(seen, action)[0]
        return (
            ascent_loss(value, self._joint(value.abs().mean(0)), self.td3_bc.weight)
            + distance(mean, rows.action, self.mask).mean(0).sum()
        )


def alone(
    action: Float32[Tensor, "N A U"], logged: Float32[Tensor, "N A U"]
) -> Float32[Tensor, "A N A U"]:
    """Returns joint actions of which the i-th has agent i's action, and the log's otherwise."""
    own = torch.eye(action.shape[1], dtype=torch.bool, device=action.device)[:, None, :, None]
    return torch.where(own, action, logged)


def ascent_loss(
    value: Float32[Tensor, "N G"], size: Float32[Tensor, " G"], weight: float
) -> Float32[Tensor, ""]:
    """Minus the mean value in units of its mean size (equations 3 and 5), summed over groups.

    Args:
        value: of the policies' actions.
        size: mean absolute value over the minibatch; no gradient flows.
        weight: of it.
    """
    scale = weight / size
    return -(scale * value.mean(0)).sum()


def distance(
    mean: Float32[Tensor, "N A U"], logged: Float32[Tensor, "N A U"], mask: Bool[Tensor, "A U"]
) -> Float32[Tensor, "N A"]:
    """Mean squared distance of each agent's action from the log's over its own dimensions.

    Args:
        mean: the policies' actions.
        logged: the log's.
        mask: true where a dimension is an agent's own.
    """
    return ((mean - logged) * mask).square().sum(-1) / mask.sum(-1)
