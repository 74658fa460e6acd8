"""The small games: rules, what their logs mix, and what independent agents would make of them."""

import numpy as np
import pytest
import torch

from moma_core import seeds, tasks
from moma_core.config import DataConfig
from moma_core.datasets.starts import histories
from moma_core.tasks import Environment
from moma_core.tasks.icg import STEPS, Icg
from moma_core.tasks.polygame import MODE

GAMES = ("icg", "polygame-plus", "polygame-minus")
VARIANTS = [(name, variant) for name in GAMES for variant in tasks.get(name).variants]
EPISODES = 2000


def make(path, name, variant="", noise=0.1, episodes=EPISODES, seed=4):
    config = DataConfig(episodes=episodes, noise=noise, variant=variant)
    return tasks.get(name).make_data(path, config, seed)


def choices(*joint):
    """Joint choices as one-hot actions."""
    return torch.eye(2)[torch.tensor(joint)]


def test_icg_pays_agreement_and_shows_the_last_joint_action():
    game = Icg(4)
    assert isinstance(game, Environment)
    assert not game.reset(0).any()
    action = choices((0, 0), (0, 1), (1, 0), (1, 1))
    state, reward, terminated = game.step(action)
    assert reward.tolist() == [1, 0, 0, 1]
    assert not terminated.any()
    assert state.tolist() == [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]
    seen = tasks.get("icg").spec.observe(state)
    assert torch.equal(seen[:, 0], state)
    assert torch.equal(seen[:, 1], state)


@pytest.mark.parametrize(("name", "sign"), [("polygame-plus", 1), ("polygame-minus", -1)])
def test_polygame_pays_the_signed_product_and_ends(name, sign):
    task = tasks.get(name)
    game = task.environment(3)
    assert isinstance(game, Environment)
    first = game.reset(0)
    action = torch.tensor([[1.0, 1.0], [1.0, -0.5], [-1.0, 0.0]]).unsqueeze(-1)
    state, reward, terminated = game.step(action)
    assert reward.tolist() == [sign, -0.5 * sign, 0]
    assert terminated.all()
    assert torch.equal(state, first)
    assert task.spec.episode_limit == 1


@pytest.mark.parametrize("name", GAMES)
def test_random_play_scores_0_and_the_best_play_1(name):
    task, count = tasks.get(name), 20_000
    random, game, total = seeds.generator(0, "random play"), task.environment(count), 0.0
    game.reset(0)
    for _ in range(task.spec.episode_limit):
        shape = (count, len(task.spec.agents), task.spec.action_width)
        draw = torch.rand(shape, generator=random)
        action = (
            (draw == draw.amax(-1, keepdim=True)).float()
            if all(task.spec.discrete)
            else 2 * draw - 1
        )
        total += game.step(action)[1].mean().item()
    assert total == pytest.approx(task.return_at_zero, abs=0.05)
    best = choices((1, 1)) if name == "icg" else torch.tensor([[[1.0], [1.0]]])
    if name == "polygame-minus":
        best[:, 1] *= -1
    game = task.environment(1)
    game.reset(0)
    most = sum(game.step(best)[1].item() for _ in range(task.spec.episode_limit))
    assert task.score(most) == 1
    assert task.score(task.return_at_zero) == 0


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_log_is_play_in_the_game_itself(tmp_path, name, variant):
    log, task = make(tmp_path / "log", name, variant, episodes=20), tasks.get(name)
    assert log.spec == task.spec
    assert log.origin["variant"] == variant
    steps = task.spec.episode_limit
    game = task.environment(20)
    state = game.reset(0)
    for step in range(steps):
        rows = log.rows(log.episode_start + step)
        assert torch.equal(rows.state, state)
        state, reward, terminated = game.step(rows.action)
        assert torch.equal(rows.next_state, state)
        assert torch.equal(rows.reward, reward)
        assert torch.equal(rows.terminated, terminated)
    assert rows.truncated.all() == (name == "icg")


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_log_depends_on_its_seed_alone(tmp_path, name, variant):
    logs = [
        make(tmp_path / str(k), name, variant, episodes=30, seed=seed)
        for k, seed in enumerate((4, 4, 5))
    ]
    np.testing.assert_array_equal(logs[0].action, logs[1].action)
    assert not np.array_equal(logs[0].action, logs[2].action)


