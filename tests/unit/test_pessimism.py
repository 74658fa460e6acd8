"""The penalty's arithmetic, and that truncation sees the disagreement before any clamp."""

import math

import pytest
import torch

from moma_core import pessimism
from moma_core.config import PessimismConfig
from moma_core.types import Prediction
from tests.builders import DIGEST, model_card


def prediction(disagreement, aleatoric=0.0, reward_disagreement=0.0):
    found = torch.tensor(disagreement)
    return Prediction(
        next_state=torch.zeros(len(found), 5),
        reward=torch.zeros(len(found)),
        terminated=torch.zeros(len(found), dtype=torch.bool),
        disagreement=found,
        aleatoric=torch.full_like(found, aleatoric),
        reward_disagreement=torch.full_like(found, reward_disagreement),
        outside=torch.zeros(len(found), 6, dtype=torch.bool),
        model=DIGEST,
    )


def test_penalty_by_hand_each_uncertainty_clamped_by_itself():
    config = PessimismConfig(disagreement=0.1, reward_disagreement=0.5, aleatoric=2.0, clamp=3.0)
    got = pessimism.penalty(prediction([1.0, 10.0], 0.25, 7.0), config)
    expected = [0.1 * 1 + 0.5 * 3 + 2 * 0.25, 0.1 * 3 + 0.5 * 3 + 2 * 0.25]
    assert got.tolist() == pytest.approx(expected)


def test_truncation_is_tested_on_the_disagreement_before_the_clamp():
    config = PessimismConfig(clamp=2.0, cut=2.0)
    uncertain = prediction([1.9, 2.0, 2.1, 500.0])
    limit = pessimism.threshold(config, model_card())
    assert pessimism.truncate(uncertain, limit, "cut").tolist() == [False, False, True, True]
    # Negative control: on clamped values, as in the released code, nothing is ever truncated.
    clamped = prediction(uncertain.disagreement.clamp_max(config.clamp).tolist())
    assert not pessimism.truncate(clamped, limit, "cut").any()


def test_disagreement_that_is_not_finite_truncates():
    assert pessimism.truncate(prediction([math.nan, math.inf, 0.0]), 1.0, "cut").tolist() == [
        True,
        True,
        False,
    ]
    # Negative control: the plain comparison lets NaN go on.
    assert not (torch.tensor(math.nan) > 1.0).item()


@pytest.mark.parametrize("column", [0, 3, 5])
def test_a_step_that_leaves_the_log_truncates_by_any_feature_or_the_reward(column):
    sure = prediction([0.0, 0.0, 2.0])
    sure.outside[0, column] = True
    said = {
        edge: pessimism.truncation(PessimismConfig(cut=1.0, edge=edge), model_card())(sure)
        for edge in ("cut", "clamp")
    }
    assert said["cut"].tolist() == [True, False, True]
    # Reference: clamped, it goes on.
    assert said["clamp"].tolist() == [False, False, True]


@pytest.mark.parametrize(("quantile", "value"), [("0.90", 0.2), ("0.99", 0.4), ("1.00", 0.6)])
def test_the_threshold_is_a_multiple_of_a_held_out_quantile(quantile, value):
    config = PessimismConfig(cut=None, cut_quantile=quantile, cut_scale=3.0)
    assert pessimism.threshold(config, model_card()) == pytest.approx(3 * value)


def test_an_absolute_threshold_wins_over_the_quantile():
    config = PessimismConfig(cut=0.7, cut_quantile="0.99", cut_scale=30.0)
    assert pessimism.threshold(config, model_card()) == 0.7
