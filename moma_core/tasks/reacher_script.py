"""Reacher's scripted experts: two conventions, elbow one way or the other, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from moma_core import seeds
from moma_core.config import DataConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.tasks.task import Environment
from moma_core.types import TaskSpec

STEPS = 50
LINKS = (0.1, 0.11)
"""Lengths in metres: shoulder to elbow, elbow to fingertip."""


def elbow_angles(target: NDArray[np.float64], elbow: int) -> NDArray[np.float64]:
    """Joint angles that put the fingertip on the target, by two-link inverse kinematics.

    Args:
        target: `[B 2]`, metres; targets out of reach are approached as far as the arm goes.
        elbow: +1 or -1, the sign of the second joint's angle: the convention.

    Returns:
        Angles of both joints in radians, `[B 2]`.
    """
    first, second = LINKS
    distance = np.linalg.norm(target, axis=1)
    cosine = (distance**2 - first**2 - second**2) / (2 * first * second)
    bend = elbow * np.arccos(np.clip(cosine, -1, 1))
    direction = np.arctan2(target[:, 1], target[:, 0])
    offset = np.arctan2(second * np.sin(bend), first + second * np.cos(bend))
    return np.stack([direction - offset, bend], axis=1)


def expert_torque(state: NDArray[np.float32], elbow: int) -> NDArray[np.float64]:
    """The scripted expert: torque = 0.5 * angle error - 0.1 * angular velocity, `[B 2]`.

    Args:
        state: joint states, `[B S]`.
        elbow: +1 or -1, the convention.
    """
    angle = np.arctan2(state[:, 2:4], state[:, 0:2]).astype(np.float64)
    error = elbow_angles(state[:, 4:6].astype(np.float64), elbow) - angle
    error = (error + np.pi) % (2 * np.pi) - np.pi
    return 0.5 * error - 0.1 * state[:, 6:8]


def make_data(
    spec: TaskSpec,
    copies: Callable[[int], Environment],
    path: Path,
    config: DataConfig,
    seed: int,
) -> Dataset:
    """Makes `config.episodes` episodes, the first half elbow +1, the second half elbow -1.

    Args:
        spec: the team.
        copies: makes that many copies of the environment.
        path: the dataset's directory.
        config: how many episodes, and the standard deviation of the noise on torques.
        seed: of every draw.
    """
    origin = {
        "variant": "scripted",
        "maker": "scripted experts, elbow +1 then elbow -1",
        "noise": config.noise,
        "seed": seed,
        "gymnasium": gymnasium.__version__,
        "mujoco": mujoco.__version__,
    }
    environment = copies(config.episodes // 2)
    with EpisodeWriter(spec, path, origin) as writer:
        for elbow in (1, -1):
            for episode in zip(*_play(environment, elbow, config.noise, seed), strict=True):
                writer.add(*episode, terminated=False)
    return Dataset.load(path)


def _play(
    environment: Environment, elbow: int, noise: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """States `[B T+1 S]`, actions `[B T A U]` and rewards `[B T]` of one convention."""
    start = seeds.derive(seed, "expert", elbow)
    random, state = np.random.default_rng(start), environment.reset(start)
    states, actions, rewards = [state], [], []
    for _ in range(STEPS):
        torque = expert_torque(state.numpy(), elbow)
        torque += noise * random.standard_normal(torque.shape)
        action = torch.from_numpy(torque.clip(-1, 1).astype(np.float32)).unsqueeze(-1)
        state, reward, _ = environment.step(action)
        states.append(state)
        actions.append(action)
        rewards.append(reward)
    state, action, reward = (torch.stack(part, 1) for part in (states, actions, rewards))
    return state.numpy(), action.numpy(), reward.numpy()
