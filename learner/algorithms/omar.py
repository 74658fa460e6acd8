"""OMAR (Pan et al. 2022): conservative values, and policies drawn to the best action of a search.

Conservative values have many local maxima, where following their gradient ends. Each agent also
tries actions at random, ever more narrowly around the best ones: the cross-entropy method.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float32
from torch import Tensor

from learner.algorithms.cql import ContinuousCQL
from learner.algorithms.offline import Given, Rows
from learner.algorithms.td3_bc import distance
from moma_core.config import CQLConfig, OMARConfig, TD3Config

Judge = Callable[[Float32[Tensor, "M N A U"]], Float32[Tensor, "M N A"]]
"""Values of M actions of each agent."""


class OMAR(ContinuousCQL):
    """Conservative Q-learning with a search for better actions."""

    def __init__(
        self,
        given: Given,
        td3: TD3Config,
        cql: CQLConfig,
        omar: OMARConfig,
    ) -> None:
        """Takes the actors over and makes values.

        Args:
            given: what every method is built from.
            td3: what methods with deterministic policies have in common.
            cql: settings of the conservative values.
            omar: the method's own settings.
        """
        super().__init__(given, td3, cql)
        self.omar = omar

    def _policy_loss(
        self, rows: Rows, mean: Float32[Tensor, "N A U"], noise: torch.Generator
    ) -> Float32[Tensor, ""]:
        action, weight = self.spec.clamp(mean), self.omar.weight
        seen = self.q.seen(rows.observed, rows.remembered)
        with torch.no_grad():
            found = self._search(lambda tried: self.q.of(seen, tried)[0], action.detach(), noise)
        ascent = -self.q.of(seen, action)[0].mean(0).sum()
        apart = distance(mean, found, self.mask).mean(0).sum()
        return (1 - weight) * ascent + weight * apart

    def _search(
        self, judge: Judge, action: Float32[Tensor, "N A U"], noise: torch.Generator
    ) -> Float32[Tensor, "N A U"]:
        """Returns the best action of each agent among its policy's and all that were tried."""
        omar = self.omar
        low, high = (bound.to(self.device) for bound in self.spec.action_bounds)
        mean = ((low + high) / 2).expand_as(action)
        spread = (omar.spread * self.half).expand_as(action)
        best, worth = action, judge(action[None])[0]
        for _ in range(omar.iterations):
            drawn = self._normal((omar.samples, *action.shape), noise)
            tried = self.spec.clamp(mean + spread * drawn)
            value = judge(tried)
            best, worth = better(best, worth, tried, value)
            elite = chosen(tried, value.topk(omar.elites, dim=0).indices)
            mean, spread = elite.mean(0), elite.std(0)
        return best


def chosen(tried: Float32[Tensor, "M N A U"], index: Tensor) -> Float32[Tensor, "E N A U"]:
    """Returns E of M actions of every row and agent, by their places `[E N A]`."""
    return tried.gather(0, index[..., None].expand(*index.shape, tried.shape[-1]))


def better(
    best: Float32[Tensor, "N A U"],
    worth: Float32[Tensor, "N A"],
    tried: Float32[Tensor, "M N A U"],
    value: Float32[Tensor, "M N A"],
) -> tuple[Float32[Tensor, "N A U"], Float32[Tensor, "N A"]]:
    """Returns the best action so far and its value.

    Args:
        best: the best action before.
        worth: its value.
        tried: M other actions.
        value: their values.
    """
    top, place = value.max(0)
    action = chosen(tried, place[None])[0]
    improved = top > worth
    return torch.where(improved[..., None], action, best), torch.where(improved, top, worth)
