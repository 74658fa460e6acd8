"""Two-agent Reacher: agent 0 turns the first joint, agent 1 the second.

The system is Gymnasium's Reacher-v5 on MuJoCo, 50 steps. An arm reaches a target in two ways,
elbow left or elbow right: two conventions that do not mix. Observation splits follow the paper
(arXiv 2305.17198): `leader` shows the target to agent 0 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv
from numpy.typing import NDArray

from moma_core.datasets import Dataset
from moma_core.tasks import reacher_script as script
from moma_core.tasks.copies import Copies
from moma_core.tasks.reacher_script import LINKS, STEPS
from moma_core.tasks.system import Array, System
from moma_core.tasks.task import Task
from moma_core.types import TaskSpec

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


def positions(state: Array) -> tuple[Array, Array]:
    """Joint angles and target, and their velocities; the target stands still."""
    angle = np.arctan2(state[:, 2:4], state[:, 0:2])
    return (
        np.concatenate([angle, state[:, 4:6]], axis=1),
        np.concatenate([state[:, 6:8], np.zeros_like(angle)], axis=1),
    )


def joint_state(qpos: Array, qvel: Array) -> Array:
    """The joint state, the fingertip by plane geometry.

    Gymnasium's is one integrator stage old: 1e-6 m off, and up to a centimetre where the second
    joint hits its stop.
    """
    angle, target = qpos[:, :2], qpos[:, 2:]
    first, second = LINKS
    bent = angle.sum(1)
    tip = np.stack(
        [
            first * np.cos(angle[:, 0]) + second * np.cos(bent),
            first * np.sin(angle[:, 0]) + second * np.sin(bent),
        ],
        axis=1,
    )
    return np.concatenate([np.cos(angle), np.sin(angle), target, qvel[:, :2], tip - target], axis=1)


def reward(before: Array, control: Array, after: Array, ended: NDArray[np.bool_]) -> Array:  # noqa: ARG001 - a system's signature
    """Minus the fingertip's distance from the target, minus the squared torques (Reacher-v5).

    Args:
        before: positions before the step, `[B 4]`; they play no part.
        control: torques, `[B 2]`.
        after: positions after the step, `[B 4]`: joint angles in radians, target in metres.
        ended: where the episode terminated, `[B]`; it never does.

    Returns:
        `[B]`.
    """
    offset = joint_state(after, np.zeros_like(after))[:, 8:]
    distance: Array = np.linalg.norm(offset, axis=1)
    gained: Array = -distance - np.square(control).sum(1)
    return gained


SYSTEM = System(
    make=ReacherEnv,
    positions=positions,
    state=joint_state,
    terminated=lambda qpos, qvel: np.zeros(len(qpos), dtype=np.bool_),  # noqa: ARG005
    reward=reward,
    observed=lambda env: env._get_obs(),
)
_SPLIT = ((0,), (1,))


def conventional(elbow: int) -> System:
    """Reacher whose imagined reward also asks for a convention, to train its experts with.

    Args:
        elbow: the sign that the second joint's angle is to have; the reward loses one per radian
            on the other side.
    """

    def asked(before: Array, control: Array, after: Array, ended: NDArray[np.bool_]) -> Array:
        gained: Array = reward(before, control, after, ended)
        return gained - np.maximum(0.0, -elbow * after[:, 1])

    return replace(SYSTEM, reward=asked)


def _elbows(dataset: Dataset) -> Mapping[str, float]:
    """Which convention the data holds: the share of episodes that end with the elbow at +1."""
    last = dataset.edges[1:] + np.arange(dataset.episodes)
    return {"elbow_positive": float((dataset.state[last][:, 3] > 0).mean())}


def full() -> Task:
    """Both agents see the whole state."""
    everything = tuple(range(len(_STATE)))
    return _task("reacher-full", (everything, everything))


def expert(convention: str) -> Task:
    """Both see the whole state and are asked for one convention: `c` elbow +1, `d` elbow -1.

    Its evaluation is plain Reacher: the score asks for no convention.
    """
    everything = tuple(range(len(_STATE)))
    task = _task(f"reacher-{convention}", (everything, everything))
    return replace(task, system=conventional(1 if convention == "c" else -1))


def independent() -> Task:
    """Each agent sees its own joint and the target."""
    return _task("reacher-independent", (_OWN[0] + _TARGET, _OWN[1] + _TARGET))


def leader() -> Task:
    """Both agents see both joints; the target is shown to agent 0 alone."""
    return _task("reacher-leader", (_OWN[0] + _OWN[1] + _TARGET, _OWN[0] + _OWN[1]))


def _task(name: str, observation_index: tuple[tuple[int, ...], ...]) -> Task:
    copies = partial(Copies, SYSTEM, _SPLIT)
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
        system=SYSTEM,
        split=_SPLIT,
        environment=copies,
        variants={"scripted": partial(script.make_data, spec, copies)},
        experts={"c": "reacher-expert-c", "d": "reacher-expert-d"},
        facts=_elbows,
        return_at_zero=-11.144625,
        return_at_one=-4.2370844,
        note=_NOTE,
    )
