"""What a team is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

_ordinary = torch.inference_mode(mode=False)
"""What is kept may be asked for first in a rollout and used in an update."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What a team is: who acts, what each one sees of the joint state, and within which bounds."""

    name: str
    agents: tuple[str, ...]
    state_names: tuple[str, ...]
    """Names of the joint state's features; their number is S."""
    observation_index: tuple[tuple[int, ...], ...]
    """Features of the joint state that each agent observes."""
    action_low: tuple[tuple[float, ...], ...]
    """Lower bound of each dimension of each agent's action."""
    action_high: tuple[tuple[float, ...], ...]
    episode_limit: int
    """Steps after which an episode of the environment is truncated."""
    discrete: tuple[bool, ...] = ()
    """Agents that choose one dimension, true per agent: one-hot, bounds 0 and 1; empty: none."""
    state_offset: tuple[float, ...] = ()
    """Numbers that were taken off the features of the state, in float64; empty: none was.

    Whoever has observations in their own units takes them off before anything becomes float32.
    """

    def __post_init__(self) -> None:
        count = len(self.agents)
        object.__setattr__(self, "discrete", self.discrete or (False,) * count)
        for name in ("observation_index", "action_low", "action_high", "discrete"):
            if len(getattr(self, name)) != count:
                got = len(getattr(self, name))
                raise ValueError(
                    f"task {self.name}: {name} needs one entry per agent: {count}, got {got}"
                )
        if len(self.state_offset) not in (0, self.state_width):
            raise ValueError(
                f"task {self.name}: state_offset needs one entry per feature: {self.state_width}, "
                f"got {len(self.state_offset)}"
            )
        if count == 0 or len(set(self.agents)) != count:
            raise ValueError(
                f"task {self.name}: agents must be one or more, each once: {self.agents}"
            )
        self._check_names()
        self._check_bounds()
        for agent, index in zip(self.agents, self.observation_index, strict=True):
            bad = [i for i in index if not 0 <= i < self.state_width]
            if bad:
                raise ValueError(
                    f"task {self.name}: observation_index of {agent} names feature {bad[0]}, "
                    f"the state has {self.state_width}"
                )

    def _check_names(self) -> None:
        """Refuses names of several lines: on a screen they could say anything."""
        for word in (self.name, *self.agents, *self.state_names):
            if word.splitlines() not in ([], [word]):
                raise ValueError(
                    f"the name {word[:80]!r} of a task, agent or feature has a line break"
                )

    def _check_bounds(self) -> None:
        sides = zip(self.agents, self.action_low, self.action_high, self.discrete, strict=True)
        for agent, low, high, chooses in sides:
            pairs = list(zip(low, high, strict=False))
            fits = len(low) == len(high) > 0
            if not fits or not all(-math.inf < a < b < math.inf for a, b in pairs):
                raise ValueError(
                    f"task {self.name}: action bounds of {agent} must be pairs of finite numbers, "
                    f"low below high: {low}, {high}"
                )
            if chooses and {*low, *high} != {0.0, 1.0}:
                raise ValueError(
                    f"task {self.name}: discrete actions of {agent} are one-hot, with bounds 0 "
                    f"and 1, got {sorted({*low, *high})}"
                )

    @property
    def state_width(self) -> int:
        """S."""
        return len(self.state_names)

    @property
    def observation_width(self) -> int:
        """O, of the widest agent."""
        return max(len(index) for index in self.observation_index)

    @property
    def action_width(self) -> int:
        """U, of the widest agent."""
        return max(len(low) for low in self.action_low)

    @property
    def frame_width(self) -> int:
        """F, of an agent's own observation and action as its memory has them."""
        return self.observation_width + self.action_width

    @property
    def joint_action_width(self) -> int:
        """A * U, of all agents' padded actions beside each other."""
        return len(self.agents) * self.action_width

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes of the axes that a team fixes, by the axes' names."""
        return {
            "A": len(self.agents),
            "O": self.observation_width,
            "U": self.action_width,
            "S": self.state_width,
            "F": self.frame_width,
        }

    @cached_property
    @_ordinary
    def observation_mask(self) -> Bool[Tensor, "A O"]:
        """True where an agent's padded observation holds a feature."""
        return _mask([len(index) for index in self.observation_index])

    @cached_property
    @_ordinary
    def action_mask(self) -> Bool[Tensor, "A U"]:
        """True where an agent's padded action holds a dimension of its own."""
        return _mask([len(low) for low in self.action_low])

    @cached_property
    @_ordinary
    def chooses(self) -> Bool[Tensor, " A"]:
        """True where an agent's action is a choice: `discrete` as a tensor."""
        return torch.tensor(self.discrete)

    @cached_property
    @_ordinary
    def action_bounds(self) -> tuple[Float32[Tensor, "A U"], Float32[Tensor, "A U"]]:
        """Lower and upper bounds; both are 0 in the padding, so that clamping clears it."""
        width = self.action_width
        low, high = (
            torch.tensor([[*row, *[0.0] * (width - len(row))] for row in bound])
            for bound in (self.action_low, self.action_high)
        )
        return low, high

    @cached_property
    @_ordinary
    def _padded_index(self) -> Int64[Tensor, "A O"]:
        width = self.observation_width
        return torch.tensor([[*row, *[0] * (width - len(row))] for row in self.observation_index])

    def side_by_side(self) -> TaskSpec:
        """Returns the same task with all agents' observations, copies included, as its state."""
        names = [
            f"{agent}.{self.state_names[i]}"
            for agent, index in zip(self.agents, self.observation_index, strict=True)
            for i in index
        ]
        ends = list(accumulate(len(index) for index in self.observation_index))
        ranges = tuple(
            tuple(range(end - len(index), end))
            for end, index in zip(ends, self.observation_index, strict=True)
        )
        offset = (self.state_offset[i] for own in self.observation_index for i in own)
        return replace(
            self,
            state_names=tuple(names),
            observation_index=ranges,
            state_offset=tuple(offset) if self.state_offset else (),
        )

    @cached_property
    def offset(self) -> NDArray[np.float64]:
        """What was taken off each feature of the state, `[S]`; zeros where nothing was."""
        return np.array(self.state_offset or (0.0,) * self.state_width)

    def observe(self, state: Float32[Tensor, "... S"]) -> Float32[Tensor, "... A O"]:
        """Returns what each agent sees of the joint state, zero where an agent's row is padded."""
        mask = self.observation_mask.to(state.device)
        return state[..., self._padded_index.to(state.device)] * mask

    def clamp(self, action: Float32[Tensor, "... A U"]) -> Float32[Tensor, "... A U"]:
        """Returns the action clamped to the task's bounds, as model and environment see it."""
        low, high = (bound.to(action.device) for bound in self.action_bounds)
        return torch.clamp(action, low, high)

    def one_hot(self, action: Float32[Tensor, "... A U"]) -> Bool[Tensor, "... A"]:
        """Returns true where an agent's action is 1 in one of its own dimensions, 0 elsewhere."""
        chosen = ((action == 1) & self.action_mask).sum(-1)
        return (chosen == 1) & ((action != 0).sum(-1) == 1)


def _mask(widths: list[int]) -> Bool[Tensor, "A W"]:
    return torch.arange(max(widths)) < torch.tensor(widths)[:, None]
