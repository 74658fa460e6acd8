"""Ant, HalfCheetah, Hopper, Walker2d: Gymnasium's v5 systems as functions of their states.

The joint state holds positions (less where the body stands) and velocities as they are, where
Gymnasium's observations of Hopper and Walker2d clip velocities at 10, which would hide a part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv
from numpy.typing import NDArray

from moma_core.tasks.system import Array, System


@dataclass(frozen=True, kw_only=True)
class Runner:
    """What the four have in common: forward velocity, control cost, a body that may fall."""

    positions_width: int
    """Number of positions: MuJoCo's nq."""
    hidden: int
    """Leading positions that the state does not hold: where the body stands."""
    step_s: float
    control_cost: float
    """Cost per squared unit of control."""
    healthy_reward: float = 0.0
    """Reward per step after which the body has not fallen."""
    height: tuple[float, float] | None = None
    """Open interval of heights outside of which the body has fallen; None: it never does."""
    angle: tuple[float, float] = (-math.inf, math.inf)
    """Open interval of the third position (Hopper and Walker2d: the torso's angle)."""
    largest: float = math.inf
    """Bound of every position past the second and every velocity."""

    def positions(self, state: Array) -> tuple[Array, Array]:
        """Splits states; the body stands at the origin."""
        width = self.positions_width - self.hidden
        origin = np.zeros((len(state), self.hidden))
        return np.concatenate([origin, state[:, :width]], axis=1), state[:, width:]

    def state(self, qpos: Array, qvel: Array) -> Array:
        """Joins positions and velocities."""
        return np.concatenate([qpos[..., self.hidden :], qvel], axis=-1)

    def reward(
        self, before: Array, control: Array, after: Array, fallen: NDArray[np.bool_]
    ) -> Array:
        """Forward velocity + health - control cost (Gymnasium's v5 rewards).

        Args:
            before: positions before the step, `[B nq]`, x first, in metres.
            control: `[B nu]`.
            after: positions after the step, `[B nq]`.
            fallen: where the body has fallen, `[B]`.

        Returns:
            `[B]`.
        """
        velocity = (after[:, 0] - before[:, 0]) / self.step_s
        health, cost = self.healthy_reward * ~fallen, self.control_cost * np.square(control).sum(1)
        gained: Array = velocity + health - cost
        return gained

    def terminated(self, qpos: Array, qvel: Array) -> NDArray[np.bool_]:
        """Where the body has fallen."""
        finite = np.isfinite(qpos).all(1) & np.isfinite(qvel).all(1)
        if self.height is None:
            return np.zeros(len(qpos), dtype=np.bool_)
        height, angle = qpos[:, 2 if self.hidden == 2 else 1], qpos[:, 2]
        inside = np.abs(np.concatenate([qpos[:, 2:], qvel], axis=1)).max(1) < self.largest
        upright = (self.angle[0] < angle) & (angle < self.angle[1]) & inside
        healthy: NDArray[np.bool_] = (
            finite & upright & (self.height[0] < height) & (height < self.height[1])
        )
        return ~healthy

    def system(self, make: Callable[[], MujocoEnv]) -> System:
        """Returns the system of the environments that `make` makes."""
        return System(
            make=make,
            positions=self.positions,
            state=self.state,
            reward=self.reward,
            terminated=self.terminated,
            observed=lambda env: self.state(env.data.qpos, env.data.qvel),
        )


_ANT = Runner(
    positions_width=15,
    hidden=2,
    step_s=0.05,
    control_cost=0.5,
    healthy_reward=1.0,
    height=(math.nextafter(0.2, 0.0), math.nextafter(1.0, 2.0)),  # Ant's interval is closed
)
_HALFCHEETAH = Runner(positions_width=9, hidden=1, step_s=0.05, control_cost=0.1)
_HOPPER = Runner(
    positions_width=6, hidden=1, step_s=0.008, control_cost=1e-3, healthy_reward=1.0,
    height=(0.7, math.inf), angle=(-0.2, 0.2), largest=100.0,
)  # fmt: skip
_WALKER2D = Runner(
    positions_width=9, hidden=1, step_s=0.008, control_cost=1e-3, healthy_reward=1.0,
    height=(0.8, 2.0), angle=(-1.0, 1.0),
)  # fmt: skip

ANT = _ANT.system(
    # Without contact forces, as in the data of the published experiments: they were all zero there.
    partial(AntEnv, contact_cost_weight=0.0, include_cfrc_ext_in_observation=False)
)
HALFCHEETAH = _HALFCHEETAH.system(HalfCheetahEnv)
HOPPER = _HOPPER.system(HopperEnv)
WALKER2D = _WALKER2D.system(Walker2dEnv)
