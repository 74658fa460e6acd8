"""Who sees and drives what: against the published tables, the compiled models and the systems."""

import math

import numpy as np
import pytest
import torch

from moma_core import tasks
from moma_core.tasks import Environment
from moma_core.tasks.system import control

# Feature indices and actuators as published (arXiv 2305.17198 and its code).
TORSO = (0, 1, 2, 3, 4, 16, 17, 18, 13, 14, 15)
PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7))
LEGS = ((2, 11, 3, 12, 4, 13), (5, 14, 6, 15, 7, 16))
PUBLISHED = {
    "ant-full": ((tuple(range(27)),) * 4, PAIRS),
    "ant-partial": (
        (
            (0, 1, 2, 3, 4, 16, 17, 18, 13, 14, 15, 5, 19, 6, 20),
            (7, 21, 8, 22),
            (9, 23, 10, 24),
            (11, 25, 12, 26),
        ),
        PAIRS,
    ),
    "halfcheetah-2x3": (LEGS, ((0, 1, 2), (3, 4, 5))),
    "halfcheetah-2x3-full": ((tuple(range(17)),) * 2, ((0, 1, 2), (3, 4, 5))),
    "halfcheetah-6x1": (
        ((2, 11), (3, 12), (4, 13), (5, 14), (6, 15), (7, 16)),
        ((0,), (1,), (2,), (3,), (4,), (5,)),
    ),
    "hopper-3x1": (((2, 8), (3, 9), (4, 10)), ((0,), (1,), (2,))),
}
# Ours: what the published code could not run, and Ant's legs put right.
OURS = {
    "ant-corrected": (
        ((*TORSO, 11, 25, 12, 26), (5, 19, 6, 20), (7, 21, 8, 22), (9, 23, 10, 24)),
        PAIRS,
    ),
    "halfcheetah-6x1-full": (
        (tuple(range(17)),) * 6,
        ((0,), (1,), (2,), (3,), (4,), (5,)),
    ),
    "hopper-3x1-full": ((tuple(range(11)),) * 3, ((0,), (1,), (2,))),
    "walker2d-2x3": (LEGS, ((0, 1, 2), (3, 4, 5))),
    "walker2d-2x3-full": ((tuple(range(17)),) * 2, ((0, 1, 2), (3, 4, 5))),
}
TABLES = PUBLISHED | OURS
WIDTHS = {
    "ant": (27, 8, 2),
    "halfcheetah": (17, 6, 1),
    "hopper": (11, 3, 1),
    "walker2d": (17, 6, 1),
}
"""Joint state, actuators, and positions that the state does not hold."""
OWN = [name for name in TABLES if not name.endswith("-full")]


def body(name):
    return WIDTHS[name.partition("-")[0]]


def test_every_task_that_runs_is_in_a_table():
    bodies = tuple(WIDTHS)
    assert {name for name in tasks.NAMES if name.startswith(bodies)} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_agents_see_and_drive_what_the_tables_say(name):
    task, (seen, driven) = tasks.get(name), TABLES[name]
    spec, (width, actuators, _) = task.spec, body(name)
    assert spec.name == name
    assert spec.observation_index == seen
    assert task.split == driven
    assert spec.state_width == width == len(set(spec.state_names))
    assert sorted(i for own in driven for i in own) == list(range(actuators))
    assert [len(low) for low in spec.action_low] == [len(own) for own in driven]
    assert {*sum(spec.action_low, ()), *sum(spec.action_high, ())} == {-1.0, 1.0}
    assert spec.episode_limit == 1000
    assert not any(spec.discrete)


@pytest.mark.parametrize("name", TABLES)
def test_widths_and_bounds_are_those_of_the_compiled_model(name):
    task = tasks.get(name)
    model, (width, actuators, hidden) = task.system.make().model, body(name)
    assert (model.nq + model.nv - hidden, model.nu) == (width, actuators)
    np.testing.assert_array_equal(model.actuator_ctrlrange, [[-1, 1]] * actuators)


def joints(name):
    """Per actuator, the name of its joint and the features of that joint's angle and velocity."""
    model, hidden = tasks.get(name).system.make().model, body(name)[2]
    driven = []
    for number, _ in model.actuator_trnid:
        joint = model.joint(number)
        angle, velocity = joint.qposadr[0] - hidden, model.nq - hidden + joint.dofadr[0]
        driven.append((joint.name, angle, velocity))
    return driven


@pytest.mark.parametrize("name", OWN)
def test_features_carry_the_names_of_the_models_joints(name):
    features = tasks.get(name).spec.state_names
    for joint, angle, velocity in joints(name):
        words = set(joint.split("_")) - {"joint"}
        assert set(features[angle].split("_")) == words
        assert set(features[velocity].split("_")) == words | {"velocity"}


def test_ants_actuators_begin_with_the_fourth_leg():
    assert [joint for joint, _, _ in joints("ant-full")] == [
        "hip_4", "ankle_4", "hip_1", "ankle_1", "hip_2", "ankle_2", "hip_3", "ankle_3",
    ]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_agents_see_the_joints_that_they_drive_but_in_the_published_ant(name):
    task, driven = tasks.get(name), joints(name)
    for agent, own in enumerate(task.split):
        drives = {feature for i in own for feature in driven[i][1:]}
        sees = set(task.spec.observation_index[agent]) - set(TORSO if "ant" in name else ())
        assert len(sees) == len(drives)
        assert sees.isdisjoint(drives) if name == "ant-partial" else sees == drives


