"""Observation-action windows: what an agent with a finite memory remembers. Pure.

A frame is one agent's own (observation, action) pair of one step, F = O + U wide. The window at
step t holds the H frames before t, oldest first, and zeros for steps before the episode began.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor


def shift(
    history: Float32[Tensor, "*B H F"],
    observation: Float32[Tensor, "*B O"],
    action: Float32[Tensor, "*B U"],
) -> Float32[Tensor, "*B H F"]:
    """Drops the oldest frame and appends (observation, action); H = 0 stays empty."""
    frame = torch.cat([observation, action], dim=-1)
    return torch.cat([history, frame.unsqueeze(-2)], dim=-2)[..., 1:, :]


def after(
    history: Float32[Tensor, "B A H F"],
    observation: Float32[Tensor, "T B A O"],
    action: Float32[Tensor, "T B A U"],
) -> Float32[Tensor, "B A H F"]:
    """Returns the window after the last step of a path: T applications of `shift`."""
    frames = torch.cat([observation, action], dim=-1).permute(1, 2, 0, 3)
    return torch.cat([history, frames], dim=2)[:, :, frames.shape[2] :]


def windows(
    history: Float32[Tensor, "B A H F"],
    observation: Float32[Tensor, "T B A O"],
    action: Float32[Tensor, "T B A U"],
) -> Float32[Tensor, "T B A H F"]:
    """Rebuilds the window at every step of a path from the window at its start.

    Equal to T applications of `shift`, which is how the tests check it.
    """
    steps, length = observation.shape[0], history.shape[2]
    frames = torch.cat([observation, action], dim=-1)
    path = torch.cat([history.permute(2, 0, 1, 3), frames[: steps - 1]])
    if length == 0:
        return history.expand(steps, *history.shape)
    # Overlapping views of one path: no frame is copied here, only where a minibatch gathers rows.
    return path.unfold(0, length, 1).permute(0, 1, 2, 4, 3)
