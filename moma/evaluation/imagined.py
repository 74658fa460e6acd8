"""The model as an environment, for a team whose environment nobody has."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from moma_core import seeds
from moma_core.datasets import StartSampler
from moma_core.ports import Dynamics
from moma_core.types import Query
from rollout_workers.pessimism import Truncation


class DynamicsEnvironment:
    """Episodes of a model, from states in which the data's episodes began.

    An episode ends where the model says so, and where its disagreement passes a threshold.
    """

    def __init__(
        self, dynamics: Dynamics, starts: StartSampler, count: int, truncation: Truncation
    ) -> None:
        """Makes `count` copies.

        Args:
            dynamics: the model.
            starts: draws where episodes of the data began.
            count: copies, B.
            truncation: where an episode ends, as a rollout is truncated.
        """
        self._dynamics, self._starts, self._truncation = dynamics, starts, truncation
        self.truncated = torch.zeros(count, dtype=torch.bool)
        """The copies whose episode ended because the model was not sure."""
        self._over = ~self.truncated

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Draws a start for every copy."""
        count = len(self.truncated)
        self._state = self._starts.draw(count, seeds.derive(seed, "starts")).state
        self._age = torch.zeros(count, dtype=torch.int64)
        self._draw = seeds.rows(seeds.derive(seed, "members"), count)
        self._over, self.truncated = torch.zeros(2, count, dtype=torch.bool)
        return self._state

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Asks the model for every copy, each time another member."""
        query = Query(state=self._state, action=action, age=self._age, seed=self._draw)
        prediction = self._dynamics.predict(query)
        unsure = self._truncation(prediction)
        self.truncated = self.truncated | (unsure & ~prediction.terminated & ~self._over)
        self._over = self._over | unsure | prediction.terminated
        self._state, self._draw = prediction.next_state, seeds.mix(self._draw)
        self._age = self._age + 1
        return self._state, prediction.reward, self._over
