"""Two-agent Reacher: agent 0 turns the first joint, agent 1 the second.

The system is Gymnasium's Reacher-v5 on MuJoCo, 50 steps. An arm reaches a target in two ways,
elbow left or elbow right: two conventions that do not mix. Observation splits follow the paper
(arXiv 2305.17198): `leader` shows the target to agent 0 alone.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import torch
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from torch import Tensor

from moma import seeds
from moma.config import DataConfig
from moma.data import Dataset, EpisodeWriter
from moma.tasks.task import Task
from moma.types import TaskSpec

STEPS = 50
LINKS = (0.1, 0.11)
"""Lengths in metres: shoulder to elbow, elbow to fingertip."""
_STATE = (
    "cos_0", "cos_1", "sin_0", "sin_1", "target_x", "target_y",
    "velocity_0", "velocity_1", "tip_minus_target_x", "tip_minus_target_y",
)  # fmt: skip
_OWN = ((0, 2, 6), (1, 3, 7))
_TARGET = (4, 5)
_NOTE = (
    "Reacher-v5 takes the distance after the step (v2, which the paper used, before it); "
    "a still arm scores 0 and the paper's expert 1"
)


class Reacher:
    """B copies of Reacher-v5, each with its own MuJoCo state."""

    def __init__(self, count: int) -> None:
        self._envs = [ReacherEnv() for _ in range(count)]

    def reset(self, seed: int) -> Float32[Tensor, "B S"]:
        """Starts one episode in every copy."""
        starts = [
            env.reset(seed=seeds.derive(seed, "reset", copy) % (1 << 31))[0]
            for copy, env in enumerate(self._envs)
        ]
        return torch.from_numpy(np.stack(starts).astype(np.float32))

    def step(
        self, action: Float32[Tensor, "B A U"]
    ) -> tuple[Float32[Tensor, "B S"], Float32[Tensor, " B"], Bool[Tensor, " B"]]:
        """Steps every copy; Reacher never terminates."""
        torques = action.squeeze(-1).numpy().astype(np.float64)
        steps = [env.step(torque) for env, torque in zip(self._envs, torques, strict=True)]
        state = torch.from_numpy(np.stack([step[0] for step in steps]).astype(np.float32))
        reward = torch.tensor([float(step[1]) for step in steps])
        return state, reward, torch.zeros(len(steps), dtype=torch.bool)


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
    """The scripted expert: torque = 0.5 * angle error - 0.1 * angular velocity, `[B 2]`."""
    angle = np.arctan2(state[:, 2:4], state[:, 0:2]).astype(np.float64)
    error = elbow_angles(state[:, 4:6].astype(np.float64), elbow) - angle
    error = (error + np.pi) % (2 * np.pi) - np.pi
    return 0.5 * error - 0.1 * state[:, 6:8]


def make_data(spec: TaskSpec, path: Path, config: DataConfig, seed: int) -> Dataset:
    """Makes `config.episodes` episodes, the first half elbow +1, the second half elbow -1."""
    origin = {
        "maker": "scripted experts, elbow +1 then elbow -1",
        "noise": config.noise,
        "seed": seed,
        "gymnasium": gymnasium.__version__,
        "mujoco": mujoco.__version__,
    }
    environment = Reacher(config.episodes // 2)
    with EpisodeWriter(spec, path, origin) as writer:
        for elbow in (1, -1):
            for episode in zip(*_play(environment, elbow, config.noise, seed), strict=True):
                writer.add(*episode, terminated=False)
    return Dataset.load(path)


def _play(
    environment: Reacher, elbow: int, noise: float, seed: int
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


def full() -> Task:
    """Both agents see the whole state."""
    everything = tuple(range(len(_STATE)))
    return _task("reacher-full", (everything, everything))


def independent() -> Task:
    """Each agent sees its own joint and the target."""
    return _task("reacher-independent", (_OWN[0] + _TARGET, _OWN[1] + _TARGET))


def leader() -> Task:
    """Both agents see both joints; the target is shown to agent 0 alone."""
    return _task("reacher-leader", (_OWN[0] + _OWN[1] + _TARGET, _OWN[0] + _OWN[1]))


def _task(name: str, observation_index: tuple[tuple[int, ...], ...]) -> Task:
    spec = TaskSpec(
        name=name,
        agents=("joint_0", "joint_1"),
        state_names=_STATE,
        observation_index=observation_index,
        action_low=((-1.0,), (-1.0,)),
        action_high=((1.0,), (1.0,)),
        episode_limit=STEPS,
    )
    return Task(
        spec=spec,
        environment=Reacher,
        make_data=lambda path, config, seed: make_data(spec, path, config, seed),
        return_at_zero=-11.144625,
        return_at_one=-4.2370844,
        note=_NOTE,
    )
