"""The environment for evaluation: Gymnasium's side by side."""

from __future__ import annotations

import logging
from functools import cache

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from moma_core import seeds
from moma_core.tasks.system import Split, System, control


@cache
def _say(message: str) -> None:
    """Says once what MuJoCo warns of: every copy of a system compiles its model anew."""
    logging.getLogger("mujoco").warning("%s", message)


mujoco.set_mju_user_warning(_say)


class Copies:
    """B copies of a system, each a Gymnasium environment with its own MuJoCo state.

    Args:
        system: the MuJoCo system.
        split: per agent, the actuators that its action drives.
        count: copies, B.
    """

    def __init__(self, system: System, split: Split, count: int) -> None:
        self._system, self._split = system, split
        self._envs = [system.make() for _ in range(count)]

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Starts one episode in every copy."""
        for copy, env in enumerate(self._envs):
            env.reset(seed=seeds.derive(seed, "reset", copy) % (1 << 31))
        return self._state()

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Steps every copy."""
        flat = control(action, self._split)
        steps = [env.step(own) for env, own in zip(self._envs, flat, strict=True)]
        reward = torch.tensor([float(step[1]) for step in steps])
        return self._state(), reward, torch.tensor([bool(step[2]) for step in steps])

    @property
    def draws(self) -> bool:
        """MuJoCo draws every system."""
        return True

    def frame(self) -> UInt8[np.ndarray, "height width 3"]:
        """Draws the first copy by the backend that MUJOCO_GL names."""
        drawn: UInt8[np.ndarray, "height width 3"]
        drawn = self._envs[0].unwrapped.mujoco_renderer.render("rgb_array")
        return drawn

    def _state(self) -> Float32[Tensor, "B S"]:
        states = np.stack([self._system.observed(env) for env in self._envs])
        return torch.from_numpy(states.astype(np.float32))
