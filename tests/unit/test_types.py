"""A task's views of the joint state, with agents of unequal widths."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moma_core.types import Query, Trajectory, layouts
from tests.builders import MIXED, SPEC


def test_widths_are_those_of_the_widest_agent():
    assert (SPEC.state_width, SPEC.observation_width, SPEC.action_width) == (5, 3, 2)
    assert (SPEC.frame_width, SPEC.joint_action_width) == (5, 4)


def test_observe_takes_each_agents_features_in_order_and_pads_with_zero():
    state = torch.tensor([10.0, 11.0, 12.0, 13.0, 14.0])
    assert SPEC.observe(state).tolist() == [[10.0, 12.0, 14.0], [11.0, 14.0, 0.0]]
    batch = torch.stack([torch.stack([state, -state])] * 3)
    assert SPEC.observe(batch).shape == (3, 2, 2, 3)
    assert torch.equal(SPEC.observe(batch)[1, 1], -SPEC.observe(state))


def test_observe_keeps_padding_zero_even_where_the_state_is_not():
    padding = SPEC.observe(torch.full((5,), 7.0))[~SPEC.observation_mask]
    assert padding.tolist() == [0.0]


def test_clamp_cuts_to_each_agents_bounds_and_clears_padding():
    action = torch.tensor([[5.0, -5.0], [5.0, 5.0]])
    assert SPEC.clamp(action).tolist() == [[1.0, -1.0], [2.0, 0.0]]
    assert SPEC.clamp(-action).tolist() == [[-1.0, 1.0], [-0.5, 0.0]]


def test_side_by_side_shows_each_agent_the_same_as_before():
    joined = SPEC.side_by_side()
    state = torch.randn(4, 5)
    flat = state[:, [i for index in SPEC.observation_index for i in index]]
    assert torch.equal(joined.observe(flat), SPEC.observe(state))
    assert joined.state_names == ("wide.a", "wide.c", "wide.goal", "narrow.b", "narrow.goal")
    assert joined.observation_index == ((0, 1, 2), (3, 4))
    assert joined.agents == SPEC.agents


def test_dataset_side_by_side_keeps_what_agents_observe(dataset):
    joined = dataset.side_by_side()
    before, after = (
        data.spec.observe(torch.from_numpy(np.array(data.state[:]))) for data in (dataset, joined)
    )
    assert torch.equal(before, after)
    assert joined.state.shape == (len(dataset.state), 5)
    assert joined.spec.observation_index != dataset.spec.observation_index


def test_a_spec_refuses_a_feature_that_does_not_exist():
    with pytest.raises(ValueError, match=r"observation_index of narrow names feature 5.*has 5"):
        replace(SPEC, observation_index=((0,), (5,)))
    with pytest.raises(ValueError, match="names feature -1"):
        replace(SPEC, observation_index=((0,), (-1,)))


@pytest.mark.parametrize("field", ["observation_index", "action_low", "action_high", "discrete"])
def test_a_spec_refuses_a_missing_agent(field):
    with pytest.raises(ValueError, match=f"{field} needs one entry per agent: 2, got 1"):
        replace(SPEC, **{field: getattr(SPEC, field)[:1]})


def test_nobody_chooses_unless_the_spec_says_who():
    assert SPEC.discrete == (False, False) == replace(SPEC, discrete=()).discrete
    assert (MIXED.discrete, MIXED.chooses.tolist()) == ((True, False), [True, False])
    assert replace(MIXED, name="again").discrete == MIXED.discrete


def test_only_agents_that_choose_need_bounds_of_0_and_1():
    with pytest.raises(ValueError, match=r"discrete actions of wide are one-hot.*\[-1\.0, 1\.0\]"):
        replace(SPEC, discrete=(True, False))
    with pytest.raises(ValueError, match=r"discrete actions of narrow .*got \[-0\.5, 2\.0\]"):
        replace(MIXED, discrete=(True, True))


def test_clamp_leaves_a_choice_as_it_is_and_cuts_numbers():
    action = torch.tensor([[0.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    assert MIXED.clamp(action).tolist() == [[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]]


def test_a_segments_layout_is_what_its_class_says():
    sizes = SPEC.sizes | {"T": 7, "B": 9}
    shapes = {name: layout.shape(sizes) for name, layout in layouts(Trajectory).items()}
    flags = dict.fromkeys(("terminated", "truncated", "unsure", "valid"), (7, 9))
    assert shapes == flags | {
        "age": (9,),
        "action": (7, 9, 2, 2),
        "state": (8, 9, 5),
        "log_prob": (7, 9, 2),
        "reward": (7, 9),
        "penalty": (7, 9),
    }
    kinds = {name: layout.dtype for name, layout in layouts(Trajectory).items()}
    assert {name for name, kind in kinds.items() if kind == torch.bool} == flags.keys()
    assert layouts(Query)["seed"].dtype == torch.int64


def test_a_layout_asked_without_one_of_its_sizes_is_an_error():
    with pytest.raises(KeyError, match="T"):
        layouts(Trajectory)["reward"].shape(SPEC.sizes | {"B": 1})
