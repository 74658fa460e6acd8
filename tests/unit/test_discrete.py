"""Discrete actions through rollout, update, checkpoint and every check on the way."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from learner import checkpoint
from learner.algorithms.moma_ppo import batch, losses
from learner.checkpoint import Counters
from moma_core.checks import check_query, check_trajectory
from moma_core.config import ActorConfig, DataConfig
from moma_core.datasets import Dataset, DatasetError
from moma_core.nets import history
from moma_core.ports import InvalidFieldError
from moma_core.tasks import icg
from tests.builders import CHOICES, SPEC, FakeDynamics, imagine, make_config, make_ppo, make_query

MEMORIES = [
    ActorConfig(width=8, depth=1, memory="none"),
    ActorConfig(width=8, depth=1, frames=3),
    ActorConfig(width=8, depth=1, frames=3, memory="attention", state_dependent_std=True),
    ActorConfig(width=8, depth=1, frames=3, memory="gru"),
]
CONFIG = make_config()


def learner(config=CONFIG):
    return make_ppo(config, CHOICES, mean=0.1, std=1.5)


def segment(learned, config=CONFIG, dynamics=None, sequence=0):
    return imagine(learned.snapshot(), config, dynamics, sequence=sequence, task=CHOICES)


def train(learned, rounds, config=CONFIG):
    for _ in range(rounds):
        learned.update([segment(learned, config, sequence=k) for k in range(2)])
    return learned


@pytest.mark.parametrize("actor", MEMORIES, ids=lambda a: a.memory)
def test_the_learner_sees_what_the_workers_actors_saw(actor):
    config = replace(CONFIG, actor=actor)
    learned = learner(config)
    with torch.no_grad():
        learned.actors.head.weight.mul_(100)
    made = segment(learned, config)
    rows = batch.prepare(made, CHOICES, learned.actors, learned.critic, learned.scale, config.ppo)
    with torch.no_grad():
        log_prob = learned.actors(rows.observed, rows.remembered).log_prob(rows.action)
    torch.testing.assert_close(log_prob, rows.log_prob, rtol=1e-4, atol=1e-4)
    assert (rows.log_prob < 0).all()
    # Negative control: other actions have other probabilities.
    with torch.no_grad():
        flipped = learned.actors(rows.observed, rows.remembered).log_prob(rows.action.roll(1, 0))
    assert (flipped - rows.log_prob).abs().max() > 1e-2


def test_what_was_drawn_is_what_the_model_is_asked_and_what_is_remembered():
    learned, dynamics = learner(), FakeDynamics(CHOICES, terminal_above=math.inf)
    certain = replace(CONFIG, pessimism=replace(CONFIG.pessimism, disagreement=0.0))
    made = segment(learned, certain, dynamics)
    assert made.valid[0].all()
    assert CHOICES.one_hot(made.action[made.valid]).all()
    assert torch.equal(dynamics.actions[0], made.action[0])
    assert torch.equal(CHOICES.clamp(made.action), made.action)
    observed = CHOICES.observe(made.state[:-1])
    laid = history.lay(made.history, observed, made.action)
    frames = laid.frames[:, :, made.history.exists.shape[1] :].permute(2, 1, 0, 3)
    assert torch.equal(frames[..., CHOICES.observation_width :], made.action)
    chosen = made.action.flatten(0, 1).sum(0)
    assert (chosen[CHOICES.action_mask] > 0).all()


def test_an_update_moves_every_parameter_and_no_bound_is_passed():
    learned = learner()
    parameters = [*learned.actors.parameters(), *learned.critic.parameters()]
    before = [p.detach().clone() for p in parameters]
    metrics = train(learned, 1).update([segment(learned)]).metrics
    assert all(math.isfinite(value) for value in metrics.values()), metrics
    assert metrics["losses/mean_bound"] == 0
    assert 0 < metrics["losses/entropy/narrow"] <= math.log(2) + 1e-6
    assert metrics["losses/entropy/narrow"] < metrics["losses/entropy/wide"] <= math.log(3) + 1e-6
    moved = [not torch.equal(a, b) for a, b in zip(before, parameters, strict=True)]
    assert all(moved)


def test_the_mean_bound_term_is_zero_for_probabilities():
    logits = torch.randn(50, 2, 3) * 20
    mean = learner().actors.distribution(logits=logits, mask=CHOICES.action_mask).mean
    where = CHOICES.action_bounds, CHOICES.action_mask
    assert losses.mean_bound_loss(mean, *where).item() == 0
    # Negative control: what is no probability is outside.
    assert losses.mean_bound_loss(mean * 2, *where) > 0


@pytest.mark.parametrize("actor", MEMORIES[1:3], ids=lambda a: a.memory)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path, actor):
    config = replace(CONFIG, actor=actor)
    straight, stopped = train(learner(config), 4, config), train(learner(config), 2, config)
    counters = Counters(version=2, transitions=1, resumes=0, seconds=0.0)
    checkpoint.save(tmp_path, stopped.state(), counters)
    resumed = learner(config)
    found, state = checkpoint.load(tmp_path, resumed.state())
    assert found == counters
    resumed.load(state, found.version)
    train(resumed, 2, config)
    bits, again = straight.state(), resumed.state()
    assert bits.keys() == again.keys()
    assert all(torch.equal(bits[name], again[name]) for name in bits)
    assert not any("log_std" in name for name in bits)


class Agreement(FakeDynamics):
    """Nothing moves; the reward is 1 where both agents choose the same."""

    def predict(self, query):
        answer = super().predict(query)
        same = (query.action[:, 0] * query.action[:, 1]).sum(-1)
        return replace(
            answer, next_state=query.state, reward=same, disagreement=torch.zeros_like(same),
            terminated=torch.zeros(len(same), dtype=torch.bool),
        )  # fmt: skip


def test_a_few_updates_make_agents_of_unequal_widths_agree():
    ppo = replace(CONFIG.ppo, epochs=4, minibatch=64, learning_rate=1e-2, kl_stop=1.0)
    rollout = replace(CONFIG.rollout, rows=64, horizon=2)
    config = replace(CONFIG, ppo=ppo, rollout=rollout, actor=MEMORIES[0])
    learned, rewards = learner(config), []
    many = replace(config, rollout=replace(rollout, rows=1024))
    first = segment(learned, many, Agreement(CHOICES))
    assert abs((first.reward + first.penalty).mean().item() - 1 / 3) < 0.1
    for _ in range(15):
        made = segment(learned, config, Agreement(CHOICES))
        rewards.append((made.reward + made.penalty).mean().item())
        learned.update([made])
    assert rewards[-1] > 0.9


WRONG = {
    "none chosen": [0.0, 0.0, 0.0],
    "two chosen": [1.0, 1.0, 0.0],
    "a probability": [0.5, 0.5, 0.0],
    "beyond one": [2.0, 0.0, 0.0],
    "a rest": [1.0, 1e-6, 0.0],
    "in the padding": [0.0, 0.0, 1.0],
    "also in the padding": [1.0, 0.0, 1.0],
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG)
def test_what_is_not_one_hot_is_seen_at_its_agent(row):
    action = CHOICES.action_mask.float().cumsum(-1).eq(1).float()
    assert CHOICES.one_hot(action).tolist() == [True, True]
    action[1] = torch.tensor(row)
    assert CHOICES.one_hot(action).tolist() == [True, False]


def test_the_third_choice_is_the_wide_agents_own():
    action = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert CHOICES.one_hot(action).all()


def test_a_dynamics_refuses_actions_that_are_not_one_hot():
    state, seed = torch.zeros(4, 5), torch.arange(4)
    action = torch.eye(3)[torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])]
    check_query(CHOICES, make_query(state=state, action=action, seed=seed))
    action[2, 1] = torch.tensor([0.25, 0.75, 0.0])
    words = r"^action: action\[2, 1\] of narrow is \[0\.25, 0\.75, 0\.0\]; .*its 2 dimensions"
    with pytest.raises(InvalidFieldError, match=words):
        check_query(CHOICES, make_query(state=state, action=action, seed=seed))
    # Continuous: nothing to refuse.
    check_query(SPEC, make_query(state=state, action=action[..., :2].contiguous(), seed=seed))


def test_a_learner_refuses_segments_that_are_not_one_hot():
    made = segment(learner())
    check_trajectory(made, CHOICES, CONFIG.rollout, CONFIG.actor.history)
    made.action[:, :, 0][~made.valid] = 0.5  # what comes after an end is nobody's choice
    check_trajectory(made, CHOICES, CONFIG.rollout, CONFIG.actor.history)
    made.action[0, 3, 0] = 0.0
    with pytest.raises(InvalidFieldError, match=r"^action: action\[0, 3, 0\] of wide is \[0\.0"):
        check_trajectory(made, CHOICES, CONFIG.rollout, CONFIG.actor.history)


@pytest.mark.parametrize("value", [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [1.0, 1e-6]])
def test_a_log_of_choices_must_be_one_hot(tmp_path, value):
    path = tmp_path / "log"
    icg.icg().make_data(path, DataConfig(episodes=10, noise=0.5), 0)
    assert Dataset.load(path).transitions == 100
    action = np.load(path / "action.npy")
    action[37, 1] = value
    np.save(path / "action.npy", action)
    with pytest.raises(DatasetError) as error:
        Dataset.load(path)
    number = [float(np.float32(x)) for x in value]
    for word in ("action.npy: action[37] of agent_1", str(number), "one of its 2 dimensions"):
        assert word in str(error.value)
