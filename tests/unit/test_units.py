"""Between the data's units and the networks', and the bounds of the predicted variance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_server.world_model.ensemble import Ensemble
from model_server.world_model.units import Units
from moma_core.types import Transitions
from tests.builders import SPEC, make_config

GOAL = 4
"""The feature that never changes within an episode."""


@pytest.mark.parametrize("standardised", [True, False])
def test_targets_come_back_as_next_states_and_rewards(dataset, standardised):
    rows = dataset.rows(np.arange(dataset.transitions))
    units = Units(5, 4, standardised=standardised)
    units.fit([rows])
    targets = units.targets(rows)
    torch.testing.assert_close(units.next_state(rows.state, targets[:, :-1]), rows.next_state)
    torch.testing.assert_close(units.reward(targets[:, -1]), rows.reward)
    if standardised:
        varies = [0, 1, 2, 3, 5]
        torch.testing.assert_close(targets[:, varies].mean(0), torch.zeros(5), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            targets[:, varies].std(0, correction=0), torch.ones(5), atol=1e-4, rtol=0
        )
        assert units.constant.tolist() == [False, False, False, False, True]
        assert not targets[:, GOAL].any()


def test_a_clock_is_carried_on_exactly_and_one_that_stops_once_is_not(dataset):
    rows = dataset.rows(np.arange(dataset.transitions))
    began = dataset.episode_start[rows.episode.numpy()]
    step = torch.from_numpy(np.arange(dataset.transitions) - began).float()
    state, after = rows.state.clone(), rows.next_state.clone()
    state[:, 0], after[:, 0] = step / 15, (step + 1) / 15
    clocked = replace(rows, state=state, next_state=after)
    units = Units(5, 4, standardised=True)
    units.fit([clocked])
    assert units.constant.tolist() == [True, False, False, False, True]
    assert units.output_std[0] == 0
    noise = torch.randn(len(state), 5) * 100
    reached = units.next_state(state, noise)
    torch.testing.assert_close(reached[:, 0], after[:, 0], rtol=0, atol=2e-7)
    assert torch.equal(reached[:, GOAL], state[:, GOAL])
    after[7, 0] = state[7, 0]
    units = Units(5, 4, standardised=True)
    units.fit([replace(clocked, next_state=after)])
    assert units.constant.tolist() == [False, False, False, False, True]


def test_units_of_data_in_which_nothing_varies_stay_finite():
    still = Transitions(
        state=torch.full((3, 5), 4.0), action=torch.zeros(3, 2, 2), reward=torch.ones(3),
        next_state=torch.full((3, 5), 4.0), terminated=torch.zeros(3, dtype=torch.bool),
        truncated=torch.ones(3, dtype=torch.bool), episode=torch.arange(3),
        age=torch.zeros(3, dtype=torch.int64),
    )  # fmt: skip
    units = Units(5, 4, standardised=True)
    units.fit([still])
    assert torch.isfinite(units.targets(still)).all()
    assert torch.isfinite(units.inputs(still.state, still.action, still.age)).all()
    assert torch.equal(units.next_state(still.state, torch.ones(3, 5)), still.state)


@pytest.mark.parametrize("bounds", ["soft", "clamped"])
def test_log_variances_keep_their_bounds(bounds):
    config = replace(make_config().model, bounds=bounds)
    ensemble = Ensemble(SPEC, config, members=3, terminates=False)
    low, high = (-10.0, 0.5) if bounds == "soft" else (-12.0, 4.0)
    with torch.no_grad():
        inputs = torch.randn(3, 200, 9) * 1e4
        log_variance = ensemble(inputs).log_variance
    assert log_variance.min() >= low - 1e-4
    assert log_variance.max() <= high + 1e-2
    assert log_variance.min() < low + 1
    assert log_variance.max() > high - 1
