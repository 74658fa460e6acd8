"""TD3 as it learns from a log: twin values, smoothed targets, policies that follow the values.

Fujimoto, van Hoof, Meger 2018, "Addressing function approximation error in actor-critic methods".
Methods differ in what they add to the values' loss and in how the policies follow them. Policies
are played by their means: those beyond the action's bounds are clamped and pulled back.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from learner.algorithms.offline import Given, Offline, Rows, frozen, squared, td_target
from moma_core.config import TD3Config
from moma_core.types import TaskSpec


class Deterministic(Offline):
    """TD3 on rows of the log."""

    def __init__(
        self,
        given: Given,
        td3: TD3Config,
        *,
        team: bool = False,
    ) -> None:
        """Takes the actors over, makes values and targets of both.

        Args:
            given: what every method is built from.
            td3: what methods with deterministic policies have in common.
            team: one value of all agents, or one each.
        """
        super().__init__(given)
        self.td3 = td3
        self.q = self._values("q", copies=2, team=team)
        self.target = self._values("target", copies=2, team=team)
        self.target_actors = given.actors.copy().to(self.device)
        self._modules["target_actors"] = self.target_actors
        self._of_q = self._optimiser("q", self.q)
        self._of_actors = self._optimiser("actors", given.actors)
        self.mask = given.actors.action_mask
        self.half = half_widths(self.spec).to(self.device)

    def _step(self, rows: Rows, noise: torch.Generator, number: int) -> dict[str, Tensor]:
        seen = self.q.seen(rows.observed, rows.remembered)
        q = self.q.of(seen, rows.action)
        bellman = squared(q, self._q_target(rows, noise))
        extra = self._extra(rows, seen, q, noise)
        self._descend(self._of_q, bellman + extra)
        measured = {"q": q.mean(), "q_loss": bellman, "extra": extra}
        if number % self.td3.delay == 0:
            measured["policy_loss"] = self._improve(rows, noise)
            self._follow(self.target, self.q)
            self._follow(self.target_actors, self.actors)
        return measured

    def _q_target(self, rows: Rows, noise: torch.Generator) -> Float32[Tensor, "N G"]:
        """Returns what values should say, with smoothed target actions (equation 14)."""
        td3 = self.td3
        with torch.no_grad():
            mean = self.target_actors(rows.next_observed, rows.next_remembered).mode()
            drawn = td3.noise * self._normal(tuple(mean.shape), noise)
            smoothing = drawn.clamp(-td3.noise_limit, td3.noise_limit)
            action = self.spec.clamp(self.spec.clamp(mean) + smoothing * self.half)
            seen = self.target.seen(rows.next_observed, rows.next_remembered)
            value = self.target.of(seen, action).amin(0)
        return td_target(rows, value, self.config.discount)

    def _improve(self, rows: Rows, noise: torch.Generator) -> Tensor:
        """Takes a step of the policies; returns its loss."""
        mean = self.actors(rows.observed, rows.remembered).mode()
        with frozen(self.q):
            loss = self._policy_loss(rows, mean, noise)
        self._descend(self._of_actors, loss + outside_loss(mean, self.spec, self.mask))
        return loss

    def _normal(self, shape: tuple[int, ...], noise: torch.Generator) -> Tensor:
        """Draws standard normal numbers."""
        return self._drawn(torch.randn, shape, noise)

    def _extra(
        self,
        rows: Rows,  # noqa: ARG002 - methods that add something look at them
        seen: Float32[Tensor, "K N W"],
        q: Float32[Tensor, "C N G"],  # noqa: ARG002
        noise: torch.Generator,  # noqa: ARG002
    ) -> Float32[Tensor, ""]:
        """Returns what the method adds to the values' loss."""
        return seen.new_zeros(())

    @abstractmethod
    def _policy_loss(
        self, rows: Rows, mean: Float32[Tensor, "N A U"], noise: torch.Generator
    ) -> Float32[Tensor, ""]:
        """Returns the policies' loss.

        Args:
            rows: of the log.
            mean: the policies' means, unclamped, with their gradient.
            noise: of the step's draws.
        """


def half_widths(spec: TaskSpec) -> Float32[Tensor, "A U"]:
    """Returns half of each action interval's width; 0 in the padding."""
    low, high = spec.action_bounds
    return (high - low) / 2


def outside_loss(
    mean: Float32[Tensor, "N A U"], spec: TaskSpec, mask: Bool[Tensor, "A U"]
) -> Float32[Tensor, ""]:
    """Squared distance of means from the actions that are played in their place.

    Args:
        mean: of the policies.
        spec: the team, whose bounds clamp.
        mask: true where a dimension is an agent's own.
    """
    outside = (mean - spec.clamp(mean)) * mask
    return outside.square().sum((-1, -2)).mean()
