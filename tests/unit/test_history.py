"""Windows that are views of frames laid once, against windows shifted step by step."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moma_core.nets import history
from moma_core.types import History
from tests.builders import same_history, shift, some


def path(steps, length, rows, agents):
    """A start window, observations and actions of noise."""
    random = torch.Generator().manual_seed(steps * 10 + length)
    frames = torch.randn(rows, agents, length, 5, generator=random)
    absent = torch.arange(rows) % (length + 1)
    exists = torch.arange(length) >= absent[:, None]
    start = History(frames=frames * exists[:, None, :, None], exists=exists)
    observation = torch.randn(steps, rows, agents, 3, generator=random)
    action = torch.randn(steps, rows, agents, 2, generator=random)
    return start, observation, action


def slow_windows(start, observation, action):
    """One shift per step: the windows before every step, and the one after the last."""
    collected = [start]
    for seen, done in zip(observation, action, strict=True):
        collected.append(shift(collected[-1], seen, done))
    return collected


def every_place(laid, steps, rows):
    return history.places(laid, *torch.ones(steps, rows).nonzero().unbind(1))


SIZES = (st.integers(1, 7), st.integers(0, 5), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=30, deadline=None)
@given(*SIZES)
@example(1, 0, 1, 1)
@example(1, 4, 2, 2)
@example(7, 0, 2, 1)
def test_gathered_windows_equal_repeated_shifts(steps, length, rows, agents):
    parts = path(steps, length, rows, agents)
    slow = slow_windows(*parts)
    laid = history.lay(*parts)
    assert laid.frames.shape == (agents, rows, length + steps, 5)
    assert laid.exists.shape == (rows, length + steps)
    fast = history.windows(laid, length, every_place(laid, steps, rows))
    assert same_history(fast, History.joined(slow[:-1]))
    assert same_history(history.after(laid, length), slow[-1])


def test_windows_come_in_the_order_asked_for():
    laid = history.lay(*path(5, 3, 4, 2))
    step, rollout = torch.tensor([4, 0, 2]), torch.tensor([1, 3, 0])
    got = history.windows(laid, 3, history.places(laid, step, rollout))
    whole = history.windows(laid, 3, every_place(laid, 5, 4))
    assert same_history(got, some(whole, step * 4 + rollout))


def test_a_frame_is_own_observation_then_action():
    none = History.none(1, 1, 1, 2)
    laid = history.lay(none, torch.tensor([[[[7.0]]]]), torch.tensor([[[[8.0]]]]))
    assert laid.frames.tolist() == [[[[0.0, 0.0], [7.0, 8.0]]]]
    assert laid.exists.tolist() == [[False, True]]


def test_a_frame_of_zeros_that_was_lived_through_exists():
    rest = torch.zeros(2, 1, 1, 1)
    laid = history.lay(History.none(1, 1, 2, 2), rest, rest)
    window = history.after(laid, 2)
    assert window.exists.all()
    assert not window.frames.any()


def test_the_last_frame_of_a_path_is_in_no_window_but_in_the_one_after_it():
    start, observation, action = (
        History.none(1, 1, 2, 2),
        torch.ones(3, 1, 1, 1),
        torch.ones(3, 1, 1, 1),
    )
    before = history.lay(start, observation, action)
    observation[-1] = 99.0
    after = history.lay(start, observation, action)
    same = every_place(before, 3, 1)
    assert same_history(history.windows(before, 2, same), history.windows(after, 2, same))
    assert not same_history(history.after(before, 2), history.after(after, 2))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 80), *SIZES[1:])
@example(33, 5, 2, 2)
@example(80, 40, 1, 1)
@example(3, 0, 2, 1)
def test_a_ring_is_repeated_shifts_past_its_room(steps, length, rows, agents):
    start, observation, action = path(steps, length, rows, agents)
    slow, ring = slow_windows(start, observation, action), history.Ring(start)
    for step in range(steps):
        assert same_history(ring.window, slow[step]), step
        ring.push(observation[step], action[step])
    assert same_history(ring.window, slow[-1])


def test_a_ring_keeps_the_rollouts_asked_for_and_leaves_its_start_alone():
    start, observation, action = path(3, 4, 5, 2)
    before, rows = start.clone(), torch.tensor([3, 0])
    ring, small = history.Ring(start), history.Ring(some(start, rows))
    for step in range(3):
        if step == 0:
            ring.push(observation[0], action[0])
            ring.keep(rows)
        else:
            ring.push(observation[step, rows], action[step, rows])
        small.push(observation[step, rows], action[step, rows])
    assert same_history(ring.window, small.window)
    assert same_history(start, before)
