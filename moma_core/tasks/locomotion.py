"""Teams that run: the joints of Ant, HalfCheetah, Hopper and Walker2d shared among agents.

Observation and action splits are the published ones (arXiv 2305.17198 and its code); names end in
`-full` where every agent sees the whole state.
"""

from __future__ import annotations

from functools import partial

from moma_core.tasks import runners
from moma_core.tasks.copies import Copies
from moma_core.tasks.system import Split, System
from moma_core.tasks.task import Task
from moma_core.types import TaskSpec

_SCORES = {
    "ant": (-38.7, 6533.6),
    "halfcheetah": (-281.0, 5509.1),
    "hopper": (17.6, 2398.4),
    "walker2d": (2.3, 5022.2),
}
"""Measured returns of the untrained policy and of our own online expert: docs/tasks.md."""
_NOTE = "0 is the untrained policy, 1 our own online expert (docs/tasks.md), not D4RL's scale"
LIMIT = 1000
"""Steps of an episode."""
_LEGS = ((5, 19, 6, 20), (7, 21, 8, 22), (9, 23, 10, 24), (11, 25, 12, 26))
"""Ant: hip and ankle of legs 1 to 4, each angle before its velocity."""
_TORSO = (0, 1, 2, 3, 4, 16, 17, 18, 13, 14, 15)
_ANT_STATE = (
    "z", "quaternion_w", "quaternion_x", "quaternion_y", "quaternion_z",
    *(f"{joint}_{leg}" for leg in range(1, 5) for joint in ("hip", "ankle")),
    "velocity_x", "velocity_y", "velocity_z", "angular_x", "angular_y", "angular_z",
    *(f"{joint}_{leg}_velocity" for leg in range(1, 5) for joint in ("hip", "ankle")),
)  # fmt: skip
_PAIRS: Split = ((0, 1), (2, 3), (4, 5), (6, 7))
"""Ant's actuators drive hip 4, ankle 4, hip 1, ankle 1, hip 2, ankle 2, hip 3, ankle 3."""


def ant(observations: str) -> Task:
    """Four agents, two actuators each.

    Args:
        observations: `full`; `partial`, the published split, in which agent 0 sees leg 1 and the
            torso but drives leg 4, and so on; `corrected`, in which each sees the leg that it
            drives.
    """
    own = _LEGS if observations == "partial" else (_LEGS[3], *_LEGS[:3])
    index: Split = (_TORSO + own[0], *own[1:])
    if observations == "full":
        index = (tuple(range(len(_ANT_STATE))),) * 4
    return _task(f"ant-{observations}", "ant", runners.ANT, _ANT_STATE, index, _PAIRS)


def halfcheetah(agents: str, observations: str) -> Task:
    """Two agents with a leg each (`2x3`), or six with a joint each (`6x1`)."""
    joints = _planar("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
    split = _halves() if agents == "2x3" else _singles(6)
    return _runner(f"halfcheetah-{agents}", observations, runners.HALFCHEETAH, joints, split)


def hopper(observations: str) -> Task:
    """Three agents with a joint each."""
    joints = _planar("thigh", "leg", "foot")
    return _runner("hopper-3x1", observations, runners.HOPPER, joints, _singles(3))


def walker2d(observations: str) -> Task:
    """Two agents with a leg each."""
    legs = ("thigh", "leg", "foot", "left_thigh", "left_leg", "left_foot")
    return _runner("walker2d-2x3", observations, runners.WALKER2D, _planar(*legs), _halves())


def _planar(*joints: str) -> tuple[str, ...]:
    """State features of a body in the plane."""
    velocities = (f"{name}_velocity" for name in ("x", "z", "angle", *joints))
    return ("z", "angle", *joints, *velocities)


def _halves() -> Split:
    return (0, 1, 2), (3, 4, 5)


def _singles(count: int) -> Split:
    return tuple((joint,) for joint in range(count))


def _runner(
    name: str, observations: str, system: System, state: tuple[str, ...], split: Split
) -> Task:
    """A body in the plane; agents see the angle and velocity of their own joints, or all."""
    joints = sum(len(own) for own in split)
    index: Split = tuple(
        tuple(feature for joint in own for feature in (2 + joint, 5 + joints + joint))
        for own in split
    )
    if observations == "full":
        index = (tuple(range(len(state))),) * len(split)
        name = f"{name}-full"
    return _task(name, name.partition("-")[0], system, state, index, split)


def _task(
    name: str, body: str, system: System, state: tuple[str, ...], index: Split, split: Split
) -> Task:
    spec = TaskSpec(
        name=name,
        agents=tuple(f"agent_{agent}" for agent in range(len(split))),
        state_names=state,
        observation_index=index,
        action_low=tuple((-1.0,) * len(own) for own in split),
        action_high=tuple((1.0,) * len(own) for own in split),
        episode_limit=LIMIT,
    )
    zero, one = _SCORES[body]
    return Task(
        spec=spec,
        system=system,
        split=split,
        environment=partial(Copies, system, split),
        variants={},
        experts={"expert": f"{body}-expert"},
        return_at_zero=zero,
        return_at_one=one,
        note=_NOTE,
    )
