"""Two-agent Reacher: its conventions, its data and its views."""

import numpy as np
import pytest
import torch

from moma_core import tasks
from moma_core.config import DataConfig
from moma_core.tasks import reacher_script
from moma_core.tasks.reacher_script import LINKS, elbow_angles


def fingertip(angles):
    """Forward kinematics of two links."""
    first, both = angles[:, 0], angles[:, 0] + angles[:, 1]
    x = LINKS[0] * np.cos(first) + LINKS[1] * np.cos(both)
    y = LINKS[0] * np.sin(first) + LINKS[1] * np.sin(both)
    return np.stack([x, y], axis=1)


def targets(count=200, radius=0.2):
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, count)
    distance = radius * np.sqrt(random.uniform(0.01, 1, count))
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)


@pytest.mark.parametrize("elbow", [1, -1])
def test_the_fingertip_is_on_the_target(elbow):
    aim = targets()
    np.testing.assert_allclose(fingertip(elbow_angles(aim, elbow)), aim, atol=1e-9)


def test_the_conventions_bend_the_elbow_to_opposite_sides():
    aim = targets()
    left, right = (elbow_angles(aim, elbow)[:, 1] for elbow in (1, -1))
    assert (left > 0).all()
    np.testing.assert_allclose(left, -right)


def test_a_target_out_of_reach_is_approached_with_a_stretched_arm():
    aim = np.array([[1.0, 1.0], [0.0, -0.5]])
    reach = fingertip(elbow_angles(aim, 1))
    np.testing.assert_allclose(np.linalg.norm(reach, axis=1), sum(LINKS))
    direction = aim / np.linalg.norm(aim, axis=1)[:, None]
    np.testing.assert_allclose(reach / sum(LINKS), direction, atol=1e-9)


def test_forward_kinematics_and_features_agree_with_the_simulator():
    state = tasks.get("reacher-full").environment(6).reset(3).numpy()
    angles = np.arctan2(state[:, 2:4], state[:, 0:2])
    np.testing.assert_allclose(fingertip(angles) - state[:, 4:6], state[:, 8:10], atol=1e-5)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    task = tasks.get("reacher-leader")
    path = tmp_path_factory.mktemp("reacher") / "data"
    return task.make_data(path, DataConfig(episodes=10), 4)


def test_the_log_is_half_of_each_convention_within_bounds(log):
    assert (log.episodes, log.transitions) == (10, 500)
    assert np.abs(log.action).max() <= 1
    assert log.truncated.sum() == 10
    assert not log.terminated.any()
    final = log.state[np.append(log.episode_start[1:], 500) + np.arange(10)]
    bend = np.sin(np.arctan2(final[:, 3], final[:, 1]))
    assert np.sign(bend).tolist() == [1] * 5 + [-1] * 5


def test_the_experts_get_near_the_target(log):
    first = log.state[log.episode_start + np.arange(10)]
    final = log.state[np.append(log.episode_start[1:], 500) + np.arange(10)]
    begun, ended = (np.linalg.norm(s[:, 8:10], axis=1).mean() for s in (first, final))
    assert ended < 0.5 * begun


def test_the_log_depends_on_its_seed_alone(log, tmp_path):
    task, config = tasks.get("reacher-leader"), DataConfig(episodes=10)
    again = task.make_data(tmp_path / "again", config, 4)
    other = task.make_data(tmp_path / "other", config, 5)
    for name in ("state", "action", "reward"):
        np.testing.assert_array_equal(getattr(again, name), getattr(log, name))
        assert not np.array_equal(getattr(other, name), getattr(log, name))


def test_noise_is_added_to_the_experts_actions(log, tmp_path):
    calm = tasks.get("reacher-leader").make_data(
        tmp_path / "calm", DataConfig(episodes=10, noise=0.0), 4
    )
    np.testing.assert_array_equal(calm.state[0], log.state[0])
    expert = reacher_script.expert_torque(calm.state[:50], 1)
    np.testing.assert_allclose(calm.action[:50, :, 0], expert.clip(-1, 1), atol=1e-6)
    spread = (log.action[:50, :, 0] - reacher_script.expert_torque(log.state[:50], 1)).std()
    assert 0.15 < spread < 0.25


def test_a_copys_start_depends_on_the_seed_and_its_own_number_alone():
    copies = tasks.get("reacher-full").environment
    two, three, other = copies(2).reset(1), copies(3).reset(1), copies(2).reset(2)
    assert torch.equal(two, three[:2])
    assert not torch.equal(two[0], two[1])
    assert not torch.equal(two, other)


EVERYTHING = tuple(range(10))
VIEWS = {
    "reacher-leader": ((0, 2, 6, 1, 3, 7, 4, 5), (0, 2, 6, 1, 3, 7)),
    "reacher-independent": ((0, 2, 6, 4, 5), (1, 3, 7, 4, 5)),
    "reacher-full": (EVERYTHING, EVERYTHING),
}


@pytest.mark.parametrize("name", VIEWS)
def test_agents_observe_what_the_paper_shows_them(name):
    task = tasks.get(name)
    assert task.spec.name == name
    assert task.spec.observation_index == VIEWS[name]
    assert task.spec.episode_limit == 50


def test_the_follower_never_sees_the_target():
    spec = tasks.get("reacher-leader").spec
    state = torch.randn(4, 10)
    moved = state.clone()
    moved[:, 4:6] += 1
    moved[:, 8:10] -= 1
    before, after = spec.observe(state), spec.observe(moved)
    assert torch.equal(before[:, 1], after[:, 1])
    assert not torch.equal(before[:, 0], after[:, 0])


def test_scores_map_the_anchors_to_zero_and_one():
    task = tasks.get("reacher-full")
    assert task.score(-11.144625) == 0
    assert task.score(-4.2370844) == 1
    assert task.score((-11.144625 - 4.2370844) / 2) == pytest.approx(0.5)


def test_an_unknown_task_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match=r"no task 'reacher-ful'.*meant: reacher-full"):
        tasks.get("reacher-ful")
