"""Implicit Q-learning: no action is ever valued that is not in the log (Kostrikov et al. 2021).

Independent: each agent has its own values and weights its own actions. Centralised: the team has
one value of everything, and one weight for what all agents did.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from learner.algorithms.offline import Given, Offline, Rows, squared, td_target
from moma_core.config import IQLConfig


class IQL(Offline):
    """Expectile values of the log's actions, and policies that imitate what is better than them."""

    def __init__(
        self,
        given: Given,
        iql: IQLConfig,
        *,
        team: bool,
    ) -> None:
        """Takes the actors over and makes values.

        Args:
            given: what every method is built from.
            iql: the method's own settings.
            team: one value of all agents, or one each.
        """
        super().__init__(given)
        self.iql = iql
        self.q = self._values("q", copies=2, team=team)
        self.v = self._values("v", copies=1, team=team, acts=False)
        self.target = self._values("target", copies=2, team=team)
        # One optimiser: no term has a gradient in another term's network.
        self._all = self._optimiser("all", given.actors, self.q, self.v)

    def _step(self, rows: Rows, noise: torch.Generator, number: int) -> dict[str, Tensor]:  # noqa: ARG002 - nothing is drawn
        config, iql = self.config, self.iql
        with torch.no_grad():
            seen = self.target.seen(rows.observed, rows.remembered)
            logged = self.target.of(seen, rows.action).amin(0)
            later = self.v.of(self.v.seen(rows.next_observed, rows.next_remembered))[0]
        value = self.v.of(self.v.seen(rows.observed, rows.remembered))[0]
        advantage = logged - value
        q = self.q.of(self.q.seen(rows.observed, rows.remembered), rows.action)
        log_prob = self.actors(rows.observed, rows.remembered).log_prob(rows.action)
        weight = weights(advantage.detach(), iql.temperature, iql.weight_limit)
        of_values = expectile_loss(advantage, iql.expectile)
        of_q = squared(q, td_target(rows, later, config.discount))
        of_policies = imitation_loss(log_prob, weight)
        self._descend(self._all, of_values + of_q + of_policies)
        self._follow(self.target, self.q)
        return {
            "v_loss": of_values,
            "q_loss": of_q,
            "policy_loss": of_policies,
            "q": q.mean(),
            "weight": weight.mean(),
        }


def expectile_loss(difference: Float32[Tensor, "N G"], expectile: float) -> Float32[Tensor, ""]:
    """Asymmetric squared loss (equation 5), |expectile - 1(difference < 0)| * difference^2.

    Args:
        difference: value of the log's action minus that of what it was done in.
        expectile: weight of the differences above 0; below 0 it is 1 - expectile.
    """
    weight = torch.where(difference < 0, 1 - expectile, expectile)
    return (weight * difference.square()).mean(0).sum()


def weights(
    advantage: Float32[Tensor, "N G"], temperature: float, limit: float
) -> Float32[Tensor, "N G"]:
    """Weights of the log's actions (equation 7): exp(temperature * advantage), up to a limit.

    Args:
        advantage: of each action.
        temperature: weight of the advantage.
        limit: largest weight.
    """
    return torch.exp(temperature * advantage).clamp_max(limit)


def imitation_loss(
    log_prob: Float32[Tensor, "N A"], weight: Float32[Tensor, "N G"]
) -> Float32[Tensor, ""]:
    """Weighted negative log-likelihood of the log's actions, summed over agents.

    Args:
        log_prob: of each agent's action.
        weight: of each agent's action, or of the team's.
    """
    return -(weight * log_prob).mean(0).sum()
