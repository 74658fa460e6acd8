"""Start states and their history against a loop over rows of the log."""

import numpy as np
import pytest
import torch

from moma_core import seeds
from moma_core.datasets import StartSampler
from moma_core.datasets.starts import histories
from tests.builders import FRAME, SPEC, same_history, some


def slow_history(data, row, length):
    """The frames before `row`, one agent and one step after the other."""
    window = np.zeros((2, length, FRAME), dtype=np.float32)
    episode = int(np.searchsorted(data.episode_start, row, side="right")) - 1
    for back in range(1, length + 1):
        past = row - back
        if past < data.episode_start[episode]:
            break
        for agent, index in enumerate(data.spec.observation_index):
            window[agent, length - back, : len(index)] = data.state[past + episode, list(index)]
            window[agent, length - back, SPEC.observation_width :] = data.action[past, agent]
    return window


@pytest.mark.parametrize("length", [0, 1, 3, 10])
def test_history_equals_the_slow_loop_at_every_row(dataset, length):
    rows = np.arange(dataset.transitions)
    fast = histories(dataset, rows, length)
    slow = np.stack([slow_history(dataset, row, length) for row in rows])
    np.testing.assert_array_equal(fast.frames.numpy(), slow)
    before = rows - dataset.episode_start[dataset.episode_of(rows)]
    assert fast.exists.sum(1).tolist() == np.minimum(before, length).tolist()
    assert (fast.exists[:, 1:] >= fast.exists[:, :-1]).all()
    assert length == 0 or slow.any()


def first_states(data):
    return {tuple(data.state[s + k]) for k, s in enumerate(data.episode_start)}


def share_at_starts(data, episode_starts):
    drawn = StartSampler(data, 3, episode_starts).draw(seeds.rows(5, 400))
    first = first_states(data)
    at_start = torch.tensor([tuple(state) in first for state in drawn.state.numpy()])
    return drawn, at_start


def test_with_share_one_all_rows_begin_where_episodes_began_and_remember_nothing(dataset):
    drawn, at_start = share_at_starts(dataset, 1.0)
    assert at_start.all()
    assert not drawn.history.exists.any()
    assert len({tuple(s) for s in drawn.state.numpy()}) == dataset.episodes


def test_with_share_zero_rows_are_uniform_over_the_data_and_remember(dataset):
    drawn, at_start = share_at_starts(dataset, 0.0)
    expected = dataset.episodes / dataset.transitions
    assert abs(at_start.float().mean() - expected) < 0.1
    assert drawn.history.exists[~at_start].any(-1).all()
    assert drawn.history.frames[~at_start].any(-1).any(-1).all()


def test_a_start_knows_how_many_steps_its_episode_had_before_it(dataset):
    drawn, at_start = share_at_starts(dataset, 0.5)
    begun = np.repeat(dataset.episode_start, dataset.lengths)
    age = np.arange(dataset.transitions) - begun
    where = np.arange(dataset.transitions) + dataset.episode_of(np.arange(dataset.transitions))
    by_state = dict(zip(map(tuple, dataset.state[where]), age.tolist(), strict=True))
    assert drawn.age.tolist() == [by_state[tuple(state)] for state in drawn.state.numpy()]
    assert torch.equal(drawn.age == 0, at_start)
    # Negative control: there are starts of many ages.
    assert len(drawn.age.unique()) > 4


def test_with_share_one_half_half_the_rows_begin_episodes(dataset):
    _, at_start = share_at_starts(dataset, 0.5)
    expected = 0.5 + 0.5 * dataset.episodes / dataset.transitions
    assert abs(at_start.float().mean() - expected) < 0.1


def test_a_final_state_is_never_a_start(dataset):
    drawn, _ = share_at_starts(dataset, 0.0)
    ends = np.append(dataset.episode_start[1:], dataset.transitions) + np.arange(dataset.episodes)
    final = {tuple(dataset.state[i]) for i in ends}
    assert not any(tuple(state) in final for state in drawn.state.numpy())


def test_draws_depend_on_the_seed_and_on_nothing_else(dataset):
    sampler = StartSampler(dataset, 2, 0.5)
    first, again, other = (sampler.draw(seeds.rows(seed, 50)) for seed in (1, 1, 2))
    assert torch.equal(first.seed, seeds.rows(1, 50))
    part = sampler.draw(seeds.rows(1, 20, first=30))
    assert torch.equal(part.state, first.state[30:])
    assert same_history(part.history, some(first.history, slice(30, None)))
    assert torch.equal(first.state, again.state)
    assert same_history(first.history, again.history)
    assert not torch.equal(first.state, other.state)