def joint_shares(log):
    """How often each joint choice was made, [agent 0's, agent 1's]."""
    return np.einsum("ni,nj->ij", log.action[:, 0], log.action[:, 1]) / log.transitions


EXPECTED = {
    "favourable": [[0.8, 0.0], [0.0, 0.2]],
    "neutral": [[0.5, 0.0], [0.0, 0.5]],
    "unfavourable": [[0.2, 0.6], [0.0, 0.2]],
}


@pytest.mark.parametrize("variant", EXPECTED)
def test_icg_mixes_conventions_as_it_says(tmp_path, variant):
    pure = make(tmp_path / "pure", "icg", variant, noise=0.0)
    np.testing.assert_allclose(joint_shares(pure), EXPECTED[variant], atol=0.04)
    # One joint action per episode.
    by_episode = pure.action.reshape(EPISODES, STEPS, 4)
    assert (by_episode == by_episode[:, :1]).all()
    noisy = make(tmp_path / "noisy", "icg", variant, noise=0.1)
    slip = np.array([[0.95, 0.05], [0.05, 0.95]])
    np.testing.assert_allclose(joint_shares(noisy), slip @ EXPECTED[variant] @ slip, atol=0.04)


@pytest.mark.parametrize(
    ("variant", "best"), [("favourable", (0, 0)), ("neutral", None), ("unfavourable", (0, 1))]
)
def test_each_agents_most_frequent_choice_is_right_only_where_it_is_favourable(
    tmp_path, variant, best
):
    log = make(tmp_path / "log", "icg", variant)
    marginal = log.action.mean(0)
    if best is None:
        np.testing.assert_allclose(marginal, 0.5, atol=0.04)
        return
    assert tuple(marginal.argmax(-1)) == best
    assert marginal.max(-1).min() > 0.7
    reward = Icg(1).step(choices(best))[1].item()
    assert reward == (1 if variant == "favourable" else 0)
    # And yet the log holds both ways to agree.
    assert joint_shares(log).diagonal().min() > 0.15


@pytest.mark.parametrize(("name", "sign"), [("polygame-plus", 1), ("polygame-minus", -1)])
def test_polygame_mixes_both_good_modes_and_marginals_do_not_tell(tmp_path, name, sign):
    log = make(tmp_path / "log", name, noise=0.2)
    x, y = log.action[:, 0, 0], log.action[:, 1, 0]
    assert np.abs(log.action).max() == 1
    assert (np.sign(x) == sign * np.sign(y)).all()
    assert abs((x > 0).mean() - 0.5) < 0.04
    assert abs(np.abs(x).mean() - MODE) < 0.05
    assert 0.1 < np.abs(x).std() < 0.2
    # Each agent's mean action is worth nothing, and so is each agent's mode on its own.
    assert abs(x.mean()) < 0.04
    pure = make(tmp_path / "pure", name, noise=0.0)
    assert pure.reward == pytest.approx(MODE**2)


def test_histories_inside_of_a_log_hold_the_choices(tmp_path):
    log = make(tmp_path / "log", "icg", episodes=10)
    window = histories(log, np.array([5]), 3).frames[0]
    for agent in range(2):
        np.testing.assert_array_equal(window[agent, :, 4:], log.action[2:5, agent])


def test_variants_are_chosen_by_name_the_first_by_default(tmp_path):
    assert list(tasks.get("icg").variants) == ["favourable", "neutral", "unfavourable"]
    assert list(tasks.get("reacher-leader").variants) == ["scripted"]
    plain = make(tmp_path / "plain", "icg", episodes=20)
    named = make(tmp_path / "named", "icg", "favourable", episodes=20)
    np.testing.assert_array_equal(plain.action, named.action)
    other = make(tmp_path / "other", "icg", "neutral", episodes=20)
    assert not np.array_equal(plain.action, other.action)


@pytest.mark.parametrize(
    ("variant", "words"),
    [("favorable", "favourable"), ("zzz", "favourable, neutral, unfavourable")],
)
def test_an_unknown_variant_is_refused_with_the_nearest_names(tmp_path, variant, words):
    path = tmp_path / "log"
    with pytest.raises(ValueError, match=rf"task icg has no data variant '{variant}'.*{words}"):
        make(path, "icg", variant)
    assert not path.exists()
