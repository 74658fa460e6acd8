"""What a log is like, against what was put into it."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from moma_core.datasets import Dataset, EpisodeWriter, facts
from moma_core.recipes.from_log import MANY
from tests.builders import CHOICES, SPEC, random_action, sparse_dataset, write_dataset

STEPS = 6


def log(path, state, *, spec=SPEC, episodes=60, reward=lambda step: float(step % 2)):
    """A log of episodes of six steps: `state` says a state by episode and step."""
    random = np.random.default_rng(0)
    with EpisodeWriter(spec, path, {"maker": "tests"}) as writer:
        for k in range(episodes):
            states = np.stack([state(random, k, step) for step in range(STEPS + 1)])
            actions = np.stack([random_action(random, SPEC) for _ in range(STEPS)])
            rewards = np.array([reward(step) for step in range(STEPS)], np.float32)
            writer.add(states.astype(np.float32), actions, rewards, terminated=k % 4 == 0)
    return facts.measure(Dataset.load(path))


def noise(random, *_):
    return random.normal(size=5)


def test_sizes_returns_and_ends(tmp_path):
    dataset = write_dataset(tmp_path / "log", 50, terminals=True)
    found, returns = facts.measure(dataset), dataset.returns()
    assert (found.episodes, found.transitions) == (50, dataset.transitions)
    assert (found.state_width, found.inputs, found.episode_limit) == (5, 8, SPEC.episode_limit)
    assert (found.observation_widths, found.action_widths) == ((3, 2), (2, 1))
    assert found.discrete == (False, False)
    assert found.length_mean == pytest.approx(dataset.transitions / 50)
    assert found.terminal_share == len(dataset.terminals) / 50 > 0
    assert found.return_mean == pytest.approx(returns.mean())
    assert found.return_std == pytest.approx(returns.std())
    assert found.return_best_tenth == pytest.approx(np.sort(returns)[-5:].mean())
    assert found.return_best_tenth > found.return_mean


def test_few_rewards_and_states_are_counted_and_many_are_many(tmp_path):
    found = log(tmp_path / "few", lambda _, k, step: np.full(5, (k + step) % 7))
    assert (found.rewards, found.states) == (2, 7)
    random = np.random.default_rng(1)
    found = log(tmp_path / "many", noise, reward=lambda _: random.random(), episodes=200)
    assert (found.rewards, found.states) == (MANY, MANY)


def spec_seeing(*index):
    return replace(SPEC, observation_index=index)


def dependent(random, *_):
    """Two free features; the third is their sum, the fourth constant, the fifth far from 0."""
    a, b = random.normal(size=2)
    return np.array([a, b, a + b, 3.0, 1e5 * (1 + 0.1 * a)])


@pytest.mark.parametrize(
    ("index", "all_seen"),
    [
        (((0, 1, 2, 3, 4), (0, 1, 2, 3, 4)), True),
        (((0, 1), (1, 4)), True),  # the others are linear in them, or constant
        (((0, 2), (1, 2)), True),
        (((0, 1), (0, 4)), False),  # both are the same feature: the second is not seen
        (((0, 1), (3,)), False),
    ],
)
def test_all_is_seen_where_each_agents_features_give_all_others(tmp_path, index, all_seen):
    assert log(tmp_path / "log", dependent, spec=spec_seeing(*index)).all_seen == all_seen


def test_independent_features_are_not_seen_by_those_who_see_others(tmp_path):
    assert not log(tmp_path / "log", noise).all_seen


def test_a_cue_that_is_shown_at_the_start_alone_is_forgotten(tmp_path):
    def cue(random, k, step):
        return np.array([(k % 2) * (step == 0), step, 0, 0, random.normal()])

    def kept(random, k, step):
        return np.array([k % 2, step, 0, 0, random.normal()])

    def later(random, k, step):  # nothing is known at the start that is not known later
        return np.array([(k % 2) * (step > 2), step, 0, 0, random.normal()])

    assert log(tmp_path / "cue", cue).forgets
    assert not log(tmp_path / "kept", kept).forgets
    assert not log(tmp_path / "later", later).forgets


def test_one_episode_of_one_step_has_facts(tmp_path):
    with EpisodeWriter(SPEC, tmp_path / "log", {"maker": "tests"}) as writer:
        random = np.random.default_rng(0)
        action = random_action(random)[None]
        writer.add(np.ones((2, 5), np.float32), action, np.ones(1, np.float32), terminated=True)
    found = facts.measure(Dataset.load(tmp_path / "log"))
    assert (found.episodes, found.transitions, found.states, found.forgets) == (1, 1, 1, False)


def test_choices_are_told_from_numbers(tmp_path):
    with EpisodeWriter(CHOICES, tmp_path / "log", {"maker": "tests"}) as writer:
        action = np.zeros((1, 2, 3), np.float32)
        action[:, :, 0] = 1
        writer.add(np.ones((2, 5), np.float32), action, np.ones(1, np.float32), terminated=True)
    found = facts.measure(Dataset.load(tmp_path / "log"))
    assert (found.discrete, found.action_widths) == ((True, True), (3, 2))


def test_a_log_is_measured_in_bounded_memory(tmp_path):
    dataset = Dataset.load(sparse_dataset(tmp_path / "log", 0.6), checked=False)
    assert dataset.state.nbytes > 5e8
    tracemalloc.start()
    facts.measure(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5e8
