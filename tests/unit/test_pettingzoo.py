"""The adapter to `ParallelEnv`s, with an environment small enough to predict; and its refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from moma_core.tasks import Environment
from moma_core.tasks.pettingzoo import PettingZoo
from tests.builders import MIXED, SPEC

CHOICES = replace(
    SPEC, discrete=(True, True), action_low=((0.0, 0.0, 0.0), (0.0, 0.0)),
    action_high=((1.0, 1.0, 1.0), (1.0, 1.0)),
)  # fmt: skip


def box(*shape, high=1.0):
    return Box(-high, high, shape, dtype=np.float64)


class Pair:
    """Two agents that observe the step's number and the seed; `ends[agent]` is its last step."""

    def __init__(self, **changes):
        self.possible_agents = ["wide", "narrow"]
        self.seen = {"wide": Dict(a=box(1), rest=box(1, 2)), "narrow": Tuple((box(1), box(1)))}
        self.acted = {"wide": Box(-1, 0.5, (2, 1), dtype=np.float16), "narrow": box(1, high=9.0)}
        self.terminates, self.truncates = {}, {}
        self.actions = []
        for name, value in changes.items():
            setattr(self, name, value)

    def observation_space(self, agent):
        return self.seen[agent]

    def action_space(self, agent):
        return self.acted[agent]

    def reset(self, seed):
        self.agents, self.time, self.first = list(self.possible_agents), 0, seed % 1000
        return self.observe(), {}

    def observe(self):
        one = np.array([self.first])
        seen = {
            "wide": {"a": one, "rest": np.array([[self.time, 0.25]])},
            "narrow": (np.array([self.time + 0.5]), np.array([0.25])),
        }
        return {agent: seen[agent] for agent in self.agents}

    def step(self, actions):
        assert list(actions) == self.agents
        self.actions.append(actions)
        self.time += 1
        terminated, truncated = (
            {agent: self.time >= ends.get(agent, 99) for agent in self.agents}
            for ends in (self.terminates, self.truncates)
        )
        rewards = {"wide": 1.0, "narrow": 3.0}
        outcome = {agent: rewards[agent] for agent in self.agents}
        self.agents = [a for a in self.agents if not (terminated[a] or truncated[a])]
        return self.observe(), outcome, terminated, truncated, {}


def made(spec=SPEC, count=1, **changes):
    """The adapter and the environments in it."""
    pairs = []

    def make():
        pairs.append(Pair(**changes))
        return pairs[-1]

    return PettingZoo(make, spec, count), pairs


def test_observations_go_to_the_features_that_agents_observe_and_nobodys_stay_zero():
    adapter, pairs = made(count=2)
    assert isinstance(adapter, Environment)
    state = adapter.reset(7)
    firsts = [pair.first for pair in pairs]
    assert state.tolist() == [[first, 0.5, 0.0, 0.0, 0.25] for first in firsts]
    assert firsts[0] != firsts[1], "copies begin alike"
    assert torch.equal(adapter.reset(7), state)
    assert not torch.equal(adapter.reset(8), state)
    after, reward, over = adapter.step(torch.zeros(2, 2, 2))
    assert after[:, 1:].tolist() == [[1.5, 1.0, 0.0, 0.25]] * 2
    assert (reward.tolist(), over.tolist()) == ([2.0, 2.0], [False, False])


def test_actions_lose_their_padding_and_are_clipped_to_the_space_in_its_shape_and_dtype():
    adapter, (pair,) = made()
    adapter.reset(0)
    adapter.step(torch.tensor([[[0.9, -3.0], [2.0, 77.0]]]))
    wide, narrow = pair.actions[0]["wide"], pair.actions[0]["narrow"]
    assert (wide.tolist(), wide.dtype, wide.shape) == ([[0.5], [-1.0]], np.float16, (2, 1))
    assert (narrow.tolist(), narrow.dtype) == ([2.0], np.float64)


def test_discrete_actions_are_the_best_dimension_of_the_agents_own():
    spaces = {"wide": Discrete(3, start=5), "narrow": Discrete(2)}
    adapter, (pair,) = made(CHOICES, acted=spaces)
    adapter.reset(0)
    adapter.step(torch.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 9.0]]]))
    assert pair.actions[0] == {"wide": 7, "narrow": 0}
    assert all(space.contains(pair.actions[0][agent]) for agent, space in spaces.items())


def test_an_agent_that_chooses_beside_one_that_does_not():
    spaces = {"wide": Discrete(3), "narrow": box(1, high=9.0)}
    adapter, (pair,) = made(MIXED, acted=spaces)
    adapter.reset(0)
    adapter.step(torch.tensor([[[0.0, 1.0, 0.0], [-0.25, 0.0, 7.0]]]))
    assert pair.actions[0] == {"wide": 1, "narrow": np.array([-0.25])}
    with pytest.raises(ValueError, match=r"narrow acts in Discrete\(1\); task mixed needs Box"):
        made(MIXED, acted=spaces | {"narrow": Discrete(1)})
    with pytest.raises(ValueError, match=r"wide acts in Box.*; task mixed needs Discrete"):
        made(MIXED, acted=spaces | {"wide": box(3)})


def test_a_discrete_observation_is_one_hot():
    adapter, (pair,) = made(seen={"wide": Discrete(3), "narrow": Tuple((box(1), box(1)))})
    pair.observe = lambda: {"wide": 2}
    assert adapter.reset(0).tolist() == [[0.0, 0.0, 0.0, 0.0, 1.0]]


