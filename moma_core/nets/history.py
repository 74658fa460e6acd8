"""Observation-action windows: what an agent with a finite memory remembers.

A frame is one agent's own (observation, action) pair of one step, F = O + U wide. The window at
step t holds the H frames before t, oldest first, and zeros for steps before the episode began.
Frames are laid side by side once; a window is a view of them, wherever it begins.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

_ROOM = 32
"""Frames that a ring takes in before it starts again at its front."""


class Ring:
    """The newest frames of B rollouts that go on step by step."""

    def __init__(self, history: Float32[Tensor, "B A H F"]) -> None:
        """Begins with a window."""
        rows, agents, self._length, width = history.shape
        self._frames = history.new_zeros(rows, agents, self._length + _ROOM, width)
        self._frames[:, :, : self._length] = history
        self._first = 0

    @property
    def window(self) -> Float32[Tensor, "B A H F"]:
        """The last H frames, oldest first: a view that `push` leaves as it is, if not for good."""
        return self._frames[:, :, self._first : self._first + self._length]

    def push(self, observation: Float32[Tensor, "B A O"], action: Float32[Tensor, "B A U"]) -> None:
        """Drops the oldest frame and appends (observation `[B A O]`, action `[B A U]`)."""
        if self._first == _ROOM:
            self._frames[:, :, : self._length] = self.window.clone()
            self._first = 0
        frame, width = self._frames[:, :, self._first + self._length], observation.shape[-1]
        frame[..., :width], frame[..., width:] = observation, action
        self._first += 1

    def keep(self, rows: Int64[Tensor, " M"]) -> None:
        """Drops all rollouts but these."""
        self._frames = self._frames[rows]


def lay(
    history: Float32[Tensor, "B A H F"],
    observation: Float32[Tensor, "T B A O"],
    action: Float32[Tensor, "T B A U"],
) -> Float32[Tensor, "A B H+T F"]:
    """Lays the frames of whole rollouts side by side, those of the window at the start first.

    Args:
        history: the windows at the start, `[B A H F]`.
        observation: every agent's observations, `[T B A O]`.
        action: every agent's actions, `[T B A U]`.

    Returns:
        A path `[A B H+T F]`.
    """
    frames = torch.cat([observation, action], dim=-1)
    return torch.cat([history.transpose(0, 1), frames.permute(2, 1, 0, 3)], dim=2)


def places(
    path: Float[Tensor, "A B P F"], step: Int64[Tensor, " N"], rollout: Int64[Tensor, " N"]
) -> Int64[Tensor, " N"]:
    """Returns where in a path the windows at some steps of some rollouts begin.

    Args:
        path: frames side by side, `[A B P F]`, as `lay` gives them.
        step: the windows' steps, from 0, `[N]`.
        rollout: the windows' rollouts, below B, `[N]`.
    """
    return rollout * path.shape[2] + step


def windows(
    path: Float[Tensor, "A B P F"], length: int, place: Int64[Tensor, " N"]
) -> Float[Tensor, "N A H F"]:
    """Gathers the windows of H frames that begin at some places of a path.

    Args:
        path: frames side by side, `[A B P F]`, as `lay` gives them.
        length: frames of a window, H.
        place: where the windows begin, `[N]`, as `places` gives it.

    Returns:
        `[N A H F]`, oldest frame first.
    """
    agents, rollouts, steps, width = path.shape
    # One overlapping view per agent, whose rows lie in one piece each: copied, never indexed, which
    # would gather number by number (1.8 ms a minibatch instead of 0.1).
    views = path.reshape(agents, rollouts * steps * width).unfold(1, length * width, width)
    gathered = path.new_empty(agents, len(place), length * width)
    for view, out in zip(views, gathered, strict=True):
        torch.index_select(view, 0, place, out=out)
    return gathered.view(agents, len(place), length, width).transpose(0, 1)


def after(path: Float32[Tensor, "A B P F"], length: int) -> Float32[Tensor, "B A H F"]:
    """Returns the window after the last step of a path."""
    return path[:, :, path.shape[2] - length :].transpose(0, 1)
