"""The affine maps between the data's units and the networks'.

Output units: by default the change of the standardised state, scaled to unit variance over the
data, and the standardised reward; in reference units the next state and the reward as they are.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from moma.types import Transitions

_CONSTANT = 1e-6
"""A feature whose standardised change never exceeds this is constant within an episode."""


class Units(nn.Module):
    """The affine maps between the data's units and the networks' (buffers, fitted to the data)."""

    state_mean: Tensor
    state_std: Tensor
    action_mean: Tensor
    action_std: Tensor
    output_mean: Tensor
    output_std: Tensor
    reward_mean: Tensor
    reward_std: Tensor
    constant: Tensor

    def __init__(self, state_width: int, actions: int, *, standardised: bool) -> None:
        super().__init__()
        self.standardised = standardised
        shapes = {
            "state": (state_width,), "action": (actions,), "output": (state_width,), "reward": (),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_std", torch.ones(shape))
        self.register_buffer("constant", torch.zeros(state_width, dtype=torch.bool))

    def fit(self, data: Transitions) -> None:
        """Takes means and standard deviations from the data; raw units stay as they are."""
        if not self.standardised:
            return
        action = data.action.flatten(1)
        change = (data.next_state - data.state) / _std(data.state)
        constant = change.abs().amax(0) <= _CONSTANT
        self.state_mean.copy_(data.state.mean(0))
        self.state_std.copy_(_std(data.state))
        self.action_mean.copy_(action.mean(0))
        self.action_std.copy_(_std(action))
        self.output_mean.copy_(change.mean(0) * ~constant)
        self.output_std.copy_(_std(change) * ~constant)
        self.reward_mean.copy_(data.reward.mean())
        self.reward_std.copy_(_std(data.reward[:, None])[0])
        self.constant.copy_(constant)

    def inputs(
        self, state: Float32[Tensor, "*N S"], action: Float32[Tensor, "*N A U"]
    ) -> Float32[Tensor, "*N I"]:
        """Joins state and joint action, standardised."""
        action = (action.flatten(-2) - self.action_mean) / self.action_std
        return torch.cat([(state - self.state_mean) / self.state_std, action], dim=-1)

    def targets(self, data: Transitions) -> Float32[Tensor, "N D"]:
        """What the networks should say, in output units."""
        state = data.next_state
        if self.standardised:
            change = (data.next_state - data.state) / self.state_std - self.output_mean
            state = change / torch.where(self.constant, 1.0, self.output_std)
        reward = (data.reward - self.reward_mean) / self.reward_std
        return torch.cat([state, reward[:, None]], dim=-1)

    def next_state(
        self, state: Float32[Tensor, "*N S"], output: Float32[Tensor, "*N S"]
    ) -> Float32[Tensor, "*N S"]:
        """Turns state outputs into next states; constant features are carried over exactly."""
        if not self.standardised:
            return output
        change = (self.output_mean + output * self.output_std) * self.state_std
        return torch.where(self.constant, state, state + change)

    def reward(self, output: Float32[Tensor, "*N"]) -> Float32[Tensor, "*N"]:
        """Turns reward outputs into rewards."""
        return self.reward_mean + output * self.reward_std

    @property
    def output_scale(self) -> Float32[Tensor, " D"]:
        """One output unit in units of the standardised state and reward (1 in raw units)."""
        return torch.cat([self.output_std, torch.ones(1)])


def _std(x: Float32[Tensor, "N W"]) -> Float32[Tensor, " W"]:
    """Standard deviation over rows, 1 where it is 0: a constant feature stays as it is."""
    std = x.std(0, correction=0)
    return torch.where(std > 1e-8, std, torch.ones_like(std))
