"""What a MuJoCo system is to a task: states to positions and back, reward and termination.

All arrays are float64 with rows in front: states `[B S]`, positions `[B nq]`, velocities `[B nv]`,
controls `[B nu]` in the order of the model's actuators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Split = tuple[tuple[int, ...], ...]
"""Per agent, the actuator that each dimension of its action drives."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One MuJoCo system whose step is a function of its joint state."""

    make: Callable[[], Any]
    """Factory of the environment: a Gymnasium `MujocoEnv`."""
    positions: Callable[[Array], tuple[Array, Array]]
    """Positions and velocities of joint states; what no state holds (where it stands) is 0."""
    state: Callable[[Array, Array], Array]
    """Joint states of positions and velocities."""
    terminated: Callable[[Array, Array], NDArray[np.bool_]]
    """Marks of positions and velocities that end the episode, `[B]`."""
    reward: Callable[[Array, Array, Array, NDArray[np.bool_]], Array]
    """Rewards `[B]` of positions before, control, positions after, and terminated."""
    observed: Callable[[Any], Array]
    """Joint state `[S]` that the environment is in."""


def control(action: Float32[Tensor, "B A U"], split: Split) -> Array:
    """Returns joint actions `[B A U]` as one control per actuator, `[B nu]`."""
    count = sum(len(own) for own in split)
    flat = np.zeros((len(action), count))
    for agent, own in enumerate(split):
        flat[:, list(own)] = action[:, agent, : len(own)].numpy()
    return flat
