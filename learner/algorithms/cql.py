"""Conservative Q-learning (Kumar et al. 2020), each agent by itself, for choices and for numbers.

Values of actions that the log does not hold are pushed down, those of the log's up. Agents that
choose learn the value of every choice; policies go where it is highest. Agents that act
continuously are TD3's, and the maximum over their actions is one over samples.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from learner.algorithms.deterministic import Deterministic
from learner.algorithms.offline import Given, Offline, Rows, squared, td_target
from moma_core.config import CQLConfig, TD3Config


class ContinuousCQL(Deterministic):
    """TD3 whose values are conservative."""

    def __init__(
        self,
        given: Given,
        td3: TD3Config,
        cql: CQLConfig,
    ) -> None:
        """Takes the actors over and makes values.

        Args:
            given: what every method is built from.
            td3: what methods with deterministic policies have in common.
            cql: the method's own settings.
        """
        super().__init__(given, td3)
        self.cql = cql

    def _extra(
        self,
        rows: Rows,
        seen: Float32[Tensor, "K N W"],
        q: Float32[Tensor, "C N G"],
        noise: torch.Generator,
    ) -> Float32[Tensor, ""]:
        other = self.q.of(seen, self._other(rows, noise))
        return self.cql.weight * conservative(other, q, self.cql.temperature).sum()

    @torch.no_grad()
    def _other(self, rows: Rows, noise: torch.Generator) -> Float32[Tensor, "M N A U"]:
        """Draws actions: uniform ones, and around what the policies do now and one step later."""
        low, high = (bound.to(self.device) for bound in self.spec.action_bounds)
        shape = (self.cql.samples, *rows.action.shape)
        uniform = self._drawn(torch.rand, shape, noise)
        means = (
            self.actors(rows.observed, rows.remembered).mode(),
            self.actors(rows.next_observed, rows.next_remembered).mode(),
        )
        around = [
            self.spec.clamp(
                self.spec.clamp(mean) + self.cql.noise * self.half * self._normal(shape, noise)
            )
            for mean in means
        ]
        return torch.cat([low + uniform * (high - low), *around])

    def _policy_loss(
        self,
        rows: Rows,
        mean: Float32[Tensor, "N A U"],
        noise: torch.Generator,  # noqa: ARG002
    ) -> Float32[Tensor, ""]:
        seen = self.q.seen(rows.observed, rows.remembered)
        return -self.q.of(seen, self.spec.clamp(mean))[0].mean(0).sum()


class DiscreteCQL(Offline):
    """Q-learning over an agent's choices whose values are conservative."""

    def __init__(
        self,
        given: Given,
        cql: CQLConfig,
    ) -> None:
        """Takes the actors over and makes values.

        Args:
            given: what every method is built from.
            cql: the method's own settings.
        """
        super().__init__(given)
        self.cql = cql
        self.q = self._values("q", copies=2, team=False)
        self.target = self._values("target", copies=2, team=False)
        # One optimiser: the policies' term has no gradient in the values.
        self._all = self._optimiser("all", given.actors, self.q)
        self.mask = given.actors.action_mask
        width = self.spec.action_width
        self._choices = torch.eye(width, device=self.device)[:, None, None]

    def _step(self, rows: Rows, noise: torch.Generator, number: int) -> dict[str, Tensor]:  # noqa: ARG002 - nothing is drawn
        choices = self._choices.expand(-1, *rows.action.shape)
        seen = self.q.seen(rows.observed, rows.remembered)
        every = self.q.of(seen, choices).masked_fill(~self.mask.T[:, None], -torch.inf)
        q = self.q.of(seen, rows.action)
        with torch.no_grad():
            later = self.target.seen(rows.next_observed, rows.next_remembered)
            value = self.target.of(later, choices).amin(0)
        best = value.masked_fill(~self.mask.T[:, None], -torch.inf).amax(0)
        bellman = squared(q, td_target(rows, best, self.config.discount))
        extra = self.cql.weight * conservative(every, q, self.cql.temperature).sum()
        share = self.actors(rows.observed, rows.remembered).mean
        of_policies = expected_loss(share, every.detach().amin(0), self.mask)
        self._descend(self._all, bellman + extra + of_policies)
        self._follow(self.target, self.q)
        return {"q": q.mean(), "q_loss": bellman, "extra": extra, "policy_loss": of_policies}


def conservative(
    other: Float32[Tensor, "C M N G"], logged: Float32[Tensor, "C N G"], temperature: float
) -> Float32[Tensor, "C G"]:
    """Soft maximum over other actions minus the log's action's value (equation 4), over rows.

    Args:
        other: values of M actions in every row.
        logged: values of the log's.
        temperature: of the soft maximum, T log sum exp(value / T).
    """
    highest = temperature * torch.logsumexp(other / temperature, dim=1)
    return (highest - logged).mean(1)


def expected_loss(
    share: Float32[Tensor, "N A U"], value: Float32[Tensor, "U N A"], mask: Bool[Tensor, "A U"]
) -> Float32[Tensor, ""]:
    """Minus the value that a policy's choices have on average, summed over agents.

    Args:
        share: probability of every choice.
        value: of every choice.
        mask: true where a choice is an agent's own.
    """
    worth = value.permute(1, 2, 0).masked_fill(~mask, 0.0)
    return -(share * worth).sum(-1).mean(0).sum()
