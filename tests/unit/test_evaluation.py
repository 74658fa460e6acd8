"""Playing the policies in a system: mean actions, own memories, nothing counted after the end."""

import numpy as np
import torch

from moma import history
from moma.config import ActorConfig
from moma.evaluation import evaluate
from moma.policy import Actors
from moma.tasks import Environment
from tests.builders import FRAME, SPEC, make_starts, step_system

COPIES = 4


class System:
    """The lopsided task's true system; copy b ends at step `ends[b]`."""

    def __init__(self, ends):
        self.ends, self.steps, self.actions = ends, 0, []

    def reset(self, seed):
        self.state = make_starts(COPIES, 0, seed).state
        self.first = self.state
        return self.state

    def step(self, action):
        self.steps += 1
        self.actions.append(action)
        rows = [step_system(s, a) for s, a in zip(self.state.numpy(), action.numpy(), strict=True)]
        self.state = torch.from_numpy(np.stack([after for after, _ in rows]))
        reward = torch.tensor([float(reward) for _, reward in rows])
        return self.state, reward, torch.tensor([self.steps >= end for end in self.ends])


def make_actors():
    actors = Actors(SPEC, ActorConfig(width=8, depth=1, frames=3), seed=2)
    with torch.no_grad():
        actors.head.weight.mul_(100)
    actors.standardise(torch.full((2, 3), 0.2), torch.full((2, 3), 1.3))
    return actors


def slow_return(actors, state, end):
    """One copy, one step after the other, the window kept in the data's own units."""
    total, window = 0.0, torch.zeros(1, 2, 3, FRAME)
    for _ in range(min(end, SPEC.episode_limit)):
        seen = SPEC.observe(state[None])
        with torch.no_grad():
            mean = actors(actors.observed(seen), actors.remembered(window)).mean
        action = SPEC.clamp(mean)
        window = history.shift(window, seen, action)
        after, reward = step_system(state.numpy(), action[0].numpy())
        total, state = total + float(reward), torch.from_numpy(after)
    return total


def test_returns_equal_a_slow_loop_and_stop_at_each_copys_end():
    actors, system = make_actors(), System([1, 3, 8, 99])
    assert isinstance(system, Environment)
    returns = evaluate(actors, SPEC, system, seed=6)
    slow = [slow_return(actors, system.first[b], end) for b, end in enumerate(system.ends)]
    torch.testing.assert_close(returns, torch.tensor(slow), rtol=1e-4, atol=1e-4)
    assert system.steps == SPEC.episode_limit


def test_it_ends_early_where_all_copies_have_ended():
    system = System([2, 1, 2, 1])
    evaluate(make_actors(), SPEC, system, seed=6)
    assert system.steps == 2


def test_it_is_deterministic_and_depends_on_the_seed():
    first, again, other = (evaluate(make_actors(), SPEC, System([99] * 4), s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_actions_are_within_the_bounds():
    actors, system = make_actors(), System([99] * 4)
    with torch.no_grad():
        actors.head.bias.add_(50)
    evaluate(actors, SPEC, system, seed=1)
    played = torch.stack(system.actions)
    assert torch.equal(played, SPEC.clamp(played))
