"""What online training needs of the learner: units of all rounds, a falling rate, kept policies."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from learner import checkpoint
from learner.algorithms.moma_ppo.critic import Critic, RunningMoments
from moma_core import recipes, tasks
from moma_core.config import PPOConfig, RolloutConfig
from moma_core.storage import StorageError
from tests.builders import SPEC, imagine, make_config, make_ppo

ROUNDS = 4


def learner(**ppo):
    config = make_config()
    config = replace(config, ppo=replace(config.ppo, rounds=ROUNDS, **ppo))
    return make_ppo(config, mean=0.1, std=1.5), config


def update(ppo, config):
    """One round; returns its metrics and its states."""
    made = [imagine(ppo.snapshot(), config, sequence=k) for k in range(2)]
    metrics = ppo.update(made).metrics
    return metrics, torch.cat([t.state[:-1][t.valid] for t in made])


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_running_moments_are_those_of_all_rows_together(offset):
    random = np.random.default_rng(0)
    moments, parts = RunningMoments(3), []
    for size in (1, 7, 400, 2):
        part = (random.normal(size=(size, 3)) * [1, 5, 0] + [0, 2, 3] + offset).astype(np.float32)
        parts.append(part)
        moments.update(torch.from_numpy(part))
        whole = np.concatenate(parts).astype(np.float64)
        np.testing.assert_allclose(moments.mean, whole.mean(0), rtol=1e-9)
        spread = whole.std(0)
        expected = np.where(spread > 1e-6, spread, 1)
        np.testing.assert_allclose(moments.std(), expected, rtol=1e-5)
    assert moments.count.item() == 410
    # Negative control: the mean of the parts' deviations would not do.
    assert not np.allclose(np.mean([p.std(0) for p in parts], 0)[:2], whole.std(0)[:2], rtol=0.05)


def test_without_rows_they_change_nothing():
    assert torch.equal(RunningMoments(2).std(), torch.ones(2))


def test_running_units_are_those_of_all_rounds_in_actors_and_critic():
    ppo, config = learner(standardise="running")
    assert torch.equal(ppo.critic.state_mean, torch.full((5,), 0.1))
    seen = []
    for _ in range(2):
        seen.append(update(ppo, config)[1])
        rows = torch.cat(seen).numpy().astype(np.float64)
        mean, std = (torch.from_numpy(m).float() for m in (rows.mean(0), rows.std(0)))
        torch.testing.assert_close(ppo.critic.state_mean, mean)
        torch.testing.assert_close(ppo.critic.state_std, std)
        torch.testing.assert_close(ppo.actors.observation_mean, SPEC.observe(mean))
        shown = SPEC.observe(std)
        shown[~SPEC.observation_mask] = 1
        torch.testing.assert_close(ppo.actors.observation_std, shown)
    # Workers get them with the policy.
    snapshot = ppo.snapshot().parameters
    assert torch.equal(snapshot["observation_mean"], ppo.actors.observation_mean)


def test_the_datas_units_stay():
    ppo, config = learner(standardise="data")
    update(ppo, config)
    assert torch.equal(ppo.critic.state_mean, torch.full((5,), 0.1))
    assert torch.equal(ppo.critic.state_std, torch.full((5,), 1.5))
    assert ppo.moments.count == 0


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [("constant", [1, 1, 1, 1, 1]), ("linear", [1, 0.775, 0.55, 0.325, 0.1])],
)
def test_the_learning_rate_goes_down_to_a_tenth_or_stays(schedule, factors):
    ppo, config = learner(schedule=schedule, learning_rate=0.01)
    for factor in factors:  # the last one is of a round after the end
        metrics, _ = update(ppo, config)
        (group,) = ppo._optimiser._adam.param_groups
        assert group["lr"] == pytest.approx(0.01 * factor)
        assert metrics["charts/learning_rate"] == pytest.approx(0.01 * factor)
    update(ppo, config)
    assert ppo._optimiser._adam.param_groups[0]["lr"] == pytest.approx(0.01 * factors[-1])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_critics_activation_is_the_one_that_is_named(activation):
    config = PPOConfig(value_activation=activation, value_width=4, value_depth=2)
    critic = Critic(torch.zeros(3), torch.ones(3), config, seed=0)
    x, age = torch.randn(6, 3), torch.arange(6)
    hidden = x[None]
    for layer in critic.layers:
        hidden = getattr(torch, activation)(layer(hidden))
    expected = critic.head(hidden).flatten()
    torch.testing.assert_close(critic(x, age), expected)
    other = Critic(
        torch.zeros(3),
        torch.ones(3),
        replace(config, value_activation={"tanh": "relu", "relu": "tanh"}[activation]),
        seed=0,
    )
    assert not torch.allclose(other(x, age), expected)


def test_a_kept_policy_is_the_actors_and_what_was_known_of_them(tmp_path):
    ppo, config = learner()
    update(ppo, config)
    where = tmp_path / "00000001"
    checkpoint.keep_policy(where, ppo.snapshot(), 123, None)
    kept = checkpoint.actors(where)
    state = ppo.actors.state_dict()
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[name], state[name]) for name in state)
    known = json.loads((where / "state.json").read_text())
    assert known == {"version": 1, "transitions": 123, "score": None}
    content = (where / "tensors.safetensors").read_bytes()
    (where / "tensors.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StorageError, match="changed"):
        checkpoint.actors(where)


def test_true_starts_need_the_simulator():
    starts = RolloutConfig(starts="task")
    assert make_config(rollout=starts, dynamics="simulator").rollout.starts == "task"
    with pytest.raises(ValueError, match=r"config\.online must be simulator .* got 'learned'"):
        make_config(rollout=starts)
    with pytest.raises(ValueError, match=r"config\.keep_every must be finite and 0 or greater"):
        make_config(keep_every=-1)


EXPERTS = [name for name in recipes.NAMES if "-expert" in name]


@pytest.mark.parametrize("name", EXPERTS)
def test_an_experts_recipe_is_online_without_doubt_over_whole_episodes(name):
    config = recipes.get(name)
    task = tasks.get(config.task)
    everything = tuple(range(task.spec.state_width))
    assert task.system is not None
    assert set(task.spec.observation_index) == {everything}
    assert (config.dynamics, config.rollout.starts, config.rollout.carry) == (
        "simulator",
        "task",
        True,
    )
    assert task.spec.episode_limit % config.rollout.horizon == 0
    doubts = config.pessimism
    assert doubts.disagreement == doubts.reward_disagreement == doubts.aleatoric == 0
    assert 0 < config.keep_every <= config.ppo.rounds // 3


def test_every_task_names_recipes_that_train_its_experts():
    named = {recipe for name in tasks.NAMES for recipe in tasks.get(name).experts.values()}
    assert named == set(EXPERTS) - {"reacher-expert"}
    for name in tasks.NAMES:
        task = tasks.get(name)
        for recipe in task.experts.values():
            expert = tasks.get(recipes.get(recipe).task)
            assert expert.spec.state_names == task.spec.state_names
            assert expert.spec.episode_limit == task.spec.episode_limit
