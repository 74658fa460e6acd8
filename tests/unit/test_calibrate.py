"""The model's error along held-out episodes, by models whose error is known."""

from __future__ import annotations

import numpy as np
import torch

from model_server.world_model import calibrate
from moma_core.datasets.holdout import held_episodes, split
from moma_core.types import Prediction
from tests.builders import SPEC, model_card


class Model:
    """A model whose next states are a function's of states and actions."""

    def __init__(self, after):
        self.after = after

    def describe(self):
        return model_card()

    def predict(self, query):
        zero = torch.zeros(len(query.age))
        return Prediction(
            next_state=self.after(query.state, query.action), reward=zero,
            terminated=zero.bool(), model="known", disagreement=zero, reward_disagreement=zero,
            aleatoric=zero, outside=torch.zeros(len(zero), SPEC.state_width + 1).bool(),
        )  # fmt: skip

    def metrics(self):
        return {}


def knows(log):
    """What came in the log, by state and action."""
    came = {}
    for number in range(log.episodes):
        states, actions, _ = log.episode(number)
        for step, action in enumerate(actions):
            came[states[step].tobytes(), action.tobytes()] = torch.from_numpy(
                states[step + 1].copy()
            )

    def after(state, action):
        keys = zip(state.numpy(), action.numpy(), strict=True)
        return torch.stack([came[s.tobytes(), a.tobytes()] for s, a in keys])

    return after


def along(log, after):
    _, held = split(log, 0.4, "episode", 0)
    whole = held_episodes(log, held)
    scale = torch.full((SPEC.state_width,), 0.5)
    return calibrate.along_episodes(Model(after), scale, log, held, 0), log.lengths[whole]


def test_a_model_that_knows_what_came_errs_nowhere_and_standing_still_does(dataset):
    found, lengths = along(dataset, knows(dataset))
    assert found["episodes"] == len(lengths) > 5
    assert len(set(lengths)) > 2  # they end at different steps
    assert found["steps"] == list(range(1, int(np.median(lengths)) + 1))
    assert np.abs(found["rmse"]).max() == 0
    assert np.median(found["persistence_rmse"]) > 0.1


def test_standing_still_errs_as_much_as_the_state_that_never_moves(dataset):
    found, _ = along(dataset, lambda state, _: state)
    assert found["rmse"] == found["persistence_rmse"]


def test_a_model_goes_on_from_what_it_said_itself(dataset):
    found, _ = along(dataset, lambda state, _: state + 1000)
    drift = 2000 * np.array(found["steps"])[:, None]  # in units of 0.5
    np.testing.assert_allclose(found["rmse"], np.broadcast_to(drift, (len(drift), 5)), rtol=0.01)