def seen_to_change(task, env, index):
    """Agents whose observation changes when one entry of (positions, velocities) does."""
    before = task.system.observed(env)
    qpos, qvel = env.data.qpos.copy(), env.data.qvel.copy()
    moved = np.concatenate([qpos, qvel])
    moved[index] += 0.01
    env.set_state(moved[: len(qpos)], moved[len(qpos) :])
    pair = torch.tensor(np.stack([before, task.system.observed(env)]), dtype=torch.float32)
    env.set_state(qpos, qvel)
    first, second = task.spec.observe(pair)
    return {agent for agent in range(len(first)) if not torch.equal(first[agent], second[agent])}


@pytest.mark.parametrize("name", TABLES)
def test_a_moved_joint_is_seen_by_those_agents_alone_that_the_table_names(name):
    task, (seen, _) = tasks.get(name), TABLES[name]
    env, hidden = task.system.make(), body(name)[2]
    env.reset(seed=0)
    for index in range(env.model.nq + env.model.nv):
        expected = {agent for agent, own in enumerate(seen) if index - hidden in own}
        assert seen_to_change(task, env, index) == expected, index


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reacher-full", ({0, 1}, {0, 1}, {0, 1})),
        ("reacher-leader", ({0, 1}, {0, 1}, {0})),
        ("reacher-independent", ({0}, {1}, {0, 1})),
    ],
)
def test_reachers_joints_and_target_are_seen_as_its_name_says(name, expected):
    task = tasks.get(name)
    env = task.system.make()
    env.reset(seed=0)
    # First joint, second joint, the target's x and y; then the joints' velocities.
    first, second, target = expected
    assert [seen_to_change(task, env, index) for index in range(6)] == [
        first, second, target, target, first, second,
    ]  # fmt: skip
    names = [task.system.make().model.joint(j).name for j, _ in env.model.actuator_trnid]
    assert names == ["joint0", "joint1"]
    assert task.split == ((0,), (1,))


def test_joint_actions_become_the_controls_of_the_actuators_that_the_split_names():
    action = torch.tensor([[[1.0, 2.0], [3.0, 9.0], [4.0, 5.0]]])
    assert control(action, ((3, 0), (1,), (2, 4))).tolist() == [[2, 3, 4, 1, 5]]


@pytest.mark.parametrize("name", OWN)
def test_copies_of_the_system_are_reset_each_for_itself_and_step_as_the_system_does(name):
    task = tasks.get(name)
    three, two = task.environment(3), task.environment(2)
    assert isinstance(three, Environment)
    state = three.reset(5)
    assert torch.equal(two.reset(5), state[:2])
    assert not torch.equal(state[0], state[1])
    action = torch.zeros(3, len(task.spec.agents), task.spec.action_width)
    after, reward, terminated = three.step(action)
    assert after.shape == (3, task.spec.state_width)
    assert reward.shape == terminated.shape == (3,)
    assert not terminated.any()
    env = task.system.make()
    qpos, qvel = task.system.positions(state[:1].double().numpy())
    env.set_state(qpos[0], qvel[0])
    env.step(np.zeros(env.model.nu))
    np.testing.assert_allclose(after[0], task.system.observed(env), atol=1e-4)


def edges(low, high):
    """Both ends of an interval, and what lies right beside them."""
    return [
        value
        for end in (low, high)
        if math.isfinite(end)
        for value in (math.nextafter(end, -math.inf), end, math.nextafter(end, math.inf))
    ]


@pytest.mark.parametrize(
    ("name", "height", "angle"),
    [
        ("ant-full", (0.2, 1.0), None),
        ("hopper-3x1", (0.7, math.inf), (-0.2, 0.2)),
        ("walker2d-2x3", (0.8, 2.0), (-1.0, 1.0)),
        ("halfcheetah-2x3", (-0.5, 0.5), (-3.0, 3.0)),
    ],
)
def test_a_body_has_fallen_exactly_where_gymnasium_says_so(name, height, angle):
    task = tasks.get(name)
    env, hidden = task.system.make(), body(name)[2]
    env.reset(seed=0)
    changes = [(hidden, z) for z in edges(*height)]
    if angle is not None:
        changes += [(2, a) for a in edges(*angle)]
    changes += [(env.model.nq + 1, v) for v in edges(-100.0, 100.0)]
    answers = set()
    for index, value in changes:
        entry = np.concatenate([env.data.qpos, env.data.qvel])
        entry[index] = value
        kept = env.data.qpos.copy(), env.data.qvel.copy()
        env.data.qpos[:], env.data.qvel[:] = entry[: env.model.nq], entry[env.model.nq :]
        ours = task.system.terminated(env.data.qpos[None], env.data.qvel[None])
        theirs = not getattr(env, "is_healthy", True)
        env.data.qpos[:], env.data.qvel[:] = kept
        assert ours.tolist() == [theirs], (index, value)
        answers.add(theirs)
    assert answers == ({False} if name.startswith("halfcheetah") else {False, True})


@pytest.mark.parametrize("name", ["ant-full", "hopper-3x1"])
def test_what_is_no_number_has_fallen(name):
    system = tasks.get(name).system
    env = system.make()
    qvel = env.init_qvel.copy()
    assert not system.terminated(env.init_qpos[None], qvel[None]).any()
    qvel[-1] = math.nan
    assert system.terminated(env.init_qpos[None], qvel[None]).all()
