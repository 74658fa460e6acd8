"""Fitted Q evaluation against values that a reader can add up."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moma.evaluation import fitted_q as module
from moma.evaluation.fitted_q import FittedQSettings, Scale, fitted_q
from moma.evaluation.team_log import TeamLog, retrace
from moma_core.config import ActorConfig
from moma_core.datasets import Dataset, EpisodeWriter
from moma_core.datasets.starts import histories
from moma_core.nets.policy import Actors
from moma_core.types import TaskSpec
from tests.builders import SPEC, shift, write_dataset

# Two states, "low" and "high", and two agents with a choice of staying out (0) or lifting (1). Both
# lifting in the low state lead to the high one, which earns 1 in every step and is never left.
CHAIN = TaskSpec(
    name="chain",
    agents=("left", "right"),
    state_names=("high",),
    observation_index=((0,), (0,)),
    action_low=((0.0, 0.0), (0.0, 0.0)),
    action_high=((1.0, 1.0), (1.0, 1.0)),
    episode_limit=6,
    discrete=(True, True),
)
SMALL = FittedQSettings(members=2, width=32, updates=400, batch=128, learning_rate=1e-2)
STILL = ActorConfig(width=8, depth=1, memory="none")


def chain_log(path, *, lengths=(6,), deadly=False, spec=CHAIN, episodes=240):
    """Random play; where it is deadly the first step in the high state ends the episode."""
    random = np.random.default_rng(0)
    with EpisodeWriter(spec, path, {"maker": "tests"}) as writer:
        for episode in range(episodes):
            high, states, choices, rewards, dead = 0.0, [0.0], [], [], False
            while len(rewards) < lengths[episode % len(lengths)] and not dead:
                choice = random.random(2) < 0.7
                rewards.append(high)
                dead = deadly and high == 1
                high = max(high, float(choice.all()))
                states.append(high)
                choices.append(np.eye(2)[choice.astype(int)])
            parts = np.array(states)[:, None], np.stack(choices), np.array(rewards)
            writer.add(*(part.astype(np.float32) for part in parts), terminated=dead)
    return Dataset.load(path)


def team(spec, *, lifts):
    """Agents that always lift, or never do."""
    actors = Actors(spec, STILL)
    with torch.no_grad():
        actors.head.weight.zero_()
        actors.head.bias.copy_(torch.tensor([0.0, 1.0] if lifts else [1.0, 0.0]))
    return actors


def value(dataset, *, lifts, settings=SMALL, seed=0):
    return fitted_q(dataset, team(dataset.spec, lifts=lifts), settings, seed)


def test_a_chain_is_worth_what_it_earns_to_its_limit(tmp_path):
    found = value(chain_log(tmp_path / "log"), lifts=True)
    assert found.return_mean == pytest.approx(5.0, abs=0.1)
    low, high = found.return_ci95
    assert low <= found.return_mean <= high


def test_a_team_that_earns_nothing_is_worth_nothing_whatever_the_log_earned(tmp_path):
    dataset = chain_log(tmp_path / "log")
    assert dataset.returns().mean() > 3
    assert value(dataset, lifts=False).return_mean == pytest.approx(0.0, abs=0.1)


def test_an_episode_that_was_cut_goes_on_and_one_that_ended_does_not(tmp_path):
    # A third of the episodes has all six steps, the others were cut one or two steps earlier.
    dataset = chain_log(tmp_path / "cut", lengths=(4, 5, 6))
    assert value(dataset, lifts=True).return_mean == pytest.approx(5.0, abs=0.15)
    # Negative control: the same log, each episode having ended where it was cut.
    wrong = replace(dataset, terminated=dataset.truncated)
    assert value(wrong, lifts=True).return_mean == pytest.approx(4.0, abs=0.25)
    ended = value(chain_log(tmp_path / "ended", deadly=True), lifts=True)
    assert ended.return_mean == pytest.approx(1.0, abs=0.1)


def test_steps_beyond_the_limit_are_not_earned(tmp_path):
    dataset = chain_log(tmp_path / "log")
    short = replace(dataset, spec=replace(CHAIN, episode_limit=3))
    assert value(short, lifts=True).return_mean == pytest.approx(2.0, abs=0.1)


def test_a_single_step(tmp_path):
    spec = replace(CHAIN, episode_limit=1)
    random = np.random.default_rng(0)
    with EpisodeWriter(spec, tmp_path / "log", {"maker": "tests"}) as writer:
        for _ in range(400):
            choice = random.integers(2, size=2)
            reward = np.array([float(choice[0] == choice[1] == 1)], np.float32)
            action = np.eye(2, dtype=np.float32)[choice][None]
            writer.add(np.zeros((2, 1), np.float32), action, reward, terminated=True)
    dataset = Dataset.load(tmp_path / "log")
    assert value(dataset, lifts=True).return_mean == pytest.approx(1.0, abs=0.05)
    assert value(dataset, lifts=False).return_mean == pytest.approx(0.0, abs=0.05)


def test_long_episodes_get_back_what_the_discount_took(tmp_path, monkeypatch):
    spec = replace(CHAIN, episode_limit=60)
    dataset = chain_log(tmp_path / "log", lengths=(60,), spec=spec, episodes=60)
    settings = replace(SMALL, undiscounted=10)
    truth = 59.0
    assert value(dataset, lifts=True, settings=settings).return_mean == pytest.approx(
        truth, rel=0.1
    )
    # Negative control: without what is put back it is worth ten steps.
    weights = module._weights
    monkeypatch.setattr(module, "_weights", lambda log, _, episode: weights(log, 1.0, episode))
    assert value(dataset, lifts=True, settings=settings).return_mean < 12


def test_the_same_seed_gives_the_same_figures_and_another_one_others(tmp_path):
    dataset = chain_log(tmp_path / "log")
    one, same, other = (value(dataset, lifts=True, seed=seed) for seed in (3, 3, 4))
    assert one == same
    assert one != other


def test_deviation_tells_who_plays_as_the_log_did(tmp_path):
    dataset = chain_log(tmp_path / "log")
    log = retrace(dataset, team(CHAIN, lifts=True), 10_000, 0)
    assert replace(log, team_action=log.action[:1].expand(len(log.state), -1)).deviation() > 0.5
    own = torch.zeros_like(log.team_action)
    own[log.before] = log.action
    assert replace(log, team_action=own).deviation() == 0


@pytest.fixture
def remembering(tmp_path):
    """A log of unequal episodes, some of which terminated, and actors with a memory."""
    dataset = write_dataset(tmp_path / "log", terminals=True)
    return dataset, Actors(SPEC, ActorConfig(width=8, depth=1, frames=3), seed=1)


def test_the_team_is_asked_with_what_it_would_remember(remembering):
    dataset, actors = remembering
    log = retrace(dataset, actors, 10_000, 0)
    at = 0
    for number in range(dataset.episodes):
        state, action, _ = (torch.from_numpy(np.array(part)) for part in dataset.episode(number))
        observation = SPEC.observe(state)
        window = histories(dataset, dataset.episode_start[[number]], 3)
        for step in range(len(state)):
            seen = actors.observed(observation[step][None])
            with torch.no_grad():
                own = SPEC.clamp(actors(seen, actors.remembered(window)).mode()).flatten()
            asked = _raw(log, dataset)[at]
            torch.testing.assert_close(asked, own, atol=1e-5, rtol=0)
            at += 1
            if step < len(action):
                window = shift(window, observation[step][None], action[step][None])
    assert at == len(log.state)


def _raw(log, dataset):
    """The team's actions in the task's units."""
    flat = torch.from_numpy(np.array(dataset.action)).flatten(1).double()
    std = flat.std(0, correction=0)
    return (log.team_action * torch.where(std > 0, std, 1.0) + flat.mean(0)).float()


def test_the_last_state_of_an_episode_remembers_its_own_episode(remembering):
    dataset, _ = remembering
    first = dataset.episode_start[[1]]
    end = histories(dataset, first, 3, np.array([0]))
    begin = histories(dataset, first, 3)
    assert end.exists[0, -1]
    assert not begin.exists.any()


def test_ages_states_and_ends(remembering):
    dataset, actors = remembering
    log = retrace(dataset, actors, 10_000, 0)
    assert log.age.tolist() == [age for length in log.lengths for age in range(length)]
    assert log.state_age.tolist() == [age for length in log.lengths for age in range(length + 1)]
    torch.testing.assert_close(log.state_age[log.before], log.age)
    dead, limit = log.terminated, log.age == SPEC.episode_limit - 1
    assert dead.any()
    assert torch.equal(log.goes_on, ~(dead | limit))


def test_a_larger_log_is_represented_by_whole_episodes(remembering):
    dataset, actors = remembering
    part = retrace(dataset, actors, 20, 0)
    assert 20 <= len(part.reward) < 20 + SPEC.episode_limit
    lengths = dataset.lengths.tolist()
    assert all(length in lengths for length in part.lengths)
    assert torch.isclose(part.reward.sum(), torch.tensor(_some(dataset, part)), atol=1e-4)


def _some(dataset, part):
    """The reward of the episodes that `part` begins with the rewards of."""
    rewards = [dataset.episode(number)[2] for number in range(dataset.episodes)]
    kept = part.reward.split(part.lengths.tolist())
    return float(sum(r.sum() for r in rewards if any(np.array_equal(r, k.numpy()) for k in kept)))


def small_log(*, terminated=(False, False, False, False), reward=(1.0, -1.0, 2.0, 0.0)):
    """Two episodes of two steps, of three at most."""
    return TeamLog(
        limit=3,
        edges=np.array([0, 2, 4]),
        state=torch.zeros(6, 1),
        team_action=torch.zeros(6, 1),
        action=torch.zeros(4, 1),
        reward=torch.tensor(reward),
        terminated=torch.tensor(terminated),
    )


def test_values_are_limited_to_what_rewards_can_add_up_to():
    age, far = torch.tensor([0, 1, 2, 3]), torch.full((4,), 100.0)
    going = Scale(small_log(), 100)
    assert going.possible(far, age).tolist() == [6.0, 4.0, 2.0, 0.0]
    assert going.possible(-far, age).tolist() == [-3.0, -2.0, -1.0, 0.0]
    # Where every step costs and an episode may end, one step may be all that it costs.
    costly = small_log(reward=(-1.0, -3.0, -2.0, -1.5), terminated=(False, True, False, False))
    ending = Scale(costly, 100)
    assert ending.possible(far, age)[0] == -1.0
    assert ending.possible(-far, age)[0] == -9.0


def test_the_share_of_episodes_that_last_weighs_later_states():
    log = small_log(terminated=(False, False, False, True))
    weight = module._weights(log, 0.9, np.array([0, 1]))
    # One of the two ended at age 1; the other was cut there and stands for the half that lasts.
    assert weight.tolist() == pytest.approx([0.5, 0.05, 0.05, 0.5, 0.05, 0.0])
    twice = module._weights(log, 1.0, np.array([1, 1]))
    assert twice.tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("bad", [{"members": 1}, {"updates": 0}, {"undiscounted": 1}])
def test_settings_that_cannot_be_are_named(bad):
    with pytest.raises(ValueError, match=f"fitted_q.{next(iter(bad))}"):
        FittedQSettings(**bad)