def test_an_agent_that_has_left_observes_zeros_acts_no_more_and_counts_in_the_mean():
    adapter, (pair,) = made(terminates={"wide": 1})
    adapter.reset(5)
    state, reward, over = adapter.step(torch.zeros(1, 2, 2))
    assert (state.tolist(), reward.item(), over.item()) == ([[0, 1.5, 0, 0, 0.25]], 2.0, False)
    _, reward, over = adapter.step(torch.zeros(1, 2, 2))
    assert (list(pair.actions[1]), reward.item(), over.item()) == (["narrow"], 1.5, False)


@pytest.mark.parametrize(
    "ends",
    [
        {"terminates": {"wide": 2, "narrow": 2}},
        {"truncates": {"wide": 2, "narrow": 2}},
        {"terminates": {"wide": 1}, "truncates": {"narrow": 2}},
    ],
)
def test_a_copy_has_ended_when_every_agent_has_and_is_stepped_no_more(ends):
    adapter, (pair,) = made(**ends)
    adapter.reset(0)
    assert not adapter.step(torch.zeros(1, 2, 2))[2].item()
    last, _, over = adapter.step(torch.zeros(1, 2, 2))
    assert over.item()
    again, reward, over = adapter.step(torch.zeros(1, 2, 2))
    assert (len(pair.actions), reward.item(), over.item()) == (2, 0.0, True)
    assert torch.equal(again, last)
    adapter.reset(1)
    assert not adapter.step(torch.zeros(1, 2, 2))[2].item()


def test_agents_that_stay_listed_after_the_end_end_the_copy_all_the_same():
    adapter, (pair,) = made(truncates={"wide": 1, "narrow": 1})
    step, both = pair.step, list(pair.possible_agents)

    def stays(actions):
        outcome = step(actions)
        pair.agents = both
        return outcome

    pair.step = stays
    adapter.reset(0)
    assert adapter.step(torch.zeros(1, 2, 2))[2].item()


DIFFERENT = [
    ({"possible_agents": ["wide", "thin"]}, ("wide, thin", "wide, narrow")),
    ({"possible_agents": ["narrow", "wide"]}, ("narrow, wide", "wide, narrow")),
    ({"seen": {"wide": box(3), "narrow": box(3)}}, ("narrow observes 3 values", "lopsided, 2")),
    ({"acted": {"wide": box(2), "narrow": box(2)}}, ("narrow acts by 2 values", "lopsided, 1")),
    ({"acted": {"wide": Discrete(2), "narrow": box(1)}}, ("wide acts in Discrete(2)", "Box")),
    ({"acted": {"wide": MultiDiscrete([2]), "narrow": box(1)}}, ("MultiDiscrete", "Box")),
    ({"agent_iter": None}, ("no PettingZoo ParallelEnv", "act in turns")),
]


@pytest.mark.parametrize(("changes", "words"), DIFFERENT)
def test_what_differs_from_the_team_is_named_when_it_is_made(changes, words):
    made()
    with pytest.raises(ValueError, match="environment") as error:
        made(**changes)
    for word in words:
        assert word in str(error.value)


def test_a_team_with_discrete_actions_needs_discrete_spaces():
    with pytest.raises(ValueError, match=r"wide acts in Box.*lopsided needs Discrete"):
        made(CHOICES)
    with pytest.raises(ValueError, match="narrow acts by 3 values; in task lopsided, 2"):
        made(CHOICES, acted={"wide": Discrete(3), "narrow": Discrete(3)})


def test_what_is_no_environment_is_refused_by_what_it_lacks():
    with pytest.raises(ValueError, match="no PettingZoo ParallelEnv: it has no possible_agents"):
        PettingZoo(object, SPEC, 1)


def test_an_integer_box_is_given_the_nearest_whole_numbers():
    acted = {"wide": Box(-9, 9, (2,), dtype=np.int32), "narrow": box(1, high=9.0)}
    bounds = ((-9.0, -9.0), (-9.0,)), ((9.0, 9.0), (9.0,))
    adapter, (pair,) = made(replace(SPEC, action_low=bounds[0], action_high=bounds[1]), acted=acted)
    adapter.reset(0)
    adapter.step(torch.tensor([[[1.6, -0.7], [0.4, 0.0]]]))
    given = pair.actions[0]
    assert given["wide"].dtype == np.int32
    assert given["wide"].tolist() == [2, -1]
    assert given["narrow"].tolist() == pytest.approx([0.4])


def test_an_offset_is_taken_off_before_anything_is_rounded():
    class Far(Pair):
        def observe(self):
            far = (np.array([1.7e9 + self.time / 4]), np.array([0.25]))
            return {**super().observe(), "narrow": far}

    for offset, moved in (((), 0.0), ((0.0, 1.7e9, 0.0, 0.0, 0.0), 0.25)):
        adapter = PettingZoo(Far, replace(SPEC, state_offset=offset), 1)
        before = adapter.reset(0)[0, 1]
        assert float(adapter.step(torch.zeros(1, 2, 2))[0][0, 1] - before) == moved
    apart = replace(SPEC, state_offset=(0.0, 1.0, 2.0, 3.0, 4.0)).side_by_side()
    assert apart.state_offset == (0.0, 2.0, 4.0, 1.0, 4.0)
    with pytest.raises(ValueError, match="state_offset needs one entry per feature: 5, got 1"):
        replace(SPEC, state_offset=(1.0,))
