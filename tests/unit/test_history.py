"""Windows rebuilt at once against windows shifted step by step."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moma import history


def slow_windows(start, observation, action):
    """One shift per step; the window at step t is what was there before step t."""
    collected, window = [], start
    for step in range(len(observation)):
        collected.append(window)
        window = history.shift(window, observation[step], action[step])
    return torch.stack(collected)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(0, 5), st.integers(1, 3), st.integers(1, 3))
@example(1, 0, 1, 1)
@example(1, 4, 2, 2)
@example(7, 0, 2, 1)
def test_windows_equal_repeated_shifts(steps, length, rows, agents):
    random = torch.Generator().manual_seed(steps * 10 + length)
    start = torch.randn(rows, agents, length, 5, generator=random)
    observation = torch.randn(steps, rows, agents, 3, generator=random)
    action = torch.randn(steps, rows, agents, 2, generator=random)
    fast = history.windows(start, observation, action)
    assert fast.shape == (steps, rows, agents, length, 5)
    assert torch.equal(fast, slow_windows(start, observation, action))


def test_shift_drops_the_oldest_and_appends_own_observation_then_action():
    window = torch.tensor([[[1.0, 1.0], [2.0, 2.0]]])
    moved = history.shift(window, torch.tensor([[7.0]]), torch.tensor([[8.0]]))
    assert moved.tolist() == [[[2.0, 2.0], [7.0, 8.0]]]


def test_the_last_frame_of_a_path_is_in_no_window():
    start = torch.zeros(1, 1, 2, 2)
    observation, action = torch.ones(3, 1, 1, 1), torch.ones(3, 1, 1, 1)
    before = history.windows(start, observation, action)
    observation[-1] = 99.0
    assert torch.equal(history.windows(start, observation, action), before)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(0, 5), st.integers(1, 3), st.integers(1, 3))
@example(1, 4, 2, 2)
@example(7, 0, 2, 1)
@example(2, 4, 1, 1)
def test_the_window_after_a_path_is_one_shift_per_step(steps, length, rows, agents):
    random = torch.Generator().manual_seed(steps * 10 + length)
    start = torch.randn(rows, agents, length, 5, generator=random)
    observation = torch.randn(steps, rows, agents, 3, generator=random)
    action = torch.randn(steps, rows, agents, 2, generator=random)
    window = start
    for step in range(steps):
        window = history.shift(window, observation[step], action[step])
    after = history.after(start, observation, action)
    assert after.shape == (rows, agents, length, 5)
    assert torch.equal(after, window)


def test_the_window_after_a_path_holds_its_last_frame():
    start, observation = torch.zeros(1, 1, 2, 2), torch.ones(3, 1, 1, 1)
    before = history.after(start, observation, observation)
    observation[-1] = 99.0
    assert not torch.equal(history.after(start, observation, torch.ones(3, 1, 1, 1)), before)
