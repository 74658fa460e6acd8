"""Decentralised policies: nobody peeks, everybody remembers."""

import pytest
import torch

from moma_core.config import ActorConfig
from moma_core.nets.history import Path, Ring
from moma_core.nets.kernels import native_bf16
from moma_core.nets.policy import Actors
from moma_core.types import History
from tests.builders import FRAME, SPEC, make_starts, same_history, some

MEMORIES = [
    ActorConfig(memory="none", width=8, depth=2),
    ActorConfig(memory="frames", frames=3, width=8, depth=1, activation="tanh"),
    ActorConfig(memory="attention", frames=3, width=8, memory_width=6, state_dependent_std=True),
    ActorConfig(memory="gru", frames=3, width=8, memory_width=6),
]


def lively(config):
    """Actors whose mean layer is not scaled down and whose observations are not standardised."""
    actors = Actors(SPEC, config, seed=1)
    with torch.no_grad():
        actors.head.weight.mul_(300)
    actors.standardise(torch.full((2, 3), 0.5), torch.full((2, 3), 2.0))
    return actors


def distribution(actors, observation, history):
    """Mean and log standard deviation."""
    given = actors(actors.observed(observation), actors.remembered(history))
    return given.mean, given.log_std


@pytest.mark.parametrize("config", MEMORIES, ids=lambda c: c.memory)
@pytest.mark.parametrize("agent", [0, 1])
def test_an_agents_action_does_not_depend_on_what_others_see_or_remember(config, agent):
    actors, other = lively(config), 1 - agent
    history = make_starts(6, config.history).history
    observation = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(2))
    before = distribution(actors, observation, history)
    seen, past = observation.clone(), history.clone()
    seen[:, other] += 5
    past.frames[:, other] = past.frames[:, other].flip(0) * 3 + 1
    after = distribution(actors, seen, past)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[:, agent], new[:, agent])
    # Negative control: it is the other agent that noticed.
    assert not torch.allclose(before[0][:, other], after[0][:, other], atol=1e-3)


ROWS = 2**14 + 1
"""So many that networks 8 wide compute in bf16 where the processor does."""


@pytest.mark.parametrize("config", MEMORIES, ids=lambda c: c.memory)
def test_frames_are_rounded_only_where_the_networks_would_and_no_bit_of_an_update_changes(config):
    actors = lively(config)
    actors.hidden = torch.bfloat16
    frames = make_starts(ROWS, config.history).history
    laid = Path(frames=frames.frames.transpose(0, 1), exists=frames.exists)
    rounded = actors.rounded(laid, ROWS)
    kept = History(frames=rounded.frames.transpose(0, 1), exists=rounded.exists)
    learns = config.memory in ("attention", "gru")
    low = native_bf16() and not learns
    assert kept.frames.dtype == (torch.bfloat16 if low else torch.float32)
    assert actors.rounded(laid, 64).frames is laid.frames  # small minibatches are computed in fp32
    observed = torch.randn(ROWS, 2, 3, generator=torch.Generator().manual_seed(2))
    results = []
    for remembered in (frames, kept):
        actors.zero_grad()
        mean = actors(observed, remembered).mean
        mean.square().mean().backward()
        results.append(
            [mean, *(parameter.grad.clone() for parameter in actors.layers.parameters())]
        )
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("config", MEMORIES[1:], ids=lambda c: c.memory)
def test_an_agents_own_past_matters(config):
    actors, history = lively(config), make_starts(6, config.history).history
    observation = torch.zeros(6, 2, 3)
    whole = history.clone()
    history.frames[:, 0, -1] += 1.0
    before, after = (distribution(actors, observation, h)[0] for h in (whole, history))
    assert not torch.allclose(before[:, 0], after[:, 0], atol=1e-4)
    assert torch.equal(before[:, 1], after[:, 1])


@pytest.mark.parametrize("config", MEMORIES, ids=lambda c: c.memory)
def test_rows_do_not_depend_on_their_neighbours(config):
    actors, history = lively(config), make_starts(6, config.history).history
    observation = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(2))
    together = distribution(actors, observation, history)
    for row in range(6):
        alone = distribution(actors, observation[row : row + 1], some(history, slice(row, row + 1)))
        for all_rows, one in zip(together, alone, strict=True):
            torch.testing.assert_close(all_rows[row], one[0], rtol=1e-5, atol=1e-6)


def test_remembered_standardises_frames_that_exist_and_leaves_the_others_zero():
    actors = lively(MEMORIES[1])
    history = History.none(1, 2, 3, FRAME)
    history.frames[0, :, 2] = torch.arange(1.0, FRAME + 1)
    history.exists[0, 2] = True
    got = actors.remembered(history)
    assert not got.frames[0, :, :2].any()
    expected = [(x - 0.5) / 2 for x in (1, 2, 3)] + [4.0, 5.0]
    assert got.frames[0, 0, 2].tolist() == expected


@pytest.mark.parametrize("config", MEMORIES[1:], ids=lambda c: c.memory)
def test_an_agent_at_rest_remembers_the_same_from_a_start_and_from_a_rollout(config):
    actors, rest = lively(config), torch.zeros(1, 2, 3)
    observed = actors.observed(rest)
    ring = Ring(actors.remembered(History.none(1, 2, config.history, FRAME)))
    for _ in range(config.history):
        ring.push(observed, torch.zeros(1, 2, 2))
    zeros = torch.zeros(1, 2, config.history, FRAME)
    real = History(frames=zeros, exists=torch.ones(1, config.history, dtype=torch.bool))
    started = actors.remembered(real)
    assert same_history(started, ring.window)
    assert torch.equal(actors(observed, started).mean, actors(observed, ring.window).mean)
    # Negative control: frames that were never lived through are remembered as nothing.
    nothing = actors.remembered(History.none(1, 2, config.history, FRAME))
    assert not torch.allclose(
        actors(observed, nothing).mean, actors(observed, started).mean, atol=1e-3
    )


def test_log_std_keeps_its_bounds():
    config = ActorConfig(width=8, depth=1, frames=0, log_std_min=-2.0, state_dependent_std=True)
    actors = lively(config)
    with torch.no_grad():
        actors.head.weight.mul_(1e4)
    log_std = actors(torch.randn(50, 2, 3) * 10, History.none(50, 2, 0, FRAME)).log_std
    assert log_std.min() == -2
    assert log_std.max() == 0


def test_loading_a_state_dict_gives_the_same_actors():
    first, second = lively(MEMORIES[2]), Actors(SPEC, MEMORIES[2], seed=9)
    observation, history = torch.randn(4, 2, 3), make_starts(4, 3).history
    assert not torch.equal(
        distribution(first, observation, history)[0], distribution(second, observation, history)[0]
    )
    second.load(first.state_dict())
    for one, other in zip(
        distribution(first, observation, history),
        distribution(second, observation, history),
        strict=True,
    ):
        assert torch.equal(one, other)
