"""The simulator against Gymnasium, step by step, and a row of it against all others."""

from dataclasses import dataclass, replace
from itertools import islice, pairwise

import mujoco
import numpy as np
import pytest
import torch

from model_server.simulator import Simulator
from moma_core import tasks
from moma_core.ports import Dynamics
from tests.builders import PER_ROW, make_query, picked, random_action

REACHER, ANT = "reacher-full", "ant-full"
FALLING = ("hopper-3x1-full", "walker2d-2x3-full", ANT)
SYSTEMS = (REACHER, "halfcheetah-2x3-full", *FALLING)
EPISODES, STEPS = 3, 120
EXACT = 1e-6


@dataclass(frozen=True)
class Step:
    """One step: ours, Gymnasium's once its kinematics are of the same moment, and as it is."""

    state: np.ndarray
    reward: float
    terminated: bool
    fresh_state: np.ndarray
    fresh_reward: float
    stock_state: np.ndarray
    stock_reward: float
    stock_terminated: bool


def reward_after(env, name, before, control, stock):
    """The environment's reward from where its bodies are now."""
    if name == REACHER:
        return env._get_rew(control)[0]
    if name == ANT:
        return env._get_rew((env.data.qpos[0] - before) / env.dt, control)[0]
    return stock


def steps(name, simulator, hard=False):
    """Plays episodes; before each step the environment is put into the state as float32.

    Args:
        name: the task.
        simulator: what to compare with.
        hard: the same torque all along, so that Reacher's second joint hits its stop.
    """
    task, env = tasks.get(name), simulator._system.make()
    system, random = task.system, np.random.default_rng(0)
    for episode in range(EPISODES):
        env.reset(seed=episode)
        action = random_action(random, task.spec)
        for _ in range(STEPS):
            action = np.sign(action) if hard else random_action(random, task.spec)
            state = system.observed(env).astype(np.float32)[None]
            (qpos,), (qvel,) = system.positions(state.astype(np.float64))
            where = len(qpos) + len(qvel) - state.shape[1] if name != REACHER else 0
            qpos[:where] = env.data.qpos[:where]  # it stays where it stands: no state says where
            env.set_state(qpos, qvel)
            query = make_query(
                state=torch.from_numpy(state),
                action=torch.from_numpy(action[None]),
                seed=torch.zeros(1, dtype=torch.int64),
            )
            ours = simulator.predict(query)
            control = np.concatenate(
                [a[: len(own)] for a, own in zip(action, task.split, strict=True)]
            )
            assert [i for own in task.split for i in own] == list(range(env.model.nu))
            _, stock, terminated, _, _ = env.step(control)
            observed = system.observed(env)
            mujoco.mj_kinematics(env.model, env.data)
            yield Step(
                state=ours.next_state[0].numpy(),
                reward=ours.reward.item(),
                terminated=bool(ours.terminated),
                fresh_state=system.observed(env),
                fresh_reward=reward_after(env, name, qpos[0], control, stock),
                stock_state=observed,
                stock_reward=stock,
                stock_terminated=terminated,
            )
            if terminated:
                break


def off(ours, theirs):
    """Largest difference, relative to 1 + |x|."""
    return float(np.max(np.abs(ours - theirs) / (1 + np.abs(theirs))))


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_agrees_with_gymnasium_step_by_step(name):
    played = list(steps(name, Simulator(tasks.get(name), 1)))
    assert max(off(s.state, s.fresh_state) for s in played) < EXACT
    assert max(off(s.reward, s.fresh_reward) for s in played) < EXACT
    assert [s.terminated for s in played] == [s.stock_terminated for s in played]
    ends = sum(s.terminated for s in played)
    assert ends >= EPISODES - 1 if name in FALLING else ends == 0
    # What a step changes is far more than what is allowed.
    moves = [off(b.fresh_state, a.fresh_state) for a, b in pairwise(played)]
    assert min(moves) > 1e3 * EXACT


@pytest.mark.parametrize("name", SYSTEMS)
def test_agents_that_drive_each_others_joints_would_be_seen(name):
    task = tasks.get(name)
    crossed = Simulator(replace(task, split=task.split[::-1]), 1)
    played = list(islice(steps(name, crossed), 30))
    assert np.median([off(s.state, s.fresh_state) for s in played]) > 1e3 * EXACT


@pytest.mark.parametrize("name", set(SYSTEMS) - {REACHER, ANT})
def test_gymnasiums_own_values_need_no_refreshing_where_they_are_joint_positions(name):
    for step in islice(steps(name, Simulator(tasks.get(name), 1)), 60):
        assert off(step.state, step.stock_state) < EXACT
        assert off(step.reward, step.stock_reward) < EXACT


