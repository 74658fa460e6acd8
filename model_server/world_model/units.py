"""The affine maps between the data's units and the networks'.

Output units: by default the change of the standardised state, scaled to unit variance over the
data, and the standardised reward; in reference units the next state and the reward as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from moma_core.config import ModelConfig
from moma_core.datasets.mapped import Moments
from moma_core.types import TaskSpec, Transitions

_CONSTANT = 1e-6
"""Standardised change that is rounding: of the change itself, or of its difference to another."""
AGES = 20
"""Bins of an episode's age, at most."""
_STILL = 1e-8
"""A feature with a standard deviation up to this stays as it is."""


class Units(nn.Module):
    """The affine maps between the data's units and the networks' (buffers, fitted to the data).

    Args:
        state_width: S.
        actions: A * U.
        standardised: whether there are any; raw units stay as they are.
        limit: steps of the longest episode; 0: the networks do not see the age.
    """

    state_mean: Tensor
    state_std: Tensor
    action_mean: Tensor
    action_std: Tensor
    output_mean: Tensor
    output_std: Tensor
    reward_mean: Tensor
    reward_std: Tensor
    constant: Tensor
    """Mask of the features whose change is always the same: none at all, or a clock's."""

    def __init__(
        self, state_width: int, actions: int, *, standardised: bool, limit: int = 0
    ) -> None:
        super().__init__()
        self.standardised, self.limit = standardised, limit
        shapes = {
            "state": (state_width,), "action": (actions,), "output": (state_width,), "reward": (),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_std", torch.ones(shape))
        self.register_buffer("constant", torch.zeros(state_width, dtype=torch.bool))

    @classmethod
    def of(cls, task: TaskSpec, config: ModelConfig) -> Units:
        """Returns the units of a team's model before they are fitted."""
        return cls(
            task.state_width,
            task.joint_action_width,
            standardised=config.units == "standardised",
            limit=task.episode_limit if config.clock == "always" else 0,
        )

    def fit(self, parts: Iterable[Transitions]) -> None:
        """Takes means and standard deviations from the data; raw units stay as they are.

        Args:
            parts: the data, some rows at a time; it is walked through twice.
        """
        if not self.standardised:
            return
        state, action = Moments(len(self.state_mean)), Moments(len(self.action_mean))
        reward, change = Moments(1), Moments(len(self.state_mean))
        for part in parts:
            _add(state, part.state)
            _add(action, part.action.flatten(1))
            reward.add(len(part.reward), part.reward.mean().numpy(), _std(part.reward[:, None]))
        self._take("state", state)
        self._take("action", action)
        self._take("reward", reward)
        low = torch.full_like(self.state_mean, math.inf)
        high = -low
        for part in parts:
            step = (part.next_state - part.state) / self.state_std
            _add(change, step)
            low, high = torch.minimum(low, step.amin(0)), torch.maximum(high, step.amax(0))
        self._take("output", change)
        self.constant.copy_(high - low <= _CONSTANT)
        self.output_mean.mul_(torch.maximum(high.abs(), low.abs()) > _CONSTANT)
        self.output_std.mul_(~self.constant)

    def _take(self, name: str, moments: Moments) -> None:
        """Sets the buffers `name`_mean and `name`_std; a constant's deviation is 1, not 0."""
        mean, std = self.get_buffer(f"{name}_mean"), self.get_buffer(f"{name}_std")
        mean.copy_(torch.from_numpy(moments.mean).reshape(mean.shape))
        std.copy_(torch.from_numpy(moments.std).reshape(std.shape))
        std[std <= _STILL] = 1.0

    @property
    def width(self) -> int:
        """Inputs of a network."""
        clock = 1 + min(self.limit, AGES) if self.limit else 0
        return len(self.state_mean) + len(self.action_mean) + clock

    def inputs(
        self,
        state: Float32[Tensor, "*N S"],
        action: Float32[Tensor, "*N A U"],
        age: Int64[Tensor, "*N"],
    ) -> Float32[Tensor, "*N I"]:
        """Joins state and joint action, standardised, and the age where it counts.

        Args:
            state: joint states.
            action: joint actions.
            age: steps since each row's episode began.
        """
        parts = [
            (state - self.state_mean) / self.state_std,
            (action.flatten(-2) - self.action_mean) / self.action_std,
        ]
        return torch.cat([*parts, self._clock(age)] if self.limit else parts, dim=-1)

    def _clock(self, age: Int64[Tensor, "*N"]) -> Float32[Tensor, "*N K"]:
        """Turns ages into a number from -1 to 1 and a one-hot of its bin.

        By the number alone networks round off what begins at a certain step, and call it noise.
        """
        bins = min(self.limit, AGES)
        of = (age * bins // self.limit).clamp_max(bins - 1)
        steps = torch.arange(bins, device=age.device)
        return torch.cat(
            [(2 * age / self.limit - 1)[..., None], (of[..., None] == steps).float()], -1
        )

    def targets(self, data: Transitions) -> Float32[Tensor, "N D"]:
        """What the networks should say, in output units."""
        state = data.next_state
        if self.standardised:
            # Of the difference, not a difference of standardised states: digits are lost there.
            change = (data.next_state - data.state) / self.state_std - self.output_mean
            state = change / torch.where(self.constant, 1.0, self.output_std)
        reward = (data.reward - self.reward_mean) / self.reward_std
        return torch.cat([state, reward[:, None]], dim=-1)

    def next_state(
        self, state: Float32[Tensor, "*N S"], output: Float32[Tensor, "*N S"]
    ) -> Float32[Tensor, "*N S"]:
        """Turns state outputs into next states; constant changes are the mean one, exactly."""
        if not self.standardised:
            return output
        change = torch.where(self.constant, 0.0, output * self.output_std)
        return state + (self.output_mean + change) * self.state_std

    def towards(
        self,
        reached: Float32[Tensor, "E N F"],
        state: Float32[Tensor, "*N F"],
        features: Int64[Tensor, " F"],
    ) -> Float32[Tensor, "E N F"]:
        """Returns the outputs that lead to some features' values; none of them is constant.

        Args:
            reached: the values, standardised.
            state: what they are now, standardised.
            features: which features they are.
        """
        if not self.standardised:
            return reached
        return (reached - state - self.output_mean[features]) / self.output_std[features]

    def reward(self, output: Float32[Tensor, "*N"]) -> Float32[Tensor, "*N"]:
        """Turns reward outputs into rewards."""
        return self.reward_mean + output * self.reward_std

    @property
    def output_scale(self) -> Float32[Tensor, " D"]:
        """One output unit in units of the standardised state and reward (1 in raw units)."""
        return torch.nn.functional.pad(self.output_std, (0, 1), value=1.0)


def _add(moments: Moments, x: Float32[Tensor, "N W"]) -> None:
    moments.add(len(x), x.mean(0).numpy(), _std(x))


def _std(x: Float32[Tensor, "N W"]) -> NDArray[np.float32]:
    std: NDArray[np.float32] = x.std(0, correction=0).numpy()
    return std