def test_gymnasiums_reacher_sees_its_fingertip_where_it_was_one_integrator_stage_ago():
    simulator = Simulator(tasks.get(REACHER), 1)
    calm, hard = (list(steps(REACHER, simulator, hard=hard)) for hard in (False, True))
    metres = [np.abs(s.state[8:] - s.stock_state[8:]).max() for s in calm]
    assert 1e-7 < np.median(metres) < 1e-5
    at_the_stop = max(np.abs(s.state[8:] - s.stock_state[8:]).max() for s in hard)
    assert 1e-3 < at_the_stop < 2e-2
    # The joints themselves agree, at the stop too, and so does the tip with fresh kinematics.
    assert max(off(s.state[:8], s.stock_state[:8]) for s in hard) < EXACT
    assert max(off(s.state, s.fresh_state) for s in hard) < EXACT


def test_gymnasiums_ant_is_paid_for_where_its_torso_was_one_integrator_stage_ago():
    played = list(steps(ANT, Simulator(tasks.get(ANT), 1)))
    rewards = [abs(s.reward - s.stock_reward) for s in played]
    assert 1e-4 < np.median(rewards) < 1e-2
    assert 1e-2 < max(rewards) < 0.2
    assert max(off(s.state, s.stock_state) for s in played) < EXACT


def test_reachers_state_does_not_tell_an_elbow_past_half_a_turn_from_the_other_side():
    # Its stop is soft: a hard blow bends the second joint past pi, where cosine and sine are those
    # of an angle on the far side. The simulator goes on from there, the true arm is thrown back.
    system = tasks.get(REACHER).system
    env, angles = system.make(), []
    env.reset(seed=0)
    for _ in range(50):
        env.step(np.ones(2))
        (read,), _ = system.positions(system.observed(env)[None])
        angles.append((env.data.qpos[1], read[1]))
    past = [(true, read) for true, read in angles if abs(true) > np.pi]
    assert 0 < len(past) < 10
    assert all(true == pytest.approx(read + 2 * np.pi) for true, read in past)
    assert all(true == pytest.approx(read) for true, read in angles if abs(true) < np.pi)


def rows_of(task, count):
    """Start states with random actions."""
    random = np.random.default_rng(1)
    states = task.environment(count).reset(0)
    actions = np.stack([random_action(random, task.spec) for _ in range(count)])
    return make_query(state=states, action=torch.from_numpy(actions), seed=torch.arange(count))


def same(one, other):
    return one.model == other.model and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in PER_ROW
    )


def taken(prediction, index):
    return replace(prediction, **{name: getattr(prediction, name)[index] for name in PER_ROW})


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_row_depends_neither_on_its_neighbours_nor_on_the_number_of_threads(name):
    task, count = tasks.get(name), 24
    rows = rows_of(task, count)
    whole = Simulator(task, 1).predict(rows)
    many = Simulator(task, 3)
    backwards = torch.arange(count - 1, -1, -1)
    for _ in range(2):  # what a thread did before does not matter either
        assert same(many.predict(rows), whole)
        turned = many.predict(picked(rows, backwards))
        assert same(turned, taken(whole, backwards))
    for row in (0, count - 1):
        assert same(many.predict(picked(rows, [row])), taken(whole, [row]))
    # Negative control: bits are compared.
    state = rows.state.clone()
    state[3, 4] += 1e-3
    nudged = many.predict(replace(rows, state=state))
    others = [row for row in range(count) if row != 3]
    assert not same(nudged, whole)
    assert same(taken(nudged, others), taken(whole, others))


def test_it_is_sure_of_itself_draws_nothing_and_counts_its_rows():
    task = tasks.get(FALLING[0])
    simulator = Simulator(task, 2)
    assert isinstance(simulator, Dynamics)
    rows = rows_of(task, 5)
    first, other = (
        simulator.predict(rows),
        simulator.predict(replace(rows, seed=rows.seed + 9)),
    )
    assert same(first, other)
    for doubt in ("disagreement", "aleatoric", "reward_disagreement"):
        assert not getattr(first, doubt).any()
    assert simulator.metrics() == {"model_server/rows": 10.0}
    card = simulator.describe()
    assert card.task == task.spec
    assert set(card.disagreement_quantiles.values()) == {0.0}
    assert card.digest != Simulator(tasks.get("hopper-3x1"), 1).describe().digest


@pytest.mark.parametrize("name", ["icg", "polygame-plus"])
def test_a_task_without_a_system_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"task {name} has no simulator"):
        Simulator(tasks.get(name), 1)
